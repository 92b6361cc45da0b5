import { failInNode } from './describe-node.ts'
import { DialError } from './dial-error.ts'
import type { HeaderMap } from './headers.ts'
import type { DialOptions } from './request.ts'
import type { Runtime } from './runtime.ts'

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

function wrong(url: string, message: string): DialError {
  return new DialError(message, { code: 'bad_request', url })
}

const ROADS: readonly unknown[] = ['headers', 'cookie', 'ticket', 'subprotocol', 'message']
const MAX_TIMEOUT = 2 ** 31 - 1

type Check = (value: unknown) => boolean

/** A number that a timer takes. */
const isTime: Check = (value) => typeof value === 'number' && value >= 0 && value <= MAX_TIMEOUT
const isText: Check = (value) => typeof value === 'string'
const isList = (value: unknown, each: Check): boolean => Array.isArray(value) && value.every(each)

function isShape(value: unknown, shape: Readonly<Record<string, Check>>): boolean {
  if (typeof value !== 'object' || value === null) return false
  return Object.entries(value).every(([name, one]) => one === undefined || shape[name]?.(one) === true)
}

function isRoute(value: unknown): boolean {
  const shape: Record<string, Check> = {
    url: isText,
    headers: (one) => one === Object(one),
    fetch: (one) => typeof one === 'function',
  }
  return isText(value) || isShape(value, shape)
}

const CHECKS: Readonly<Partial<Record<keyof DialOptions, Check>>> = {
  timeout: (value) => isTime(value) && value !== 0,
  protocols: (value) => isText(value) || isList(value, isText),
  // AbortSignals of other realms are no instances of ours.
  signal: (value) => 'addEventListener' in Object(value),
  roads: (value) => isList(value, (road) => ROADS.includes(road)),
  ticket: isRoute,
  renew: isRoute,
  reconnect: (value) =>
    value === false || isShape(value, { minDelay: isTime, maxDelay: isTime, attempts: (one) => Number(one) >= 0 }),
  allowedHosts: (value) => isList(value, isText),
}

// These say who asks, and from where; they prove nothing.
const PLAIN = /^(origin|user-agent)$/i

function only(headers: HeaderMap, isPlain: boolean): HeaderMap {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => PLAIN.test(name) === isPlain))
}

/** @throws DialError `bad_request` */
export function checkOptions(shown: string, url: URL, options: DialOptions): ReturnType<Runtime['check']> {
  const what = Object.entries(options).find(
    ([name, value]) => value !== undefined && CHECKS[name as keyof DialOptions]?.(value) === false,
  )?.[0]
  if (what !== undefined) throw failInNode({ code: 'bad_request', url: shown, what })
  if (url.hash !== '') throw failInNode({ code: 'bad_request', url: shown, what: 'fragment' })
  const { headers = {} } = options
  checkHeaders(shown, headers)
  checkProtocols(shown, [options.protocols ?? []].flat())
  return { headers: only(headers, false), plain: only(headers, true) }
}

/** @throws DialError `bad_request`, which names no value: it may be a credential. */
export function checkHeaders(shown: string, headers: HeaderMap): void {
  for (const [name, value] of Object.entries(headers)) {
    if (!TOKEN.test(name)) throw wrong(shown, 'A header name has letters, digits and - only.')
    const lower = name.toLowerCase()
    if (OURS.has(lower)) throw wrong(shown, `The handshake itself sets the header ${lower}.`)
    if (lower === 'sec-websocket-protocol') throw wrong(shown, 'Offer subprotocols with the option protocols.')
    const values: readonly unknown[] = Array.isArray(value) ? value : [value]
    if (!values.every((one) => typeof one === 'string' && FIELD_VALUE.test(one))) {
      throw wrong(shown, `The value of the header ${lower} is no text that HTTP can carry (RFC 9110 section 5.5).`)
    }
  }
}

/** @throws DialError `bad_request`, which names no protocol: it may be a credential. */
export function checkProtocols(shown: string, protocols: readonly string[]): void {
  if (!protocols.every((one) => TOKEN.test(one)))
    throw wrong(shown, "Each subprotocol must be a token: letters, digits and !#$%&'*+-.^_`|~.")
  if (new Set(protocols).size !== protocols.length) throw wrong(shown, 'Offer each subprotocol once.')
}
