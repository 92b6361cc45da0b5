import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import type { Clock } from '../core/clock.ts'
import { PROFILES, type CloseProfile, type EndKind } from '../core/end.ts'

/** How connections of one kind are ended: one object for all of them. */
export interface Ender<Carrier> {
  /**
   * Stops delivery at once and sees to it that the socket is gone within a second, whatever the peer does.
   *
   * @returns the code of the Close that was sent; undefined where there is none.
   */
  end(carrier: Carrier, kind: EndKind, reason: string, profile: CloseProfile): number | undefined
  /** Bytes that wait for the peer to read. */
  queued(carrier: Carrier): number
  /** Asks the peer for a sign of life; absent where there is no frame that could be written. */
  ping?(carrier: Carrier): void
}

/** How long a peer may take to answer a Close frame. */
const CLOSE_GRACE = 1000
const MAX_REASON = 123
/** Behind more than this a Close would not come through in time; and what is queued is not to be sent any more. */
const MAX_QUEUED = 64 * 1024

/** For a WebSocket of our own, or one that another library made and the app named. */
export function createWebSocketEnder(clock: Clock): Ender<WebSocket> {
  return {
    end(ws, kind, reason, given): number | undefined {
      deafen(ws)
      if (ws.bufferedAmount > MAX_QUEUED) {
        ws.terminate()
        return undefined
      }
      const profile = ws.protocol === GRAPHQL && given === PROFILES.default ? PROFILES[GRAPHQL] : given
      const code = profile[kind]
      // A paused socket would not see the peer's Close.
      ws.resume()
      ws.close(code, cut(reason))
      if (ws.readyState === ws.CLOSED) return undefined
      const cancel = clock.after(CLOSE_GRACE, () => {
        ws.terminate()
      })
      ws.once('close', cancel)
      return code
    },
    queued: (ws) => ws.bufferedAmount,
    ping: (ws) => ws.ping(),
  }
}

const GRAPHQL = 'graphql-transport-ws'

type Emit = WebSocket['emit']

/**
 * From now on no listener gets a message, whenever it was added: a peer that ignores Close may still be sending, and what
 * has come already is parsed in one go. `emit` is set on this one WebSocket, which is of no more use.
 */
function deafen(ws: WebSocket): void {
  const emit = Reflect.get(ws, 'emit')
  ws.emit = function deaf(this: WebSocket, event: string | symbol, ...args: unknown[]): boolean {
    return HEARS_MESSAGES.has(event) ? false : Reflect.apply(emit, this, [event, ...args])
  } as Emit
}

/** What a peer can still send. */
const HEARS_MESSAGES: ReadonlySet<string | symbol> = new Set(['message', 'ping', 'pong'])

/** For a socket whose library is unknown: there is no frame that could be written safely between its own. */
export const rawSocketEnder: Ender<Duplex> = {
  end(socket, _kind, reason): undefined {
    // With an error: a proxy lets go of the other side on 'end' or 'error', and a plain destroy() is neither.
    socket.destroy(new Error(`The connection was ended: ${reason}`))
  },
  queued: (socket) => socket.writableLength,
}

/** At most 123 bytes (RFC 6455 section 5.5.1), cut between characters. */
function cut(reason: string): string {
  if (Buffer.byteLength(reason) <= MAX_REASON) return reason
  let end = MAX_REASON
  const bytes = Buffer.from(reason)
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--
  return bytes.toString('utf8', 0, end)
}
