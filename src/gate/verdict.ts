import type { IncomingMessage } from 'node:http'
import type { Accept, HeaderPairs } from '../core/decision.ts'
import type { Handshake } from '../core/handshake.ts'
import type { LiveConnection } from '../connections/connection.ts'
import type { GateState } from './state.ts'
import type { Mark } from '../door/marks.ts'

/** No, as the client of a message gets to know it. */
export interface Refused {
  readonly type: 'no'
  readonly status: number
  /** `app` for an answer of the app's own. */
  readonly code: string
  /** Seconds. */
  readonly retryAfter: number | undefined
  /** For events only. */
  readonly cause?: unknown
}

/** What the door says to the same handshake with the credential of a message. */
export type Verdict =
  | {
      readonly type: 'accept'
      readonly decision: Accept
      readonly mark: Mark | undefined
      readonly req: IncomingMessage
      readonly handshake: Handshake
      /** When the door was asked, in the order of all that happens at this gate. */
      readonly order: number
      /** The credential was a password, which is not in the handshake. */
      readonly forgotten: boolean
    }
  | Refused
  | { readonly type: 'gone' }

/**
 * The answer to an auth message that was accepted. Times: ISO 8601, and seconds from now. The connection's token is there
 * where something takes it.
 *
 * @param byMessage - the next auth message renews: a library would take it for one of the app's.
 */
export function authOk(
  { clock, renewOn }: GateState,
  { identity, expiresAt, token }: LiveConnection,
  byMessage: boolean,
): string {
  const now = clock.now()
  const expiresIn = expiresAt === null ? null : Math.max(0, Math.floor((expiresAt.getTime() - now) / 1000))
  return JSON.stringify({
    type: 'auth_ok',
    subject: identity.subject,
    expiresAt,
    expiresIn,
    renew: byMessage && expiresAt !== null ? 'message' : undefined,
    connection: renewOn ? token : undefined,
  })
}

/** Says that the connection is going to end unless it is renewed. */
export function authExpiring(ms: number): string {
  return JSON.stringify({ type: 'auth_expiring', expiresIn: Math.max(0, Math.floor(ms / 1000)) })
}

/** Seconds (RFC 9110 section 10.2.3); dates are left out. */
export function retryAfterOf(headers: HeaderPairs): number | undefined {
  const value = headers.find(([name]) => name.toLowerCase() === 'retry-after')?.[1]
  return value !== undefined && /^\d{1,8}$/.test(value) ? Number(value) : undefined
}

/** The answer to one that was not. */
export function authError({ status, code, retryAfter }: Refused): string {
  return JSON.stringify({ type: 'auth_error', status, code, ...(retryAfter === undefined ? {} : { retryAfter }) })
}
