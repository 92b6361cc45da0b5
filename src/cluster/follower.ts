import type { Clock } from '../core/clock.ts'
import type { ClusterEngine, LogEntry, LogPage } from './engine.ts'
import { afterEntry, beginningOf, follow, readAfter, type Position } from './follow.ts'
import { PATIENCE, within } from './within.ts'

const BATCH = 500

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
}

/** Reads the log in order, each entry once, and sees where it is not the log that it was. */
export class Follower {
  readonly #parts: FollowerParts
  #position: Position | undefined
  /** How old the log was, and when that was known. */
  #age = 0
  #agedAt = 0

  constructor(parts: FollowerParts) {
    this.#parts = parts
  }

  get position(): Position | undefined {
    return this.#position
  }

  /** How old the log is, by the engine's clock (ms). */
  get age(): number {
    return this.#age + Math.max(0, this.#parts.clock.now() - this.#agedAt)
  }

  /** Reads to the end. Rejects where the engine does. */
  async look(): Promise<Look> {
    const { clock } = this.#parts
    let skipped = false
    for (;;) {
      const at = clock.now()
      const after = this.#position === undefined ? 0 : readAfter(this.#position)
      // oxlint-disable-next-line no-await-in-loop -- one part after the other
      const page = await this.#read(after, BATCH)
      if (this.#position === undefined) return this.#begin(page, 'joining')
      const followed = follow(this.#position, page)
      // oxlint-disable-next-line no-await-in-loop -- one part after the other
      if (followed.type === 'lost') return await this.#lose(followed.why, page)
      skipped ||= followed.skipped
      this.#position = followed.position
      // oxlint-disable-next-line no-await-in-loop -- in order
      for (const entry of followed.fresh) if (!(await this.#take(entry, page.age))) return { type: 'unreadable' }
      if (!followed.more) return { type: 'fresh', at, skipped }
    }
  }

  #begin(page: LogPage, why: Extract<Look, { type: 'begun' }>['why']): Look {
    this.#position = beginningOf(page)
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
    this.#agedAt = clock.now()
    return page
  }

  async #take(entry: LogEntry, age: number): Promise<boolean> {
    const position = this.#position
    if (position === undefined || !(await this.#parts.apply(entry, position.generation, age))) return false
    this.#position = afterEntry(position, entry)
    return true
  }
}
