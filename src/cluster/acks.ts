import type { Clock } from '../core/clock.ts'
import type { AckMessage, Standing } from './messages.ts'
import type { Written } from './writer.ts'

/** So long a node may take to say that it has carried out an entry (ms). */
const DEADLINE = 5000
/** How often those who have not said so are looked at (ms): what they say may be lost. */
const LOOK_EVERY = 250

/** What became of an entry on another node; null where it has not said so. */
export interface Ack {
  readonly node: string
  readonly done: { readonly matched: number; readonly closed: number; readonly unbounded: number } | null
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
  readonly #listening = new Set<Listening>()

  constructor(parts: AcksParts) {
    this.#parts = parts
  }

  hear(message: AckMessage): void {
    for (const one of this.#listening) one.hear(message)
  }

  /** To be called before the entry is written: the first may answer before the writer knows its number. */
  listen(): Listening {
    const listening = new Listening(this.#parts, () => void this.#listening.delete(listening))
    this.#listening.add(listening)
    return listening
  }
}

interface Heard {
  readonly message: AckMessage
  readonly lagMs: number
}

/** Waits until the others have carried out one entry. */
export class Listening {
  readonly #parts: AcksParts
  readonly #began = performance.now()
  readonly #heard: Heard[] = []
  /** Nodes that have carried it out by their reports: what they said of it may be lost, or still on its way. */
  readonly #passed = new Map<string, { readonly lagMs: number; looks: number }>()
  readonly stop: () => void
  #written: Written | undefined
  #expected: readonly Standing[] = []
  #isCalled = false
  #done: () => void = () => undefined

  constructor(parts: AcksParts, stop: () => void) {
    this.#parts = parts
    this.stop = stop
  }

  hear(message: AckMessage): void {
    this.#heard.push({ message, lagMs: performance.now() - this.#began })
    this.#check()
  }

  /** One for each node that is there. Never rejects. */
  async of(written: Written): Promise<readonly Ack[]> {
    this.#written = written
    await new Promise<void>((resolve) => {
      const cancel = this.#parts.clock.after(DEADLINE, resolve)
      let isOver = false
      this.#done = () => {
        isOver = true
        cancel()
        resolve()
      }
      const again = (): void => {
        if (!isOver) void this.#look().then(() => this.#parts.clock.after(LOOK_EVERY, again))
      }
      again()
    })
    this.stop()
    return this.#expected.map(({ node }) => this.#ackOf(node))
  }

  async #look(): Promise<void> {
    try {
      this.#expected = await this.#parts.roll()
      this.#isCalled = true
    } catch {
      // Who cannot be seen now may be there all the same.
      if (!this.#isCalled) this.#expected = this.#parts.known()
    }
    for (const { node, done } of this.#expected) {
      if (this.#written === undefined || !done.includes(this.#written.id)) continue
      const passed = this.#passed.get(node) ?? { lagMs: performance.now() - this.#began, looks: 0 }
      passed.looks += 1
      this.#passed.set(node, passed)
    }
    this.#check()
  }

  #check(): void {
    if (this.#isCalled && this.#expected.every(({ node }) => this.#isDone(node))) this.#done()
  }

  #isDone(node: string): boolean {
    return this.#messageOf(node) !== undefined || (this.#passed.get(node)?.looks ?? 0) > 1
  }

  #messageOf(node: string): Heard | undefined {
    return this.#heard.find(({ message }) => message.node === node && message.entry === this.#written?.id)
  }

  #ackOf(node: string): Ack {
    const heard = this.#messageOf(node)
    if (heard !== undefined) return { node, done: heard.message, lagMs: heard.lagMs }
    return { node, done: null, lagMs: this.#passed.get(node)?.lagMs ?? null }
  }
}
