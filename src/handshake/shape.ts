import { refuse, type Refuse } from '../core/decision.ts'
import type { Handshake } from '../core/handshake.ts'

export interface ShapeOptions {
  /** Lower-case names of headers that may occur once: those that carry credentials, Cookie excepted. */
  readonly singleHeaders: readonly string[]
  readonly maxHeaders: number
  readonly maxCredentialBytes: number
}

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
// 16 bytes in base64: 22 characters, of which the last carries 4 bits that must be 0.
const KEY = /^[A-Za-z0-9+/]{21}[AQgw]==$/
const HOST = /^(?:[A-Za-z0-9._~!$&'()*+,;=-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?$/
const MAX_PROTOCOLS = 32

/** What is collected in one pass over the headers: values by name, for the names that matter. */
type Seen = Map<string, string[]>

const WATCHED = new Set([
  'host',
  'upgrade',
  'connection',
  'sec-websocket-version',
  'sec-websocket-key',
  'sec-websocket-protocol',
  'content-length',
  'transfer-encoding',
  'expect',
  'origin',
])

/**
 * Is this a well-formed WebSocket handshake (RFC 6455 section 4.2.1)? Stricter than the RFC where leniency has hurt:
 * nothing that decides about access may occur twice.
 */
export function checkShape(handshake: Handshake, options: ShapeOptions): Refuse | undefined {
  // First: Node cuts a flood of headers off silently, and a header that seems absent may have been cut.
  if (handshake.headers.length > options.maxHeaders) return refuse('headers_too_large')
  const seen = collect(handshake, options)
  if (handshake.method !== 'GET') return refuse('method_not_allowed')
  if (handshake.httpVersion !== '1.1') return refuse('http_version')
  return (
    checkHost(seen) ??
    checkUpgrade(seen) ??
    checkBody(seen) ??
    checkVersionAndKey(seen) ??
    checkSingles(seen, options) ??
    checkProtocols(seen)
  )
}

function collect(handshake: Handshake, options: ShapeOptions): Seen {
  const seen: Seen = new Map()
  for (const [field, value] of handshake.headers) {
    const name = field.toLowerCase()
    if (!WATCHED.has(name) && !options.singleHeaders.includes(name)) continue
    const values = seen.get(name)
    if (values === undefined) seen.set(name, [value])
    else values.push(value)
  }
  return seen
}

function checkHost(seen: Seen): Refuse | undefined {
  const [host, ...more] = seen.get('host') ?? []
  return host === undefined || more.length > 0 || !HOST.test(host) ? refuse('bad_host') : undefined
}

function isOnly(values: readonly string[] | undefined, token: string): boolean {
  const [value] = values ?? []
  return values?.length === 1 && value?.length === token.length && value.toLowerCase() === token
}

function tokens(values: readonly string[] | undefined): string[] {
  return (values ?? []).flatMap((value) => value.split(',')).map((token) => token.trim().toLowerCase())
}

function checkUpgrade(seen: Seen): Refuse | undefined {
  if (isOnly(seen.get('upgrade'), 'websocket') && isOnly(seen.get('connection'), 'upgrade')) return undefined
  const upgrades = tokens(seen.get('upgrade'))
  if (!upgrades.includes('websocket')) return refuse('upgrade_required')
  if (upgrades.length !== 1) return refuse('bad_upgrade')
  // Any other name here would take that header away at the next hop (RFC 9110 section 7.6.1).
  const options = tokens(seen.get('connection'))
  const known = options.every((option) => option === 'upgrade' || option === 'keep-alive' || option === 'close')
  return known && options.includes('upgrade') ? undefined : refuse('bad_connection')
}

function checkBody(seen: Seen): Refuse | undefined {
  if (seen.has('expect')) return refuse('expectation_failed')
  const [length, ...more] = seen.get('content-length') ?? []
  const empty = length === undefined || (length === '0' && more.length === 0)
  return empty && !seen.has('transfer-encoding') ? undefined : refuse('body_not_allowed')
}

function checkVersionAndKey(seen: Seen): Refuse | undefined {
  const versions = seen.get('sec-websocket-version') ?? []
  if (versions.length > 1) return refuse('duplicate_header')
  if (versions[0] !== '13') return refuse('bad_version')
  const keys = seen.get('sec-websocket-key') ?? []
  if (keys.length > 1) return refuse('duplicate_header')
  return KEY.test(keys[0] ?? '') ? undefined : refuse('bad_key')
}

function checkSingles(seen: Seen, options: ShapeOptions): Refuse | undefined {
  if ((seen.get('origin')?.length ?? 0) > 1) return refuse('duplicate_header')
  for (const name of options.singleHeaders) {
    const values = seen.get(name)
    if (values === undefined) continue
    if (values.length > 1) return refuse('duplicate_header')
    if ((values[0]?.length ?? 0) > options.maxCredentialBytes) return refuse('headers_too_large')
  }
  return undefined
}

function checkProtocols(seen: Seen): Refuse | undefined {
  const values = seen.get('sec-websocket-protocol')
  if (values === undefined) return undefined
  const offered = values.flatMap((value) => value.split(',', MAX_PROTOCOLS + 2)).map((token) => token.trim())
  const valid = offered.length <= MAX_PROTOCOLS && offered.every((token) => TOKEN.test(token))
  return valid && new Set(offered).size === offered.length ? undefined : refuse('bad_protocol')
}
