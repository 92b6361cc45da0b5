import { DialError } from './dial-error.ts'

/** Header fields to send: a list is sent as several fields of one name. */
export type DialRequestHeaders = Readonly<Record<string, string | readonly string[]>>

export interface DialOptions {
  /** Sent with the handshake: this is where credentials belong. */
  readonly headers?: DialRequestHeaders | undefined
  /** Subprotocols to offer (RFC 6455 section 1.9). A server that selects none of them fails the dial. */
  readonly protocols?: string | readonly string[] | undefined
  /** Gives up dialling. Once the WebSocket is open the signal has no meaning any more. */
  readonly signal?: AbortSignal | undefined
  /** Milliseconds until the WebSocket is open, or a refusal was read. @defaultValue 10000 */
  readonly timeout?: number | undefined
}

/** A request to dial, checked. */
export interface DialRequest {
  readonly url: URL
  /** The URL as errors may show it. */
  readonly shown: string
  readonly headers: Readonly<Record<string, string | string[]>>
  readonly protocols: string[]
  readonly signal: AbortSignal | undefined
  readonly timeout: number
}

const KNOWN = ['headers', 'protocols', 'signal', 'timeout']
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/
const OURS = new Set([
  'connection',
  'content-length',
  'sec-websocket-accept',
  'sec-websocket-extensions',
  'sec-websocket-key',
  'sec-websocket-version',
  'transfer-encoding',
  'upgrade',
])
const MAX_TIMEOUT = 2 ** 31 - 1

/** @throws DialError `bad_request`; the texts hold neither values of headers nor protocols: both may be credentials. */
export function readRequest(url: string | URL, options: DialOptions): DialRequest {
  const parsed = readUrl(url)
  const shown = shownUrl(parsed)
  for (const name of Object.keys(options)) {
    if (!KNOWN.includes(name)) throw wrong(shown, `dial() knows the options ${KNOWN.join(', ')} and no other.`)
  }
  const { signal, timeout = 10_000 } = options
  if (typeof timeout !== 'number' || !(timeout > 0 && timeout <= MAX_TIMEOUT)) {
    throw wrong(shown, `timeout must be a number of milliseconds from 1 to ${MAX_TIMEOUT}.`)
  }
  if (signal !== undefined && typeof signal.addEventListener !== 'function')
    throw wrong(shown, 'signal must be an AbortSignal.')
  return {
    url: parsed,
    shown,
    headers: readHeaders(shown, options.headers),
    protocols: readProtocols(shown, options.protocols),
    signal,
    timeout,
  }
}

function wrong(url: string, message: string): DialError {
  return new DialError({ code: 'bad_request', url, message })
}

function readUrl(given: string | URL): URL {
  // The URL parser's own error repeats its input, password included.
  const url = URL.canParse(String(given)) ? new URL(String(given)) : undefined
  if (url === undefined) throw wrong('', 'The URL is not valid. Write it like ws://localhost:8080/ws.')
  if (!['ws:', 'wss:', 'http:', 'https:'].includes(url.protocol))
    throw wrong('', 'The URL must start with ws:// or wss://.')
  url.protocol = url.protocol.replace('http', 'ws')
  if (url.hash !== '') throw wrong(shownUrl(url), 'The URL of a WebSocket has no fragment (#).')
  return url
}

function shownUrl(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname}${url.search === '' ? '' : '?...'}`
}

function readHeaders(shown: string, given: DialRequestHeaders = {}): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = {}
  for (const [name, value] of Object.entries(given)) {
    if (!TOKEN.test(name)) throw wrong(shown, 'A header name has letters, digits and - only.')
    const lower = name.toLowerCase()
    if (OURS.has(lower)) throw wrong(shown, `The handshake itself sets the header ${lower}.`)
    if (lower === 'sec-websocket-protocol') throw wrong(shown, 'Offer subprotocols with the option protocols.')
    const values: readonly unknown[] = Array.isArray(value) ? value : [value]
    if (!values.every((one) => typeof one === 'string' && FIELD_VALUE.test(one))) {
      throw wrong(shown, `The value of the header ${lower} is no text that HTTP can carry (RFC 9110 section 5.5).`)
    }
    headers[name] = typeof value === 'string' ? value : [...value]
  }
  return headers
}

function readProtocols(shown: string, given: string | readonly string[] = []): string[] {
  const protocols: readonly unknown[] = typeof given === 'string' ? [given] : given
  if (!Array.isArray(protocols) || !protocols.every((one) => typeof one === 'string' && TOKEN.test(one))) {
    throw wrong(shown, "Each subprotocol must be a token: letters, digits and !#$%&'*+-.^_`|~.")
  }
  if (new Set(protocols).size !== protocols.length) throw wrong(shown, 'Offer each subprotocol once.')
  return protocols
}
