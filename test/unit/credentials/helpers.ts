import type { Clock } from '../../../src/core/clock.ts'
import type { Refuse } from '../../../src/core/decision.ts'

/** Time that moves when it is told to. */
export class HeldClock implements Clock {
  #now = Date.UTC(2026, 10, 23)
  readonly #timers = new Set<{ readonly at: number; readonly call: () => void }>()

  now(): number {
    return this.#now
  }

  after(ms: number, call: () => void): () => void {
    const timer = { at: this.#now + ms, call }
    this.#timers.add(timer)
    return () => {
      this.#timers.delete(timer)
    }
  }

  get timers(): number {
    return this.#timers.size
  }

  pass(ms: number): void {
    const until = this.#now + ms
    for (;;) {
      const [next] = [...this.#timers].filter((timer) => timer.at <= until).toSorted((a, b) => a.at - b.at)
      if (next === undefined) break
      this.#timers.delete(next)
      this.#now = Math.max(this.#now, next.at)
      next.call()
    }
    this.#now = until
  }
}

/** The code of a refusal; undefined for anything else. */
export function codeOf(result: object): Refuse['code'] | undefined {
  return 'type' in result && result.type === 'refuse' ? (result as Refuse).code : undefined
}
