import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import type { Clock } from '../core/clock.ts'

/** How connections of one kind are ended: one object for all of them. */
export interface Ender<Carrier> {
  /** Stops delivery at once and sees to it that the socket is gone within a second, whatever the peer does. */
  end(carrier: Carrier, code: number, reason: string): void
}

/** How long a peer may take to answer a Close frame. */
const CLOSE_GRACE = 1000
const MAX_REASON = 123

/** For a WebSocket of our own, or one that another library made and the app named. */
export function createWebSocketEnder(clock: Clock): Ender<WebSocket> {
  return {
    end(ws, code, reason): void {
      ws.removeAllListeners('message')
      ws.on('newListener', dropMessageListener)
      // A paused socket would not see the peer's Close.
      ws.resume()
      ws.close(code, cut(reason))
      if (ws.readyState === ws.CLOSED) return
      const cancel = clock.after(CLOSE_GRACE, () => {
        ws.terminate()
      })
      ws.once('close', cancel)
    },
  }
}

/** A handler that was waiting for something else may listen only now; a peer that ignores Close may still be sending. */
function dropMessageListener(this: WebSocket, event: string | symbol): void {
  if (event !== 'message') return
  // 'newListener' comes before the listener is in place.
  queueMicrotask(() => {
    this.removeAllListeners('message')
  })
}

/** For a socket whose library is unknown: there is no frame that could be written safely between its own. */
export const rawSocketEnder: Ender<Duplex> = {
  end(socket, _code, reason): void {
    // With an error: a proxy lets go of the other side on 'end' or 'error', and a plain destroy() is neither.
    socket.destroy(new Error(`The connection was ended: ${reason}`))
  },
}

/** At most 123 bytes (RFC 6455 section 5.5.1), cut between characters. */
function cut(reason: string): string {
  if (Buffer.byteLength(reason) <= MAX_REASON) return reason
  let end = MAX_REASON
  const bytes = Buffer.from(reason)
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--
  return bytes.toString('utf8', 0, end)
}
