import { isIPv4, isIPv6 } from 'node:net'
import { refuse, type Refuse } from '../core/decision.ts'
import { Gate101Error } from '../core/errors.ts'
import { valueOf, type Handshake } from '../core/handshake.ts'
import { isAmbientOnly, type Presented } from './presented.ts'
import { effectiveHost, type ProxyTrust } from './trust.ts'

/** An Origin as a tuple (RFC 6454 section 4): never compared as text. */
export interface Origin {
  readonly scheme: string
  readonly host: string
  /** The default port of the scheme where none is written; `''` for schemes that have none. */
  readonly port: string
}

type Missing = 'unless-ambient' | 'allow' | 'refuse'

export interface OriginOptions {
  readonly origins:
    | 'same-origin'
    | readonly string[]
    | { readonly allow: 'same-origin' | readonly string[]; readonly missing?: Missing }
    | undefined
  readonly trust: ProxyTrust
}

export interface OriginCheck {
  check(handshake: Handshake, presented: Presented): Refuse | undefined
  /** Hosts of the allowed origins. */
  readonly hosts: readonly string[]
}

// Folded after the match, not before: lower case turns some letters beyond ASCII into ASCII ones.
const SERIALIZED = /^([a-z][a-z0-9+.-]*):\/\/(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?$/i
const DEFAULT_PORTS: ReadonlyMap<string, string> = new Map([
  ['http', '80'],
  ['https', '443'],
  ['ws', '80'],
  ['wss', '443'],
])

/** Reads a serialized origin (RFC 6454 section 6.2), strictly. */
export function parseOrigin(text: string): Origin | undefined {
  const parts = text.length > 512 ? null : SERIALIZED.exec(text)
  if (parts === null) return undefined
  const [, writtenScheme = '', writtenHost = '', written] = parts
  const scheme = writtenScheme.toLowerCase()
  const host = writtenHost.toLowerCase()
  if (!isCanonicalHost(host)) return undefined
  if (written !== undefined && (Number(written) > 65535 || (written.length > 1 && written.startsWith('0'))))
    return undefined
  return { scheme, host, port: written ?? DEFAULT_PORTS.get(scheme) ?? '' }
}

/** Browsers write an address in one form only; another form of it comes from somebody who tries. */
function isCanonicalHost(host: string): boolean {
  if (host.startsWith('[')) return isIPv6(host.slice(1, -1)) && new URL(`http://${host}`).hostname === host
  if (host.startsWith('.') || host.endsWith('.') || host.includes('..')) return false
  const last = host.slice(host.lastIndexOf('.') + 1)
  return /^(?:[0-9]+|0x[0-9a-f]*)$/.test(last) ? isIPv4(host) : true
}

function equal(a: Origin, b: Origin): boolean {
  return a.scheme === b.scheme && a.host === b.host && a.port === b.port
}

/**
 * Rules O1 to O3: a present Origin must pass; without one, an ambient credential alone is not enough.
 *
 * @throws Gate101Error `GATE101_CONFIG` for anything that is neither `'same-origin'` nor a list of origins.
 */
export function createOriginCheck(options: OriginOptions): OriginCheck {
  const { allow, missing } = read(options.origins)
  const sameOrigin = allow.includes('same-origin')
  const listed = allow.filter((entry) => entry !== 'same-origin').map(listedOrigin)
  return {
    hosts: listed.map((origin) => origin.host),
    check(handshake, presented): Refuse | undefined {
      const text = valueOf(handshake, 'origin')
      if (valueOf(handshake, 'sec-fetch-mode') === 'navigate') return refuse('cross_site')
      const crossSite = valueOf(handshake, 'sec-fetch-site') === 'cross-site'
      if (text === undefined) {
        if (crossSite && sameOrigin) return refuse('cross_site')
        return checkMissing(missing, presented)
      }
      const origin = parseOrigin(text)
      if (origin === undefined) return refuse('bad_origin')
      if (listed.some((entry) => equal(entry, origin))) return undefined
      if (!sameOrigin || !isSameOrigin(origin, handshake, options.trust)) return refuse('bad_origin')
      return crossSite ? refuse('cross_site') : undefined
    },
  }
}

function checkMissing(missing: Missing, presented: Presented): Refuse | undefined {
  if (missing === 'allow') return undefined
  return missing === 'refuse' || isAmbientOnly(presented) ? refuse('missing_origin') : undefined
}

/** TLS that ends in front of this server shows as an https Origin on a plain socket; the other way round it is a fraud. */
function isSameOrigin(origin: Origin, handshake: Handshake, trust: ProxyTrust): boolean {
  if (origin.scheme !== 'http' && origin.scheme !== 'https') return false
  const { host, scheme } = effectiveHost(handshake, trust)
  if (scheme !== undefined && scheme !== origin.scheme) return false
  const target = parseOrigin(`${origin.scheme}://${host}`)
  return target !== undefined && equal(target, origin)
}

function read(origins: OriginOptions['origins']): { allow: readonly string[]; missing: Missing } {
  if (origins === undefined || origins === 'same-origin') return { allow: ['same-origin'], missing: 'unless-ambient' }
  if (typeof origins !== 'object' || origins === null)
    throw wrong(`"${String(origins)}" is a bare value; write a list: ["https://app.example.com"].`)
  if (Array.isArray(origins)) return { allow: entries(origins), missing: 'unless-ambient' }
  const { allow, missing = 'unless-ambient', ...rest } = origins as { allow: unknown; missing?: Missing }
  const [unknown] = Object.keys(rest)
  if (unknown !== undefined) throw wrong(`unknown option "${unknown}". Known: allow, missing.`)
  if (!['unless-ambient', 'allow', 'refuse'].includes(missing))
    throw wrong("missing must be 'unless-ambient', 'allow' or 'refuse'.")
  if (allow === 'same-origin') return { allow: ['same-origin'], missing }
  if (!Array.isArray(allow)) throw wrong("allow must be 'same-origin' or a list of origins.")
  return { allow: entries(allow), missing }
}

function entries(list: readonly unknown[]): readonly string[] {
  return list.map((entry) => {
    if (typeof entry !== 'string')
      throw wrong(`${String(entry)} is no text. Patterns are not supported: list each origin.`)
    return entry
  })
}

function listedOrigin(entry: string): Origin {
  const origin = parseOrigin(entry)
  if (origin !== undefined) return origin
  const advice = entry.includes('*')
    ? 'Wildcards are not supported: list each origin.'
    : 'Write scheme, host and port only, such as "https://app.example.com".'
  throw wrong(`"${entry}" is no origin. ${advice}`)
}

function wrong(message: string): Gate101Error {
  return new Gate101Error('GATE101_CONFIG', `createGate: origins: ${message}`)
}
