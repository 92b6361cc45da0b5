import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocketServer, type WebSocket } from 'ws'
import type { HeaderPairs } from '../core/decision.ts'
import { PLAIN_SUBPROTOCOL, REFUSAL_SUBPROTOCOL } from '../core/subprotocols.ts'
import { survive } from './own.ts'

/** What the 101 of one handshake says beyond what the protocol asks. */
export interface SwitchingOptions {
  readonly headers: HeaderPairs
  /** Subprotocols that the route speaks; the first of these that the client offers is selected, in the order of the client. */
  readonly protocols: readonly string[]
}

/** Writes the 101 and makes the WebSocket. */
export interface Accepter {
  /**
   * @returns undefined when the socket died before the 101 could be written. Otherwise the caller attaches its listeners
   *   in the same turn: no message is emitted before.
   */
  accept(req: IncomingMessage, socket: Duplex, head: Buffer, options: SwitchingOptions): WebSocket | undefined
}

/** Of one message, and of what waits to be one: memory that its bytes do not count. */
const MAX_FRAGMENTS = 16 * 1024
const MAX_CHUNKS = 256 * 1024

/** @param maxPayload - bytes that one message may have before the connection ends with 1009. */
export function createAccepter(maxPayload: number): Accepter {
  const switching = new WeakMap<IncomingMessage, SwitchingOptions>()
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload,
    maxFragments: MAX_FRAGMENTS,
    maxBufferedChunks: MAX_CHUNKS,
    // ws would select the first offered one: it may be a credential.
    handleProtocols: (offered, req) => select(offered, switching.get(req)?.protocols ?? []),
  })
  server.on('headers', (lines, req) => {
    for (const [name, value] of switching.get(req)?.headers ?? []) lines.push(`${name}: ${value}`)
  })
  return {
    accept(req, socket, head, options): WebSocket | undefined {
      let made: WebSocket | undefined
      switching.set(req, options)
      server.handleUpgrade(req, socket, head, (ws) => {
        made = ws
      })
      switching.delete(req)
      // A malformed frame is an 'error' event: without a listener it would end the process.
      made?.on('error', survive)
      return made
    },
  }
}

function select(offered: ReadonlySet<string>, spoken: readonly string[]): string | false {
  for (const protocol of offered) {
    if (spoken.includes(protocol)) return protocol
  }
  // A browser that has offered something gives up where nothing is selected.
  return [PLAIN_SUBPROTOCOL, REFUSAL_SUBPROTOCOL].find((protocol) => offered.has(protocol)) ?? false
}
