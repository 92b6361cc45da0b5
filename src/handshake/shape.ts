import { isIPv6 } from 'node:net'
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

/** What one pass over the headers finds: how often, and the last value. */
class Seen {
  hosts = 0
  host = ''
  upgrades: string[] = []
  connections: string[] = []
  versions = 0
  version = ''
  keys = 0
  key = ''
  protocols: string[] | undefined
  lengths = 0
  bodies = 0
  expects = 0
  origins = 0
  doubled = false
  oversized = false
}

/**
 * Is this a well-formed WebSocket handshake (RFC 6455 section 4.2.1)? Stricter than the RFC where leniency has hurt:
 * nothing that decides about access may occur twice.
 */
export function checkShape(handshake: Handshake, options: ShapeOptions): Refuse | undefined {
  // First: Node cuts a flood of headers off silently, and a header that seems absent may have been cut.
  if (handshake.headers.length > options.maxHeaders) return refuse('headers_too_large')
  if (handshake.method !== 'GET') return refuse('method_not_allowed')
  if (handshake.httpVersion !== '1.1') return refuse('http_version')
  const seen = collect(handshake, options)
  if (seen.hosts !== 1 || !isHost(seen.host)) return refuse('bad_host')
  return checkUpgrade(seen) ?? checkBody(seen) ?? checkVersionAndKey(seen) ?? checkSingles(seen) ?? checkProtocols(seen)
}

function collect(handshake: Handshake, options: ShapeOptions): Seen {
  const seen = new Seen()
  const singles: string[] = []
  for (const [name, value] of handshake.headers) {
    if (options.singleHeaders.includes(name)) {
      seen.doubled ||= singles.includes(name)
      seen.oversized ||= value.length > options.maxCredentialBytes
      singles.push(name)
    }
    note(seen, name, value)
  }
  return seen
}

function note(seen: Seen, name: string, value: string): void {
  switch (name) {
    case 'host':
      seen.hosts++
      seen.host = value
      break
    case 'upgrade':
      seen.upgrades.push(value)
      break
    case 'connection':
      seen.connections.push(value)
      break
    case 'sec-websocket-version':
      seen.versions++
      seen.version = value
      break
    case 'sec-websocket-key':
      seen.keys++
      seen.key = value
      break
    case 'sec-websocket-protocol':
      ;(seen.protocols ??= []).push(value)
      break
    case 'content-length':
      seen.lengths++
      if (value !== '0' || seen.lengths > 1) seen.bodies++
      break
    case 'transfer-encoding':
      seen.bodies++
      break
    case 'expect':
      seen.expects++
      break
    case 'origin':
      seen.origins++
      break
    default:
  }
}

/** The part of it that a plain request must fulfil as well: what decides about access occurs once, and is not too large. */
export function checkCredentialHeaders(handshake: Handshake, options: ShapeOptions): Refuse | undefined {
  return checkSingles(collect(handshake, options))
}

function isHost(host: string): boolean {
  if (!HOST.test(host)) return false
  return !host.startsWith('[') || isIPv6(host.slice(1, host.indexOf(']')))
}

function isOnly(values: readonly string[], token: string): boolean {
  const [value = ''] = values
  return values.length === 1 && value.length === token.length && value.toLowerCase() === token
}

function tokens(values: readonly string[]): string[] {
  return values.flatMap((value) => value.split(',')).map((token) => trim(token).toLowerCase())
}

/** Optional white space is SP and HTAB (RFC 9110 section 5.6.3); `String.trim` would take U+00A0 away as well. */
function trim(text: string): string {
  let start = 0
  let end = text.length
  while (start < end && isSpace(text.charCodeAt(start))) start++
  while (end > start && isSpace(text.charCodeAt(end - 1))) end--
  return text.slice(start, end)
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09
}

function checkUpgrade(seen: Seen): Refuse | undefined {
  if (isOnly(seen.upgrades, 'websocket') && isOnly(seen.connections, 'upgrade')) return undefined
  const upgrades = tokens(seen.upgrades)
  if (!upgrades.includes('websocket')) return refuse('upgrade_required')
  if (upgrades.length !== 1) return refuse('bad_upgrade')
  // Any other name here would take that header away at the next hop (RFC 9110 section 7.6.1).
  const named = tokens(seen.connections)
  const known = named.every((option) => option === 'upgrade' || option === 'keep-alive' || option === 'close')
  return known && named.includes('upgrade') ? undefined : refuse('bad_connection')
}

function checkBody(seen: Seen): Refuse | undefined {
  if (seen.expects > 0) return refuse('expectation_failed')
  return seen.bodies > 0 ? refuse('body_not_allowed') : undefined
}

function checkVersionAndKey(seen: Seen): Refuse | undefined {
  if (seen.versions > 1 || seen.keys > 1) return refuse('duplicate_header')
  if (seen.version !== '13') return refuse('bad_version')
  return KEY.test(seen.key) ? undefined : refuse('bad_key')
}

function checkSingles(seen: Seen): Refuse | undefined {
  if (seen.origins > 1 || seen.doubled) return refuse('duplicate_header')
  return seen.oversized ? refuse('headers_too_large') : undefined
}

function checkProtocols(seen: Seen): Refuse | undefined {
  if (seen.protocols === undefined) return undefined
  const offered = seen.protocols.flatMap((value) => value.split(',', MAX_PROTOCOLS + 2)).map(trim)
  const valid = offered.length <= MAX_PROTOCOLS && offered.every((token) => TOKEN.test(token))
  return valid && new Set(offered).size === offered.length ? undefined : refuse('bad_protocol')
}
