import { checkInjectable } from '../credentials/names.ts'
import { loginLimiter, type LoginLimiter } from '../credentials/login-limiter.ts'
import type { TicketStore } from '../core/ticket-store.ts'
import { Gate101Error } from '../core/errors.ts'
import { createPathMatch } from '../handshake/target.ts'
import { checkNames } from './check-names.ts'
import { checkCanWait } from './runtime.ts'

/** A credential in the first message: see {@link GateOptions.firstMessage}. */
export interface FirstMessageOption {
  /** Where it is on: exact (`/live`) or by prefix (`/rooms/*`). */
  readonly paths: readonly string[]
  /** Statuses of the app's answer that make a handshake without an explicit credential wait. @defaultValue `[401]` */
  readonly on?: readonly number[]
  /** Names of headers that a message may set. @defaultValue `['authorization']` */
  readonly headers?: readonly string[]
  /**
   * Reads messages of a format of your own. Returns the headers that they stand for, or nothing where the message is
   * none; the app decides about the headers as always. A throw refuses.
   */
  readonly toHeaders?: (
    message: string | Uint8Array,
    handshake: { readonly path: string },
  ) =>
    | Readonly<Record<string, string>>
    | null
    | undefined
    | Promise<Readonly<Record<string, string>> | null | undefined>
  /** Counts wrong passwords. Give the one that your HTTP login uses. @defaultValue one of the gate's own */
  readonly limiter?: LoginLimiter
}

/** Single-use tickets: see {@link GateOptions.tickets}. */
export interface TicketsOption {
  /** Where tickets wait. @defaultValue the memory of this process */
  readonly store?: TicketStore
  /** Milliseconds that a ticket is good for, at most 30000. @defaultValue 15000 */
  readonly lifetime?: number
  /** Tickets that one session may have outstanding. @defaultValue 10 */
  readonly perSession?: number
}

/** {@link FirstMessageOption}, read. */
export interface FirstMessagePolicy {
  readonly matches: (target: string) => boolean
  readonly on: readonly number[]
  readonly headers: readonly string[]
  readonly toHeaders: FirstMessageOption['toHeaders']
  readonly limiter: LoginLimiter
}

const MAX_LIFETIME = 30_000
const LIMITER = ['admit', 'failed', 'passed', 'dropped'] as const

function wrong(message: string): Gate101Error {
  return new Gate101Error('GATE101_CONFIG', `createGate: ${message}`)
}

export function readFirstMessage(given: FirstMessageOption | undefined): FirstMessagePolicy | undefined {
  if (given === undefined) return undefined
  checkCanWait()
  if (typeof given !== 'object' || given === null) throw wrong('firstMessage must be an object: { paths: ["/live"] }.')
  checkNames('createGate: firstMessage', given, ['paths', 'on', 'headers', 'toHeaders', 'limiter'])
  const { paths, on = [401], headers = ['authorization'], toHeaders, limiter = loginLimiter() } = given
  if (paths === undefined) throw wrong('firstMessage.paths must list the paths on which it is on.')
  if (!Array.isArray(on) || on.length === 0 || !on.every(isRefusalStatus))
    throw wrong('firstMessage.on must be a list of statuses from 300 to 499, such as [401, 302].')
  if (toHeaders !== undefined && typeof toHeaders !== 'function')
    throw wrong('firstMessage.toHeaders must be a function.')
  if (!LIMITER.every((name) => typeof limiter?.[name] === 'function'))
    throw wrong('firstMessage.limiter must be what loginLimiter() makes.')
  if (!Array.isArray(headers) || headers.length === 0)
    throw wrong('firstMessage.headers must be a list of header names.')
  return {
    matches: createPathMatch(paths),
    on,
    headers: checkInjectable('createGate: firstMessage.headers', headers),
    toHeaders,
    limiter,
  }
}

function isRefusalStatus(status: unknown): boolean {
  return typeof status === 'number' && Number.isInteger(status) && status >= 300 && status <= 499
}

export function readTickets(
  given: TicketsOption | undefined,
  hasSecret: boolean,
): Required<Omit<TicketsOption, 'store'>> {
  const { lifetime = 15_000, perSession = 10, store } = given ?? {}
  if (given !== undefined) checkNames('createGate: tickets', given, ['store', 'lifetime', 'perSession'])
  if (!Number.isSafeInteger(lifetime) || lifetime < 1 || lifetime > MAX_LIFETIME)
    throw wrong(`tickets.lifetime must be milliseconds from 1 to ${MAX_LIFETIME}.`)
  if (!Number.isSafeInteger(perSession) || perSession < 1)
    throw wrong('tickets.perSession must be a positive whole number.')
  if (store === undefined) return { lifetime, perSession }
  if (typeof store.add !== 'function' || typeof store.take !== 'function')
    throw wrong('tickets.store must have the functions add and take of TicketStore.')
  if (!hasSecret)
    throw wrong('tickets.store needs `secret`: every node must be able to open what another one has sealed.')
  return { lifetime, perSession }
}

/** @returns the name of the parameter; undefined where the road is off. */
export function readQueryToken(given: boolean | string | undefined): string | undefined {
  if (given === undefined || given === false) return undefined
  if (given === true) return 'access_token'
  if (typeof given === 'string' && /^[A-Za-z0-9_-]{1,64}$/.test(given) && given !== 'ticket') return given
  throw wrong('dangerouslyAllowQueryToken must be true, or the name of the parameter.')
}

export function readSessionCookies(given: readonly string[] | undefined): readonly string[] {
  if (given === undefined) return []
  if (Array.isArray(given) && given.every((name) => typeof name === 'string' && name !== '')) return given
  throw wrong('sessionCookies must be a list of names of cookies.')
}

export function readRefuse(given: 'http' | 'auto' | undefined): boolean {
  if (given === undefined || given === 'http') return false
  if (given === 'auto') return true
  throw wrong("refuse must be 'http' or 'auto'.")
}
