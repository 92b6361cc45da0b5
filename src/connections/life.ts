import { expiresAtOf } from '../core/identity.ts'
import type { Identity } from '../core/identity.ts'

/** How long connections last. Milliseconds. */
export interface LifePolicy {
  /** Whatever happens, no connection gets older. */
  readonly maxAge: number
  /** Up to this part of what is left is cut off at random, so that not all end at once. */
  readonly jitter: number
}

/** What the end of a connection follows from. */
export interface Lifetime {
  readonly identity: Identity
  /** Milliseconds since the epoch. */
  readonly openedAtMs: number
  readonly trust: { readonly until: number }
}

/** Passwords, and what is bound to one request: none of it can be asked about again. */
export const MAX_AGE_UNASKED = 60 * 60_000

/** When a connection that is proven now ends, in milliseconds since the epoch. */
export function endOf({ maxAge, jitter }: LifePolicy, life: Lifetime, now: number): number {
  const limit = limitOf(maxAge, life)
  const end = Math.min(expiresAtOf(life.identity), limit)
  return end - Math.max(0, end - now) * jitter * Math.random()
}

/** What no re-check moves. */
export function limitOf(maxAge: number, { openedAtMs, trust }: Lifetime): number {
  return Math.min(openedAtMs + maxAge, trust.until)
}

const MAX_NOTICE = 60_000

/** When its client is told of the end: a tenth of the time before, at most a minute. */
export function noticeOf(end: number, now: number): number {
  return end - Math.min(MAX_NOTICE, Math.max(0, end - now) / 10)
}
