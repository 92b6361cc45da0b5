import type { DialError } from './dial-error.ts'
import type { DialAuthEvent } from './events.ts'

/** Gets more time, and says how much by `renewed`. @throws DialError */
type Renew = () => Promise<unknown>

export type Say = (facts: Pick<DialAuthEvent, 'state' | 'expiresAt' | 'error'>) => void

const MAX_DELAY = 2 ** 31 - 1
const RETRY = 30_000
/** How long (ms) no notice is heeded after a renewal: a server might send any number of them. */
const REST = 6000

/** A timer for any time: `setTimeout` calls at once where that is too long for it. */
class Timer {
  #id: ReturnType<typeof setTimeout> | undefined

  set(ms: number, call: () => void): void {
    this.stop()
    this.#id = setTimeout(() => (ms > MAX_DELAY ? this.set(ms - MAX_DELAY, call) : call()), Math.min(ms, MAX_DELAY))
  }

  stop(): void {
    clearTimeout(this.#id)
  }
}

/** The time that an open connection has left: renewed in good time, and else said to end. */
export class Lifetime {
  readonly #renew: Renew
  readonly #say: Say
  readonly #renewal = new Timer()
  readonly #warning = new Timer()
  /** Milliseconds since the epoch; 0 where it is not known. */
  #endsAt = 0
  /** When the next notice is heeded. */
  #heedsAt = 0
  #error: DialError | undefined
  #isAsking = false
  #isOver = false

  constructor(renew: Renew, say: Say) {
    this.#renew = renew
    this.#say = say
  }

  /** @param expiresIn - seconds; undefined where they are not known, or without end. */
  begin(expiresIn: number | undefined): void {
    this.#renewal.stop()
    this.#warning.stop()
    if (expiresIn === undefined || this.#isOver) return
    const ms = expiresIn * 1000
    const expiresAt = new Date((this.#endsAt = Date.now() + ms))
    // At random: many clients may have come at the same moment.
    this.#askIn(ms * (0.8 + Math.random() / 10))
    this.#warning.set(Math.max(ms * 0.9, ms - 60_000), () =>
      this.#say({ state: 'expiring', expiresAt, error: this.#error }),
    )
  }

  /** Somebody has got so many seconds. */
  renewed(expiresIn: number | undefined): void {
    const before = this.#endsAt
    this.#error = undefined
    // What brings no time would be asked for again and again, in ever shorter intervals. What is planned stays planned.
    if (Number(expiresIn) < 1 + Math.max(0, before - Date.now()) / 1000) return
    this.#heedsAt = Date.now() + REST
    this.begin(expiresIn)
    if (before > 0) this.#say({ state: 'renewed' })
  }

  /** Renews now, unless it does already. @param isNotice - the server wants it: once, until there is more time. */
  async ask(isNotice?: boolean): Promise<void> {
    if (this.#isAsking || this.#isOver || (isNotice && Date.now() < this.#heedsAt)) return
    this.#isAsking = true
    this.#heedsAt = Infinity
    try {
      await this.#renew()
    } catch (error) {
      const { retryable, retryAfter = 0 } = (this.#error = error as DialError)
      // After an end that has not come, it waits as long as it is overdue.
      const left = Math.min(RETRY, Math.abs(this.#endsAt - Date.now()))
      // What is planned would ask the same again.
      this.#askIn(retryable ? Math.max(1000, retryAfter * 1000, Math.random() * left) : Infinity)
    }
    this.#isAsking = false
  }

  end(): void {
    this.#isOver = true
    this.#renewal.stop()
    this.#warning.stop()
  }

  #askIn(ms: number): void {
    if (!this.#isOver) this.#renewal.set(ms, () => void this.ask())
  }
}
