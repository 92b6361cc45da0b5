import type { Clock } from '../core/clock.ts'
import type { AckMessage, Applied, Standing } from './messages.ts'

/** So long a node may take to say that it has carried out an entry (ms). */
const DEADLINE = 5000
/** How often those who have not said so are looked at (ms): what they say may be lost. */
const LOOK_EVERY = 250

/** What became of an entry on another node; null where it has not said so. */
export interface Ack {
  readonly node: string
  readonly done: Applied | null
  /** Milliseconds until it was known to be done; null where it is not. */
  readonly lagMs: number | null
}

export interface AcksParts {
  readonly clock: Clock
  /** Who is there. */
  readonly roll: () => Promise<readonly Standing[]>
  /** Who was there when that could be read last. */
  readonly known: () => readonly Standing[]
}

/** Hears what the others say about entries. */
export class Acks {
  readonly #parts: AcksParts
  readonly #listening = new Map<string, Listening>()
  /** How often it has looked, or begun to. */
  #looks = 0
  #isLooking = false
  #isPlanned = false

  constructor(parts: AcksParts) {
    this.#parts = parts
  }

  hear({ node, done }: AckMessage): void {
    for (const { entry, ...applied } of done) this.#listening.get(entry)?.hear(node, applied)
  }

  /** To be called before the entry is written: the first may answer before its writer knows that it is. */
  listen(entry: string): Listening {
    const stop = (): void => void this.#listening.delete(entry)
    const look = (): number => {
      // One that has begun already says nothing of what was written since.
      const next = this.#looks + 1
      if (!this.#isLooking) void this.#look()
      return next
    }
    const listening = new Listening(this.#parts.clock, entry, look, stop)
    this.#listening.set(entry, listening)
    return listening
  }

  /** For all who wait, and again and again while somebody does. */
  async #look(): Promise<void> {
    const { roll, known, clock } = this.#parts
    this.#isLooking = true
    this.#looks += 1
    const look = this.#looks
    const called = await roll().then(
      (there) => ({ there, isCalled: true }),
      // Who cannot be seen now may be there all the same.
      () => ({ there: known(), isCalled: false }),
    )
    this.#isLooking = false
    for (const one of this.#listening.values()) one.see(look, called.there, called.isCalled)
    const waiting = [...this.#listening.values()].filter((one) => one.isWaiting)
    if (waiting.some((one) => one.since > look)) return await this.#look()
    if (waiting.length === 0 || this.#isPlanned) return
    this.#isPlanned = true
    clock.after(LOOK_EVERY, () => {
      this.#isPlanned = false
      if (!this.#isLooking) void this.#look()
    })
  }
}

interface Heard {
  readonly done: Applied
  readonly lagMs: number
}

/** Waits until the others have carried out one entry. */
export class Listening {
  readonly #clock: Clock
  readonly #entry: string
  readonly #look: () => number
  readonly #began = performance.now()
  readonly #heard = new Map<string, Heard>()
  /** Nodes that have carried it out by their reports: what they said of it may be lost, or still on its way. */
  readonly #passed = new Map<string, { readonly lagMs: number; looks: number }>()
  readonly stop: () => void
  #expected: readonly Standing[] = []
  #isCalled = false
  #done: (() => void) | undefined
  /** The first look that says something about it. */
  since = Infinity

  constructor(clock: Clock, entry: string, look: () => number, stop: () => void) {
    this.#clock = clock
    this.#entry = entry
    this.#look = look
    this.stop = stop
  }

  /** The entry is written, and not all have said that it is carried out. */
  get isWaiting(): boolean {
    return this.#done !== undefined
  }

  hear(node: string, done: Applied): void {
    if (!this.#heard.has(node)) this.#heard.set(node, { done, lagMs: performance.now() - this.#began })
    this.#check()
  }

  /** One for each node that is there. Never rejects. */
  async written(): Promise<readonly Ack[]> {
    await new Promise<void>((resolve) => {
      const cancel = this.#clock.after(DEADLINE, resolve)
      this.#done = () => {
        cancel()
        resolve()
      }
      this.since = this.#look()
    })
    this.#done = undefined
    this.stop()
    return this.#expected.map(({ node }) => this.#ackOf(node))
  }

  /** @param isCalled - these are there now; otherwise they were a moment ago. */
  see(look: number, there: readonly Standing[], isCalled: boolean): void {
    if (look < this.since) return
    if (isCalled || !this.#isCalled) this.#expected = there
    this.#isCalled ||= isCalled
    for (const { node, done } of this.#expected) {
      if (!done.includes(this.#entry)) continue
      const passed = this.#passed.get(node) ?? { lagMs: performance.now() - this.#began, looks: 0 }
      passed.looks += 1
      this.#passed.set(node, passed)
    }
    this.#check()
  }

  #check(): void {
    if (this.#isCalled && this.#expected.every(({ node }) => this.#isDone(node))) this.#done?.()
  }

  #isDone(node: string): boolean {
    return this.#heard.has(node) || (this.#passed.get(node)?.looks ?? 0) > 1
  }

  #ackOf(node: string): Ack {
    const heard = this.#heard.get(node)
    if (heard !== undefined) return { node, ...heard }
    return { node, done: null, lagMs: this.#passed.get(node)?.lagMs ?? null }
  }
}
