import { createHmac, randomBytes } from 'node:crypto'
import { systemClock, type Clock } from '../core/clock.ts'
import { Gate101Error } from '../core/errors.ts'
import { addressKey } from './address.ts'
import { Attempts } from './attempts.ts'

/** What a limiter says before a password is verified. */
export type Admitted =
  | {
      readonly type: 'go'
      /** Milliseconds to wait before. */
      readonly delay: number
    }
  | {
      readonly type: 'refuse'
      /** Seconds. */
      readonly retryAfter: number
    }

/**
 * Counts wrong passwords. {@link loginLimiter} makes one; write your own where several nodes must count together. A
 * rejection refuses.
 *
 * Every `admit` that said `go` is settled by exactly one of `failed`, `passed` and `dropped`. What never is settled counts
 * as failed.
 */
export interface LoginLimiter {
  /**
   * Before a password is verified. MUST reserve a failure, so that guesses at the same time do not slip through.
   *
   * @param address - of the client; undefined where none can be believed: then only the account is counted.
   */
  admit(account: string, address: string | undefined): Admitted | Promise<Admitted>
  /** The password was wrong. */
  failed(account: string, address: string | undefined): void | Promise<void>
  /** The password was right: the pair of account and address begins anew. */
  passed(account: string, address: string | undefined): void | Promise<void>
  /** There was no verdict on the password. */
  dropped(account: string, address: string | undefined): void | Promise<void>
}

/** Options of {@link loginLimiter}. Times in milliseconds. */
export interface LoginLimiterOptions {
  /** Wrong passwords of one account from one address until they are blocked. @defaultValue 5 */
  readonly failures?: number
  /** How long a wrong password counts. @defaultValue 900000 */
  readonly window?: number
  /** The first block; each further one is twice as long. @defaultValue 30000 */
  readonly block?: number
  /** The longest block. @defaultValue 900000 */
  readonly maxBlock?: number
  /** The longest delay for an account that fails from many addresses. @defaultValue 2000 */
  readonly maxDelay?: number
  /** Pairs that are remembered, and accounts. @defaultValue 10000 */
  readonly entries?: number
  /** @defaultValue the system's */
  readonly clock?: Clock
}

const DEFAULTS = {
  failures: 5,
  window: 900_000,
  block: 30_000,
  maxBlock: 900_000,
  maxDelay: 2000,
  entries: 10_000,
}
const FIRST_DELAY = 125
const UNSEEN = /[\p{M}\p{C}\p{Default_Ignorable_Code_Point}]/gu

/**
 * Slows down the guessing of passwords, without letting anybody lock another person out: too many wrong ones of an
 * account block it for the address that they came from; over all addresses they only delay.
 *
 * Accounts are compared without regard to case and to how Unicode composes them. They are kept as keyed hashes, in this
 * process.
 *
 * @throws Gate101Error `GATE101_CONFIG` for unknown options and wrong types.
 * @example
 * One count for the first message and for the login over HTTP:
 * ```ts
 * import { setTimeout } from 'node:timers/promises'
 *
 * const limiter = loginLimiter()
 * const gate = createGate({ identify, firstMessage: { paths: ['/live'], limiter } })
 *
 * app.post('/login', async (req, res) => {
 *   const { username, password } = req.body
 *   const admitted = await limiter.admit(username, req.ip)
 *   if (admitted.type === 'refuse') return res.set('Retry-After', String(admitted.retryAfter)).sendStatus(429)
 *   await setTimeout(admitted.delay)
 *   const user = await verify(username, password)
 *   await (user ? limiter.passed(username, req.ip) : limiter.failed(username, req.ip))
 *   …
 * })
 * ```
 */
export function loginLimiter(options: LoginLimiterOptions = {}): LoginLimiter {
  return new MemoryLimiter(readOptions(options))
}

type Policy = Required<LoginLimiterOptions>

function readOptions(options: LoginLimiterOptions): Policy {
  if (typeof options !== 'object' || options === null) throw wrong('takes one options object.')
  const { clock = systemClock, ...numbers } = options
  for (const [name, value] of Object.entries(numbers) as Array<[string, unknown]>) {
    if (!Object.hasOwn(DEFAULTS, name)) throw wrong(`unknown option "${name}".`)
    if (value !== undefined && (!Number.isSafeInteger(value) || Number(value) < 1))
      throw wrong(`${name} must be a positive whole number.`)
  }
  if (typeof clock?.now !== 'function') throw wrong('clock must be a Clock.')
  const given = Object.fromEntries(Object.entries(numbers).filter(([, value]) => value !== undefined))
  return { ...DEFAULTS, ...given, clock }
}

function wrong(message: string): Gate101Error {
  return new Gate101Error('GATE101_CONFIG', `loginLimiter(): ${message}`)
}

class MemoryLimiter implements LoginLimiter {
  readonly #policy: Policy
  readonly #salt = randomBytes(32)
  readonly #pairs: Attempts
  readonly #accounts: Attempts

  constructor(policy: Policy) {
    this.#policy = policy
    this.#pairs = new Attempts({ ...policy, remembered: policy.failures })
    // Of these only the count is used, up to the longest delay: they are never blocked.
    const remembered = policy.failures + Math.ceil(Math.log2(policy.maxDelay))
    this.#accounts = new Attempts({ ...policy, failures: Number.POSITIVE_INFINITY, remembered })
  }

  admit(account: string, address: string | undefined): Admitted {
    const { pair, own } = this.#keysOf(account, address)
    const wait = pair === undefined ? 0 : this.#pairs.reserve(pair)
    if (wait > 0) return { type: 'refuse', retryAfter: Math.ceil(wait / 1000) }
    const over = this.#accounts.count(own) - this.#policy.failures
    // Without an address to block, guesses at the same time would share one delay.
    if (pair === undefined && over >= 0 && this.#accounts.pending(own) > 0)
      return { type: 'refuse', retryAfter: Math.ceil(this.#policy.maxDelay / 1000) }
    this.#accounts.reserve(own)
    return { type: 'go', delay: over < 0 ? 0 : Math.min(this.#policy.maxDelay, FIRST_DELAY * 2 ** over) }
  }

  failed(account: string, address: string | undefined): void {
    const { pair, own } = this.#keysOf(account, address)
    if (pair !== undefined) this.#pairs.fail(pair)
    this.#accounts.fail(own)
  }

  passed(account: string, address: string | undefined): void {
    const { pair, own } = this.#keysOf(account, address)
    if (pair !== undefined) this.#pairs.clear(pair)
    // What others have guessed still counts.
    this.#accounts.release(own)
  }

  dropped(account: string, address: string | undefined): void {
    const { pair, own } = this.#keysOf(account, address)
    if (pair !== undefined) this.#pairs.release(pair)
    this.#accounts.release(own)
  }

  #keysOf(account: string, address: string | undefined): { pair: string | undefined; own: string } {
    // A database may take more spellings for the same account than it shows: accents and what is not seen left out.
    const name = account.normalize('NFKD').replaceAll(UNSEEN, '').trim().toLowerCase()
    return {
      pair: address === undefined ? undefined : this.#hash([name, addressKey(address)]),
      own: this.#hash([name]),
    }
  }

  #hash(parts: readonly string[]): string {
    return createHmac('sha256', this.#salt).update(JSON.stringify(parts)).digest('base64url')
  }
}
