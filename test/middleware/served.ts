import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import { createGate, type Gate, type GateOptions, type RefusedEvent } from '../../src/index.ts'
import { handshake, rawRequest, type HandshakeText, type RawResponse } from '../support/raw.ts'
import { listen, type Listening } from '../support/servers.ts'

export const KEY = 'test_api_key'
export const SECRET = 'a secret that is only for tests, and 32 bytes long at least'
export const ORIGIN = 'http://localhost'

export type Headers = NonNullable<HandshakeText['headers']>

/** Turns a handshake into the same GET over plain HTTP. */
export const PLAIN: Headers = {
  Upgrade: null,
  Connection: 'close',
  'Sec-WebSocket-Key': null,
  'Sec-WebSocket-Version': null,
}

export interface Served extends AsyncDisposable {
  readonly port: number
  readonly server: Server
  readonly gate: Gate
  readonly refused: readonly RefusedEvent[]
  readonly listening: Listening
  /** One handshake at `/ws`, with a key unless the headers say otherwise. The connection is gone afterwards. */
  ask(headers?: Headers, target?: string): Promise<RawResponse>
}

/** A server with a gate, whose app is made with that gate. */
export async function serve(
  makeApp: (gate: Gate) => RequestListener,
  options: Partial<GateOptions<IncomingMessage>> = {},
): Promise<Served> {
  const gate = createGate({ identify: () => ({ subject: 'somebody' }), ...options })
  const refused: RefusedEvent[] = []
  gate.on('refused', (event) => refused.push(event))
  const server = createServer(makeApp(gate))
  gate.attach(server)
  const listening = await listen(server)
  return {
    port: listening.port,
    server,
    gate,
    refused,
    listening,
    ask: async (headers, target = '/ws') => await askPort(listening.port, headers, target),
    [Symbol.asyncDispose]: async () => await listening.close(),
  }
}

export async function askPort(port: number, headers: Headers = {}, target = '/ws'): Promise<RawResponse> {
  return await rawRequest({ port, lines: handshake({ target, headers: { 'X-Api-Key': KEY, ...headers } }) })
}

/** The `name=value` part of all cookies that a response sets. */
export function cookiesOf(response: Pick<RawResponse, 'values'>): string {
  return response
    .values('set-cookie')
    .map((cookie) => cookie.split(';')[0])
    .join('; ')
}
