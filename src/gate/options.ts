import { Gate101Error } from '../core/errors.ts'
import { systemClock, type Clock } from '../core/clock.ts'
import type { IdentityInput } from '../core/identity.ts'
import type { Scheme } from '../core/scheme.ts'
import type { Duration } from '../core/duration.ts'
import type { SubprotocolForm } from '../credentials/subprotocol.ts'
import { checkNames, isRecord } from './check-names.ts'
import type { ClusterEngine } from '../cluster/engine.ts'
import type { ClusterLossOption } from './cluster-options.ts'
import type { CloseCodesOption, RecheckOption, SessionStoreLike } from './life-options.ts'
import type { FirstMessageOption, FirstMessagePolicy, TicketsOption } from './road-options.ts'

/** What `origins` may be: see {@link GateOptions.origins}. */
export type OriginsOption =
  | 'same-origin'
  | readonly string[]
  | {
      readonly allow: 'same-origin' | readonly string[]
      /** What a handshake without Origin gets. @defaultValue `'unless-ambient'` */
      readonly missing?: 'unless-ambient' | 'allow' | 'refuse'
    }

/** Bounds. None can be switched off. */
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
  /** Sockets that wait for their first message, over all addresses. @defaultValue 1024 */
  readonly waiting?: number
  /** Sockets that wait, for one client address (IPv6: one /64). @defaultValue 16 */
  readonly waitingPerAddress?: number
  /** Milliseconds in which the first message must come. @defaultValue 5000 */
  readonly firstMessage?: number
  /** Open connections. @defaultValue 100000 */
  readonly connections?: number
  /** Open connections of one subject of one issuer. @defaultValue no bound but `connections` */
  readonly connectionsPerSubject?: number
  /** Open connections of one session. @defaultValue no bound but `connections` */
  readonly connectionsPerSession?: number
  /** Open connections of one client address (IPv6: one /64). @defaultValue no bound but `connections` */
  readonly connectionsPerAddress?: number
  /** How often one connection may be renewed within a minute. @defaultValue 10 */
  readonly renewalsPerMinute?: number
  /** Bytes that may wait for a client that does not read; looked at with each heartbeat. @defaultValue 16777216 */
  readonly buffered?: number
  /**
   * What becomes of one connection too many of a subject or session: it is refused with 429, or the oldest one of the same
   * session (key, token) is ended with 4409 for it. @defaultValue `'refuse'`
   */
  readonly overflow?: 'refuse' | 'replace-oldest'
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
  /**
   * Lets a client send its credential in the first message after connecting: where the app refuses a handshake that
   * carries no explicit credential, the socket opens for the client alone, waits for one message, and the app is asked
   * again. @defaultValue off
   */
  readonly firstMessage?: FirstMessageOption
  /** Bounds of the tickets that the routes of `gate.ticket()` make. */
  readonly tickets?: TicketsOption
  /**
   * Takes bearer tokens from subprotocol items. `true` is `['gate101']`, the item
   * `base64url.bearer.authorization.gate101.<base64url>`. @defaultValue off
   */
  readonly subprotocolTokens?: boolean | readonly SubprotocolForm[]
  /**
   * Takes a bearer token from the URL (RFC 6750 section 2.3): from `access_token`, or the parameter named here. URLs end up
   * in logs of proxies: prefer tickets. @defaultValue off
   */
  readonly dangerouslyAllowQueryToken?: boolean | string
  /**
   * Names of cookies that may occur once in a handshake, such as `connect.sid`. Those with the prefix `__Host-` or
   * `__Secure-` always may only once.
   */
  readonly sessionCookies?: readonly string[]
  /**
   * How refusals are told: as HTTP answers, or (`'auto'`) by opening and closing at once, with a code that a page can
   * read, where the client offers the subprotocol `refusal.gate101`. @defaultValue `'http'`
   */
  readonly refuse?: 'http' | 'auto'
  /**
   * How open connections are asked about again: the app is run with the handshake as it came, no network, nothing
   * saved. `false` switches it off, and nothing of the handshake is kept. @defaultValue every minute
   */
  readonly recheck?: false | RecheckOption<Claims>
  /**
   * How old a connection may get, whatever is renewed. One whose credential was a password, or was signed for one request,
   * must be renewed within an hour. @defaultValue `'24h'`
   */
  readonly maxAge?: Duration
  /** Connections end up to this part of their time early, at random, so that not all come back at once. 0 to 0.2. @defaultValue 0 */
  readonly expiryJitter?: number
  /**
   * How often clients that send nothing are pinged; two pings without an answer end the connection, and so does a client
   * that lets more than `limits.buffered` wait. Of sockets of `gate.websocket()` and of `ws`. @defaultValue `false`
   */
  readonly heartbeat?: false | Duration
  /** For how long a revocation is remembered: the longest life of any credential. @defaultValue `'90d'` */
  readonly maxCredentialAge?: Duration
  /** Codes of the Close frames: a profile, or codes of your own. A route may have others. @defaultValue `'default'` */
  readonly closeCodes?: CloseCodesOption
  /**
   * The object in which your session middleware keeps sessions. What is destroyed there (`req.session.destroy()`,
   * `regenerate()`) is asked about at once.
   */
  readonly sessionStore?: SessionStoreLike
  /**
   * What several nodes share: `redisCluster(client)`, `natsCluster(connection)`, `postgresCluster(client)`, `ipcCluster()`. Needs
   * `secret`, the same for all of them.
   */
  readonly cluster?: ClusterEngine
  /** What becomes of open connections while the engine of the cluster is away. @defaultValue `{ after: '30s', then: 'recheck' }` */
  readonly onClusterLoss?: ClusterLossOption
  /**
   * Lets people in while the engine of the cluster is away: they may have been revoked. @defaultValue `false`: 503
   */
  readonly dangerouslyAcceptWhenStale?: boolean
  /**
   * At least 32 bytes from a random generator; of several, the first is used for what is made and all for what is read.
   * Give the same to all nodes. @defaultValue random for each process
   */
  readonly secret?: string | Uint8Array | ReadonlyArray<string | Uint8Array>
  /** Where all time comes from, for tests. @defaultValue the system's */
  readonly clock?: Clock
}

