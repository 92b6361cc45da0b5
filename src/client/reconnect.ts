import type { DialError } from './dial-error.ts'
import type { DialReason, DialReconnect } from './request.ts'

/** What one connection keeps over its attempts. */
export interface Tries {
  wasOpen?: boolean
  /** An attempt with a credential was made: none without one may follow. */
  hadCredential?: boolean
  /** Whether another attempt brings something new where the server does not take this one's: a credential or a ticket. */
  canRenew?: boolean
  hasRenewed?: boolean
  wasSlow?: boolean
  /** Attempts to come back, in a row. */
  failed: number
}

export interface Step {
  readonly reason: DialReason
  /** Milliseconds. */
  readonly delay: number
  /** Whether the wait may end early, when the device comes online or the page is seen. */
  readonly canWake: boolean
}

const MAX_DELAY = 2 ** 31 - 1

/**
 * What follows a failed attempt, or a lost connection: undefined where it is over.
 *
 * | what | then |
 * |---|---|
 * | 401, 4401, a redirect (to a login) | one more attempt with another credential or ticket, at once |
 * | 408, 4408 | one more attempt |
 * | 429, 4429, 5xx, 1011, 1012, 1013, lost, unreachable | waits with full jitter, and no less than Retry-After |
 * | all else, such as 403, 4403, 4409 | over |
 *
 * A first dial is tried again for another credential only.
 */
export function nextStep(
  error: DialError,
  tries: Tries,
  policy: false | DialReconnect,
  random: () => number = Math.random,
): Step | undefined {
  const { status = 0 } = error
  if (tries.wasOpen && policy === false) return undefined
  if (status === 401 || (status >= 300 && status < 400)) {
    if (tries.hasRenewed || !tries.canRenew) return undefined
    tries.hasRenewed = true
    return { reason: 'expired', delay: 0, canWake: true }
  }
  if (!tries.wasOpen || policy === false || !error.retryable || (status === 408 && tries.wasSlow)) return undefined
  const { minDelay = 1000, maxDelay = 30_000, attempts = Infinity } = policy
  if (tries.failed >= attempts) return undefined
  tries.wasSlow ||= status === 408
  const bound = Math.min(maxDelay, minDelay * 2 ** tries.failed)
  tries.failed += 1
  const told = (error.retryAfter ?? 0) * 1000
  return {
    reason: error.code === 'refused' ? 'refused' : 'reconnect',
    delay: Math.min(MAX_DELAY, told + random() * bound),
    canWake: told === 0,
  }
}
