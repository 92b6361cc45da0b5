import { readDuration, type Duration } from '../core/duration.ts'
import { PROFILES, type CloseProfile, type EndKind } from '../core/end.ts'
import { Gate101Error } from '../core/errors.ts'
import type { Identity, IdentityInput } from '../core/identity.ts'
import type { RecheckPolicy } from '../connections/rechecks.ts'
import { checkNames, isRecord } from './check-names.ts'

/**
 * Says whether somebody may stay: true, or their identity as it is now; anything else ends the connection. A throw, or no
 * answer within `limits.deadline`, is no answer.
 */
export type RecheckCheck<Claims = unknown> = (
  identity: Identity<Claims>,
  options: { readonly signal: AbortSignal },
) => boolean | IdentityInput<Claims> | null | undefined | Promise<boolean | IdentityInput<Claims> | null | undefined>

/** Asking again about open connections: see {@link GateOptions.recheck}. */
export interface RecheckOption<Claims = unknown> {
  /** How often each credential is asked about. @defaultValue `'60s'` */
  readonly every?: Duration
  /** Up to this part of `every` sooner, at random. 0 to 1. @defaultValue 0.2 */
  readonly jitter?: number
  /** Questions under way at a time. @defaultValue 16 */
  readonly concurrency?: number
  /**
   * What becomes of connections about which there is no answer (the app answers 408, 425, 429 or 5xx, throws or hangs) for
   * as long as `after`. @defaultValue `{ after: '10m', then: 'close' }`
   */
  readonly onError?: { readonly after?: Duration; readonly then?: 'close' | 'keep' }
  /** Asked in the place of the app: also where the credential was a password, which is not kept. */
  readonly check?: RecheckCheck<Claims>
}

/** {@link RecheckOption}, read. */
export interface Recheck extends RecheckPolicy {
  readonly check: RecheckCheck | undefined
}

/** Which codes connections end with: a profile, or codes of your own for some kinds of end. */
export type CloseCodesOption = keyof typeof PROFILES | Readonly<Partial<Record<EndKind, number>>>

/** The object that keeps an app's sessions, as express-session and its relatives call it. */
export interface SessionStoreLike {
  destroy(id: string, ...rest: never[]): unknown
}

const MIN_EVERY = 100
const MAX_JITTER = 0.2

function wrong(message: string): Gate101Error {
  return new Gate101Error('GATE101_CONFIG', `createGate: ${message}`)
}

/** @throws Gate101Error `GATE101_CONFIG` for what is no duration of at least `min` milliseconds. */
export function durationOf(name: string, given: unknown, min = 1): number {
  const ms = readDuration(given)
  if (ms !== undefined && ms >= min) return ms
  throw wrong(`${name} must be milliseconds, or a text such as "30s", "10m", "24h" or "90d"; at least ${min} ms.`)
}

/** @returns undefined where re-checks are switched off. */
export function readRecheck(given: false | RecheckOption = {}): Recheck | undefined {
  if (given === false) return undefined
  if (!isRecord(given)) throw wrong('recheck must be an object, or false.')
  checkNames('createGate: recheck', given, ['every', 'jitter', 'concurrency', 'onError', 'check'])
  const { every = '60s', jitter = 0.2, concurrency = 16, onError = {}, check } = given
  if (!isPart(jitter, 1)) throw wrong('recheck.jitter must be a number from 0 to 1.')
  if (!Number.isSafeInteger(concurrency) || concurrency < 1)
    throw wrong('recheck.concurrency must be a positive whole number.')
  if (check !== undefined && typeof check !== 'function') throw wrong('recheck.check must be a function.')
  if (!isRecord(onError)) throw wrong('recheck.onError must be an object.')
  checkNames('createGate: recheck.onError', onError, ['after', 'then'])
  const { after = '10m', then = 'close' } = onError
  if (then !== 'close' && then !== 'keep') throw wrong('recheck.onError.then must be "close" or "keep".')
  return {
    every: durationOf('recheck.every', every, MIN_EVERY),
    jitter,
    concurrency,
    grace: durationOf('recheck.onError.after', after, 0),
    closeAfterGrace: then === 'close',
    check,
  }
}

function isPart(value: unknown, max: number): boolean {
  return typeof value === 'number' && value >= 0 && value <= max
}

export function readExpiryJitter(given = 0): number {
  if (isPart(given, MAX_JITTER)) return given
  throw wrong(`expiryJitter must be a number from 0 to ${MAX_JITTER}.`)
}

/** @returns milliseconds; undefined where it is off. */
export function readHeartbeat(given: false | Duration = false): number | undefined {
  if (given === false) return undefined
  const every = durationOf('heartbeat', given, MIN_EVERY)
  if (every < 2 ** 31) return every
  throw wrong('heartbeat must be less than 2^31 ms, some 24 days.')
}

export function readCloseCodes(where: string, given: CloseCodesOption = 'default'): CloseProfile {
  if (typeof given === 'string' && Object.hasOwn(PROFILES, given)) return PROFILES[given]
  if (!isRecord(given))
    throw new Gate101Error(
      'GATE101_CONFIG',
      `${where}: closeCodes must be one of ${Object.keys(PROFILES).join(', ')}, or an object of codes.`,
    )
  checkNames(`${where}: closeCodes`, given, Object.keys(PROFILES.default))
  for (const [kind, code] of Object.entries(given)) {
    if (!isCloseCode(code))
      throw new Gate101Error(
        'GATE101_CONFIG',
        `${where}: closeCodes.${kind} must be a code that a server may send: 1008, 1011 to 1014, or 3000 to 4999.`,
      )
  }
  return { ...PROFILES.default, ...given }
}

/** RFC 6455 section 7.4. */
function isCloseCode(code: unknown): boolean {
  if (typeof code !== 'number' || !Number.isInteger(code)) return false
  return (code >= 3000 && code <= 4999) || (code >= 1008 && code <= 1014 && code !== 1010)
}

export function checkSessionStore(store: SessionStoreLike | undefined): void {
  if (store === undefined || typeof store?.destroy === 'function') return
  throw wrong('sessionStore must be the store object of your session middleware: it has the function destroy(id).')
}
