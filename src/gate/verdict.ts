import type { IncomingMessage } from 'node:http'
import type { Accept } from '../core/decision.ts'
import type { Handshake } from '../core/handshake.ts'
import type { Identity } from '../core/identity.ts'
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
    }
  | Refused
  | { readonly type: 'gone' }

/** The answer to an auth message that was accepted. Times: ISO 8601, and seconds from now. */
export function authOk({ subject, expiresAt }: Identity, now: number): string {
  const expiresIn = expiresAt ? Math.max(0, Math.floor((expiresAt.getTime() - now) / 1000)) : null
  return JSON.stringify({ type: 'auth_ok', subject, expiresAt: expiresAt ?? null, expiresIn })
}

/** The answer to one that was not. */
export function authError({ status, code, retryAfter }: Refused): string {
  return JSON.stringify({ type: 'auth_error', status, code, ...(retryAfter === undefined ? {} : { retryAfter }) })
}
