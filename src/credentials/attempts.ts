import type { Clock } from '../core/clock.ts'

/** Times in milliseconds. */
export interface AttemptPolicy {
  /** How many within `window` block; infinite: never. */
  readonly failures: number
  /** How many of one key are told apart. */
  readonly remembered: number
  readonly window: number
  readonly block: number
  readonly maxBlock: number
  readonly entries: number
  readonly clock: Clock
}

interface Entry {
  /** When the attempts that count were made, oldest first; those under way are the newest. */
  times: number[]
  /** How many have no verdict yet. */
  pending: number
  blocks: number
  blockedUntil: number
}

/** Failed attempts by key, and who is blocked for them. Bounded in memory: the oldest are forgotten, blocked ones last. */
export class Attempts {
  readonly #policy: AttemptPolicy
  readonly #open = new Map<string, Entry>()
  readonly #blocked = new Map<string, Entry>()

  constructor(policy: AttemptPolicy) {
    this.#policy = policy
  }

  /** How many attempts count, those under way included. */
  count(key: string): number {
    return this.#find(key)?.times.length ?? 0
  }

  /** How many are under way. */
  pending(key: string): number {
    return this.#find(key)?.pending ?? 0
  }

  /** Counts an attempt as failed until it is settled. Returns milliseconds to wait where it may not be made, else 0. */
  reserve(key: string): number {
    const { failures, clock } = this.#policy
    const now = clock.now()
    const entry = this.#find(key) ?? { times: [], pending: 0, blocks: 0, blockedUntil: 0 }
    if (entry.blockedUntil > now) return entry.blockedUntil - now
    // After a block one attempt at a time: the next failure blocks again.
    if (entry.times.length >= failures && entry.pending > 0) return 1
    entry.pending++
    this.#push(entry, now)
    this.#keep(key, entry)
    return 0
  }

  /** The attempt has failed. Counts also where none was reserved. */
  fail(key: string): void {
    const { failures, block, maxBlock, clock } = this.#policy
    const now = clock.now()
    const entry = this.#find(key) ?? { times: [], pending: 0, blocks: 0, blockedUntil: 0 }
    if (entry.pending > 0) entry.pending--
    else this.#push(entry, now)
    if (entry.times.length - entry.pending >= failures && entry.blockedUntil <= now) {
      entry.blockedUntil = now + Math.min(maxBlock, block * 2 ** entry.blocks++)
    }
    this.#keep(key, entry)
  }

  /** The attempt did not take place. */
  release(key: string): void {
    const entry = this.#find(key)
    if (entry === undefined || entry.pending === 0) return
    entry.pending--
    entry.times.pop()
    if (entry.times.length === 0 && entry.blocks === 0) this.clear(key)
  }

  clear(key: string): void {
    this.#open.delete(key)
    this.#blocked.delete(key)
  }

  #push(entry: Entry, now: number): void {
    entry.times.push(now)
    if (entry.times.length > this.#policy.remembered) entry.times.shift()
  }

  /** What counts still; undefined where nothing does. */
  #find(key: string): Entry | undefined {
    const entry = this.#open.get(key) ?? this.#blocked.get(key)
    if (entry === undefined) return undefined
    const { window, clock } = this.#policy
    const since = clock.now() - window
    entry.times = entry.times.filter((time) => time > since)
    entry.pending = Math.min(entry.pending, entry.times.length)
    if (entry.times.length > 0 || entry.blockedUntil > since) return entry
    this.clear(key)
    return undefined
  }

  #keep(key: string, entry: Entry): void {
    this.clear(key)
    const blocked = entry.blockedUntil > this.#policy.clock.now()
    if (this.#open.size + this.#blocked.size >= this.#policy.entries) this.#forgetOne()
    const into = blocked ? this.#blocked : this.#open
    into.set(key, entry)
  }

  #forgetOne(): void {
    const [blocked] = this.#blocked
    const isOver = blocked !== undefined && blocked[1].blockedUntil <= this.#policy.clock.now()
    const [open] = this.#open
    const oldest = isOver ? blocked : (open ?? blocked)
    if (oldest !== undefined) this.clear(oldest[0])
  }
}
