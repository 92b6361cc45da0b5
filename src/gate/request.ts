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
  req.headersDistinct = distinctHeaders(handshake.headers)
}

/** Of these Node keeps the first alone. */
const FIRST_ONLY = new Set([
  'age',
  'authorization',
  'content-length',
  'content-type',
  'etag',
  'expires',
  'from',
  'host',
  'if-modified-since',
  'if-unmodified-since',
  'last-modified',
  'location',
  'max-forwards',
  'proxy-authorization',
  'referer',
  'retry-after',
  'server',
  'user-agent',
])

/** As Node does it for `message.headers`: the first, a list, or joined; cookies with `; `. */
function mergeHeaders(headers: HeaderPairs): IncomingMessage['headers'] {
  const merged = new Map<string, string | string[]>()
  for (const [name, value] of headers) {
    const before = merged.get(name)
    if (name === 'set-cookie') merged.set(name, [...(Array.isArray(before) ? before : []), value])
    else if (typeof before !== 'string') merged.set(name, value)
    else if (!FIRST_ONLY.has(name)) merged.set(name, `${before}${name === 'cookie' ? '; ' : ', '}${value}`)
  }
  // Entries are defined, not assigned: a header of the name __proto__ is one like any other.
  return Object.fromEntries(merged)
}

/** As Node does it for `message.headersDistinct`. */
function distinctHeaders(headers: HeaderPairs): IncomingMessage['headersDistinct'] {
  const distinct = Object.create(null) as Record<string, string[]>
  for (const [name, value] of headers) (distinct[name] ??= []).push(value)
  return distinct
}
