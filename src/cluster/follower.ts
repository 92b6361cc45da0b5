import type { Clock } from '../core/clock.ts'
import type { ClusterEngine, LogEntry, LogPage } from './engine.ts'
import { afterEntry, beginningOf, follow, readAfter, type Position } from './follow.ts'
import { Tally } from './tally.ts'
import { PATIENCE, within } from './within.ts'

const BATCH = 500
/** By so much an engine may set its clock back (ms). */
const AGE_TOLERANCE = 5000

/** What came of looking at the log. */
export type Look =
  /** Everything that was committed before `at` is applied. `skipped`: but for what was trimmed before it was read. */
  | { readonly type: 'fresh'; readonly at: number; readonly skipped: boolean }
  /** There is an entry that this version cannot read. */
  | { readonly type: 'unreadable' }
  /** Another log has taken the place of the one that was followed; or this is the first one. */
  | { readonly type: 'begun'; readonly page: LogPage; readonly why: 'joining' | 'generation' | 'rewound' | 'gap' }

export interface FollowerParts {
  readonly engine: Pick<ClusterEngine, 'read' | 'restart'>
  readonly clock: Clock
  /**
   * Carries an entry out.
   *
   * @param age - of the log when it was read, in milliseconds by the engine's clock.
   * @returns false where it cannot be read.
   */
  readonly apply: (entry: LogEntry, generation: string, age: number) => Promise<boolean>
  /** Nobody wants to know any more. */
  readonly isOver: () => boolean
}

/** Reads the log in order, each entry once, and sees where it is not the log that it was. */
export class Follower {
  readonly #parts: FollowerParts
  #position: Position | undefined
  #isToBegin = false
  #tally = new Tally(0)
  /** How old the log was, and when that was known, by a clock that nobody sets. */
  #age = 0
  #agedAt = performance.now()

  constructor(parts: FollowerParts) {
    this.#parts = parts
  }

  get position(): Position | undefined {
    return this.#position
  }

  /** How old the log is, by the engine's clock (ms). */
  get age(): number {
    return this.#age + (performance.now() - this.#agedAt)
  }

  /** What was read of this log. */
  get tally(): Tally {
    return this.#tally
  }

  /** The next look reads all that there is. */
  beginAgain(): void {
    this.#isToBegin = true
  }

  /** Reads to the end. Rejects where the engine does. */
  async look(): Promise<Look> {
    const { clock, isOver } = this.#parts
    let skipped = false
    for (;;) {
      // A log may grow faster than it is read.
      if (isOver()) throw new Error('The gate is closed.')
      if (this.#isToBegin) this.#position = undefined
      this.#isToBegin = false
      const at = clock.now()
      const after = this.#position === undefined ? 0 : readAfter(this.#position)
      // oxlint-disable-next-line no-await-in-loop -- one part after the other
      const age = this.#position === undefined ? 0 : this.age
      const page = await this.#read(after, BATCH)
      if (this.#position === undefined) return this.#begin(page, 'joining')
      // Somebody has made it younger than it is: then what is old in it would look new.
      const isSetBack = page.generation === this.#position.generation && page.age < age - AGE_TOLERANCE
      const followed = isSetBack ? ({ type: 'lost', why: 'rewound' } as const) : follow(this.#position, page)
      // oxlint-disable-next-line no-await-in-loop -- one part after the other
      if (followed.type === 'lost') return await this.#lose(followed.why, page)
      if (followed.skipped) {
        skipped = true
        this.#tally = new Tally(followed.position.seq)
      }
      this.#position = followed.position
      // oxlint-disable-next-line no-await-in-loop -- in order
      for (const entry of followed.fresh) if (!(await this.#take(entry, page.age))) return { type: 'unreadable' }
      if (this.#isToBegin) continue
      if (followed.more) continue
      // What was taken away before it was read was taken by none of the nodes.
      if (!this.#tally.isProven) return await this.#lose('gap', page)
      this.#tally.forget(page.floor)
      return { type: 'fresh', at, skipped }
    }
  }

  #begin(page: LogPage, why: Extract<Look, { type: 'begun' }>['why']): Look {
    this.#position = beginningOf(page)
    this.#tally = new Tally(page.floor)
    return { type: 'begun', page, why }
  }

  /** What is missing is known to the nodes alone: all of them tell it into a log that begins anew. */
  async #lose(why: 'generation' | 'rewound' | 'gap', page: LogPage): Promise<Look> {
    const { engine, clock } = this.#parts
    if (why === 'generation') return this.#begin(page, why)
    await within(clock, PATIENCE, engine.restart(page.generation))
    return this.#begin(await this.#read(0, 1), why)
  }

  async #read(after: number, limit: number): Promise<LogPage> {
    const { engine, clock } = this.#parts
    const page = await within(clock, PATIENCE, engine.read(after, limit))
    this.#age = page.age
    this.#agedAt = performance.now()
    return page
  }

  async #take(entry: LogEntry, age: number): Promise<boolean> {
    const position = this.#position
    if (position === undefined || !(await this.#parts.apply(entry, position.generation, age))) return false
    this.#position = afterEntry(position, entry)
    this.#tally.add(entry)
    return true
  }
}
