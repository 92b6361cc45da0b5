import type { Clock } from '../core/clock.ts'
import type { Identity } from '../core/identity.ts'
import type { End } from '../core/end.ts'
import { itemsOf, withItem, withoutItem } from './bag.ts'
import type { LiveConnection } from './connection.ts'
import { createDeadlines, type Deadlines } from './deadlines.ts'
import type { Facts, RecheckCause } from './facts.ts'

/** Times in milliseconds. */
export interface RecheckPolicy {
  readonly every: number
  /** Up to this part of `every` sooner, at random. */
  readonly jitter: number
  /** Questions under way at a time. */
  readonly concurrency: number
  /** How long there may be no answer. */
  readonly grace: number
  readonly closeAfterGrace: boolean
}

/** What the door says to the same request now. */
export type RecheckVerdict =
  /** `identity`: undefined where everybody stays who they are. */
  | { readonly type: 'accepted'; readonly identity: Identity | undefined }
  | { readonly type: 'refused'; readonly end: End }
  /** `retryAfter`: milliseconds. */
  | { readonly type: 'error'; readonly cause?: unknown; readonly retryAfter?: number | undefined }

/** One question, as it is asked. */
export interface Recheck {
  readonly facts: Facts
  readonly why: RecheckCause
  /** When it was asked, in the order of all that happens at this gate. */
  readonly order: number
  /** Milliseconds since the epoch. */
  readonly askedAt: number
  /** Those it is asked for: who has come since has an answer of its own. */
  readonly members: readonly LiveConnection[]
}

/** Asks again, one question for each credential. */
export interface Rechecks {
  readonly size: number
  /** @param before - what it was asked about with until now: a renewal neither puts a question off nor forgives what failed. */
  join(connection: LiveConnection, key: string, asked: unknown, before: Facts | undefined): void
  leave(connection: LiveConnection): void
  /** Asks as soon as possible. */
  now(facts: Facts, why: RecheckCause): void
  stop(): void
}

export interface RecheckParts {
  readonly clock: Clock
  readonly policy: RecheckPolicy
  readonly nextOrder: () => number
  /** A rejection is an error like any other. */
  readonly ask: (recheck: Recheck) => Promise<RecheckVerdict>
  /** @param isLast - there was no answer for too long. */
  readonly settle: (recheck: Recheck, verdict: RecheckVerdict, isLast: boolean) => void
}

const MIN_RETRY = 1000
const LOOK_EVERY = 1000
const MAX_RETRY = 30_000

export function createRechecks(parts: RecheckParts): Rechecks {
  return new Schedule(parts)
}

class Schedule implements Rechecks {
  readonly #parts: RecheckParts
  readonly #byKey = new Map<string, Facts>()
  readonly #deadlines: Deadlines<Facts>
  /** What is due and waits for its turn; what somebody waits for comes first. */
  readonly #urgent = new Map<Facts, RecheckCause>()
  readonly #scheduled = new Set<Facts>()
  #running = 0
  /** When there was an answer of any kind, and when those who wait were last looked at. */
  #answeredAt = 0
  #lookedAt = 0
  #stopped = false

  constructor(parts: RecheckParts) {
    this.#parts = parts
    const due = (facts: Facts): void => {
      this.#wait(facts)
      this.#scheduled.add(facts)
      this.#next()
    }
    this.#deadlines = createDeadlines(parts.clock, due, { isSteady: true })
  }

  get size(): number {
    return this.#byKey.size
  }

  join(connection: LiveConnection, key: string, asked: unknown, before: Facts | undefined): void {
    if (this.#stopped) return
    const dueAt = before === undefined ? Infinity : this.#dueAt(before)
    this.leave(connection)
    const facts = this.#byKey.get(key) ?? this.#begin(key, asked)
    if (facts.slot >= 0 && dueAt < this.#deadlines.timeOf(facts)) this.#deadlines.set(facts, dueAt)
    facts.failingSince ??= before?.failingSince
    facts.waitingSince ??= before?.waitingSince
    facts.failures ||= before?.failures ?? 0
    facts.members = withItem(facts.members, connection)
    connection.facts = facts
  }

  leave(connection: LiveConnection): void {
    const { facts } = connection
    if (facts === undefined) return
    connection.facts = undefined
    facts.members = withoutItem(facts.members, connection)
    if (facts.members !== undefined) return
    this.#byKey.delete(facts.key)
    this.#deadlines.delete(facts)
    this.#urgent.delete(facts)
    this.#scheduled.delete(facts)
  }

  #dueAt(facts: Facts): number {
    return facts.slot < 0 ? this.#parts.clock.now() : this.#deadlines.timeOf(facts)
  }

  now(facts: Facts, why: RecheckCause): void {
    this.#wait(facts)
    if (facts.asking) facts.again = why
    else this.#urgent.set(facts, why)
    this.#deadlines.delete(facts)
    this.#next()
  }

  stop(): void {
    this.#stopped = true
    this.#deadlines.stop()
    this.#urgent.clear()
    this.#scheduled.clear()
  }

  #begin(key: string, asked: unknown): Facts {
    const facts: Facts = {
      key,
      asked,
      slot: -1,
      members: undefined,
      asking: false,
      again: undefined,
      failingSince: undefined,
      failures: 0,
      waitingSince: undefined,
    }
    this.#byKey.set(key, facts)
    this.#schedule(facts, this.#nextIn())
    return facts
  }

