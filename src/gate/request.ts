import { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { HeaderPairs } from '../core/decision.ts'
import type { Handshake } from '../core/handshake.ts'
import { Sink, type SocketFacts } from '../door/sink.ts'

/** A real `IncomingMessage` on a socket that leads nowhere. */
export function toRequest(
  handshake: Pick<Handshake, 'method' | 'target' | 'headers'>,
  facts: SocketFacts,
): IncomingMessage {
  // Facts only: what the app hangs on its socket, or does to it, must not reach the real one.
  const req = new IncomingMessage(new Sink(facts, () => undefined) as unknown as Socket)
  req.method = handshake.method
  req.httpVersion = '1.1'
  req.httpVersionMajor = 1
  req.httpVersionMinor = 1
  setRequest(req, handshake)
  req.complete = true
  req.push(null)
  return req
}

/** Makes a request say what the handshake says: a credential that was taken out of it is in none of its fields. */
export function setRequest(req: IncomingMessage, handshake: Pick<Handshake, 'target' | 'headers'>): void {
  req.url = handshake.target
  req.rawHeaders.length = 0
  req.rawHeaders.push(...handshake.headers.flat())
  req.headers = mergeHeaders(handshake.headers)
}

/** As Node merges what it has parsed: repeated fields are joined, cookies with `; `. */
function mergeHeaders(headers: HeaderPairs): IncomingMessage['headers'] {
  const merged: Record<string, string> = Object.create(null) as Record<string, string>
  for (const [name, value] of headers) {
    const before = merged[name]
    merged[name] = before === undefined ? value : before + (name === 'cookie' ? '; ' : ', ') + value
  }
  return merged
}
