import { Gate101Error } from '../core/errors.ts'
import type { IdentityInput } from '../core/identity.ts'
import type { Scheme } from '../core/scheme.ts'

/** What `origins` may be: see {@link GateOptions.origins}. */
export type OriginsOption =
  | 'same-origin'
  | readonly string[]
  | {
      readonly allow: 'same-origin' | readonly string[]
      /** What a handshake without Origin gets. @defaultValue `'unless-ambient'` */
      readonly missing?: 'unless-ambient' | 'allow' | 'refuse'
    }

/** Bounds. Every one has a default; none can be switched off. */
export interface LimitsOption {
  /** Handshakes being decided at once, over all addresses. @defaultValue 2048 */
  readonly handshakes?: number
  /** Handshakes being decided at once for one client address (IPv6: one /64). @defaultValue 256 */
  readonly handshakesPerAddress?: number
  /** Milliseconds from the handshake to the end of the answer. @defaultValue 10000 */
  readonly deadline?: number
  /** Bytes of the body of the app's own refusal. @defaultValue 1048576 */
  readonly answer?: number
  /** Bytes of one message on sockets of `gate.websocket()`. @defaultValue 1048576 */
  readonly message?: number
}

/**
 * Options of `createGate`. Give `identify` where the app's middleware decides, or `authenticate` where there is no app.
 *
 * @typeParam Context - what `identify` gets: the framework's own request context.
 * @typeParam Claims - type of `identity.claims`.
 */
export interface GateOptions<Context = unknown, Claims = unknown> {
  /**
   * Says who an accepted request is from. Called after the app has let the handshake in, with the request as the
   * middleware left it. No subject (or a throw) refuses.
   */
  readonly identify?: (
    context: Context,
  ) => IdentityInput<Claims> | null | undefined | Promise<IdentityInput<Claims> | null | undefined>
  /** Built-in verification: one scheme, or several of which exactly one may find its credential. */
  readonly authenticate?: Scheme<Claims> | ReadonlyArray<Scheme<Claims>>
  /** Names of headers that carry credentials. @defaultValue `['authorization', 'cookie', 'x-api-key']` and what the schemes read */
  readonly credentialHeaders?: readonly string[]
  /** Which pages may connect. @defaultValue `'same-origin'` */
  readonly origins?: OriginsOption
  /** Names this server answers to, where it is reached on a loopback or private address. */
  readonly hosts?: readonly string[]
  /** Addresses and CIDR ranges of proxies whose forwarding headers are believed. @defaultValue none */
  readonly trustedProxies?: readonly string[]
  readonly limits?: LimitsOption
}

/** {@link LimitsOption} with every default filled in. */
export type Limits = Required<LimitsOption>

const LIMITS: Limits = {
  handshakes: 2048,
  handshakesPerAddress: 256,
  deadline: 10_000,
  answer: 1024 * 1024,
  message: 1024 * 1024,
}

/** Header lines that a handshake may have. */
export const MAX_HEADERS = 64

const KNOWN = ['identify', 'authenticate', 'credentialHeaders', 'origins', 'hosts', 'trustedProxies', 'limits']

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

function wrong(message: string): Gate101Error {
  return new Gate101Error('GATE101_CONFIG', `createGate: ${message}`)
}

/** Refuses unknown names: a misspelt option would otherwise silently not protect. */
export function checkNames(where: string, given: object, known: readonly string[]): void {
  for (const name of Object.keys(given)) {
    if (!known.includes(name))
      throw new Gate101Error('GATE101_CONFIG', `${where}: unknown option "${name}". Known: ${known.join(', ')}.`)
  }
}

export function readLimits(given: LimitsOption = {}): Limits {
  checkNames('createGate: limits', given, Object.keys(LIMITS))
  const limits = { ...LIMITS, ...given }
  for (const [name, value] of Object.entries(limits)) {
    if (!Number.isSafeInteger(value) || value <= 0 || value > 2 ** 31 - 1)
      throw wrong(`limits.${name} must be a positive whole number.`)
  }
  return limits
}

export function readSchemes<Claims>(given: GateOptions<never, Claims>['authenticate']): ReadonlyArray<Scheme<Claims>> {
  if (given === undefined) return []
  const schemes = Array.isArray(given) ? (given as ReadonlyArray<Scheme<Claims>>) : [given as Scheme<Claims>]
  if (schemes.length === 0) throw wrong('authenticate is an empty list; give at least one scheme of gate101/schemes.')
  for (const scheme of schemes) {
    if (typeof scheme?.verify !== 'function')
      throw wrong('authenticate must be a scheme of gate101/schemes, or a list of them.')
  }
  return schemes
}

export function readCredentialHeaders(
  given: readonly string[] | undefined,
  schemes: readonly Scheme[],
): readonly string[] {
  const names = given ?? ['authorization', 'cookie', 'x-api-key']
  if (!Array.isArray(names) || names.some((name) => typeof name !== 'string' || !TOKEN.test(name))) {
    throw wrong('credentialHeaders must be a list of header names.')
  }
  return [...new Set([...names, ...schemes.flatMap((scheme) => scheme.headers)].map((name) => name.toLowerCase()))]
}

/** Which of the two doors the gate has. @throws Gate101Error where neither or both are given. */
export function checkOptions(options: GateOptions<never>): void {
  if (typeof options !== 'object' || options === null) throw wrong('options must be an object.')
  checkNames('createGate', options, KNOWN)
  const { identify, authenticate } = options
  if (identify === undefined && authenticate === undefined) {
    throw wrong('give `identify` (your app decides) or `authenticate` (schemes decide).')
  }
  if (identify !== undefined && authenticate !== undefined) {
    throw wrong('give `identify` or `authenticate`, not both: with both it would be unclear who decides.')
  }
  if (identify !== undefined && typeof identify !== 'function') throw wrong('identify must be a function.')
}