  #schedule(facts: Facts, ms: number): void {
    if (this.#stopped || this.#byKey.get(facts.key) !== facts) return
    this.#deadlines.set(facts, this.#parts.clock.now() + ms)
  }

  #nextIn(): number {
    const { every, jitter } = this.#parts.policy
    return every * (1 - jitter * Math.random())
  }

  #next(): void {
    while (this.#running < this.#parts.policy.concurrency) {
      const next = this.#take()
      if (next === undefined) return
      void this.#run(...next)
    }
  }

  #take(): [Facts, RecheckCause] | undefined {
    for (const [facts, why] of this.#urgent) {
      this.#urgent.delete(facts)
      this.#scheduled.delete(facts)
      return [facts, why]
    }
    for (const facts of this.#scheduled) {
      this.#scheduled.delete(facts)
      return [facts, 'schedule']
    }
    return undefined
  }

  async #run(facts: Facts, why: RecheckCause): Promise<void> {
    this.#running += 1
    facts.asking = true
    facts.again = undefined
    const { ask, clock, nextOrder } = this.#parts
    const recheck: Recheck = {
      facts,
      why,
      order: nextOrder(),
      askedAt: clock.now(),
      members: [...itemsOf(facts.members)],
    }
    const verdict = await ask(recheck).catch((cause: unknown): RecheckVerdict => ({ type: 'error', cause }))
    this.#running -= 1
    facts.asking = false
    this.#settle(recheck, verdict)
    this.#next()
  }

  #wait(facts: Facts): void {
    facts.waitingSince ??= this.#parts.clock.now()
  }

  /** An app that hangs keeps all places for itself: who waits for one is not let off by that. */
  #giveUp(): void {
    const { clock, policy, nextOrder, settle } = this.#parts
    const now = clock.now()
    const grace = Math.max(policy.grace, policy.every)
    // An app that answers somebody is not away: then it is only slow, or refuses to answer about one.
    if (!policy.closeAfterGrace || now - this.#answeredAt < grace || Math.abs(now - this.#lookedAt) < LOOK_EVERY) return
    this.#lookedAt = now
    for (const facts of [...this.#urgent.keys(), ...this.#scheduled]) {
      if (now - (facts.failingSince ?? facts.waitingSince ?? now) < grace) continue
      const members = [...itemsOf(facts.members)]
      settle({ facts, why: 'schedule', order: nextOrder(), askedAt: now, members }, { type: 'error' }, true)
    }
  }

  #settle(recheck: Recheck, verdict: RecheckVerdict): void {
    const { facts } = recheck
    const isLast = verdict.type === 'error' && this.#isOver(facts)
    if (verdict.type !== 'error') this.#answeredAt = this.#parts.clock.now()
    if (verdict.type !== 'error')
      Object.assign(facts, { failingSince: undefined, waitingSince: undefined, failures: 0 })
    this.#parts.settle(recheck, verdict, isLast)
    if (verdict.type === 'error') this.#giveUp()
    const { again } = facts
    if (again !== undefined && facts.members !== undefined) return this.now(facts, again)
    // An answer may have led to a question of its own.
    if (facts.asking || this.#urgent.has(facts)) return
    this.#schedule(facts, verdict.type === 'error' ? this.#retryIn(facts, verdict.retryAfter) : this.#nextIn())
  }

  #isOver(facts: Facts): boolean {
    const now = this.#parts.clock.now()
    // A clock that was set back must not make it longer.
    facts.failingSince = Math.min(facts.failingSince ?? facts.waitingSince ?? now, now)
    facts.failures += 1
    return this.#parts.policy.closeAfterGrace && now - facts.failingSince >= this.#parts.policy.grace
  }

  #retryIn({ failures, failingSince }: Facts, retryAfter = 0): number {
    const { every, grace } = this.#parts.policy
    const now = this.#parts.clock.now()
    const backOff = Math.min(MAX_RETRY, every, MIN_RETRY * 2 ** Math.min(failures - 1, 20))
    // The last question is asked when the grace is over, whatever was told.
    const left = (failingSince ?? now) + grace - now
    return Math.max(MIN_RETRY, Math.min(Math.max(backOff, retryAfter), left > 0 ? left : Infinity))
  }
}