/** {@link LimitsOption} with every default filled in. */
export type Limits = Required<LimitsOption>

const OVERFLOW = ['refuse', 'replace-oldest']

const LIMITS: Limits = {
  handshakes: 2048,
  handshakesPerAddress: 256,
  deadline: 10_000,
  answer: 1024 * 1024,
  message: 1024 * 1024,
  waiting: 1024,
  waitingPerAddress: 16,
  firstMessage: 5000,
  connections: 100_000,
  connectionsPerSubject: Infinity,
  connectionsPerSession: Infinity,
  connectionsPerAddress: Infinity,
  renewalsPerMinute: 10,
  buffered: 16 * 1024 * 1024,
  overflow: 'refuse',
}

/** Header lines that a handshake may have. */
export const MAX_HEADERS = 64

const KNOWN = [
  'identify',
  'authenticate',
  'credentialHeaders',
  'origins',
  'hosts',
  'trustedProxies',
  'limits',
  'firstMessage',
  'tickets',
  'subprotocolTokens',
  'dangerouslyAllowQueryToken',
  'sessionCookies',
  'refuse',
  'recheck',
  'maxAge',
  'heartbeat',
  'expiryJitter',
  'maxCredentialAge',
  'closeCodes',
  'sessionStore',
  'cluster',
  'onClusterLoss',
  'dangerouslyAcceptWhenStale',
  'secret',
  'clock',
]

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

function wrong(message: string): Gate101Error {
  return new Gate101Error('GATE101_CONFIG', `createGate: ${message}`)
}

export function readLimits(given: LimitsOption = {}): Limits {
  if (!isRecord(given)) throw wrong('limits must be an object.')
  checkNames('createGate: limits', given, Object.keys(LIMITS))
  const limits = { ...LIMITS, ...given }
  if (!OVERFLOW.includes(limits.overflow)) throw wrong('limits.overflow must be "refuse" or "replace-oldest".')
  for (const [name, value] of Object.entries(given)) {
    if (name === 'overflow') continue
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
  firstMessage: FirstMessagePolicy | undefined,
): readonly string[] {
  const names = given ?? ['authorization', 'cookie', 'x-api-key']
  if (!Array.isArray(names) || names.some((name) => typeof name !== 'string' || !TOKEN.test(name))) {
    throw wrong('credentialHeaders must be a list of header names.')
  }
  const read = [...schemes.flatMap((scheme) => scheme.headers), ...(firstMessage?.headers ?? [])]
  return [...new Set([...names, ...read].map((name) => name.toLowerCase()))]
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

export function readClock(given: Clock = systemClock): Clock {
  if (typeof given?.now === 'function' && typeof given.after === 'function') return given
  throw wrong('clock must have the functions now() and after(ms, call).')
}
