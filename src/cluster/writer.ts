import type { Clock } from '../core/clock.ts'
import type { ClusterEngine } from './engine.ts'
import { sealEntry, type Entry, type HeldItem, type LoggedEntry, type Written } from './entries.ts'
import type { Sealer } from './sealer.ts'
import { PATIENCE, within } from './within.ts'

/** So long it is tried to write an entry again, and after so long a pause (ms). */
const TRIED_FOR = 1000
const PAUSE = 100
/** Of what could not be written one by one; beyond that a node tells all that it remembers. */
const MAX_WAITING = 1000
/** So many fit into one entry, with what they spare. */
const HELD_IN_ONE = 30

export interface WriterParts {
  readonly engine: Pick<ClusterEngine, 'append'>
  readonly clock: Clock
  readonly sealer: Sealer
  readonly name: string
  readonly newId: () => string
  /** The log that is followed. */
  readonly generation: () => string | undefined
  /** The engine is known to be away, or nobody waits any more. */
  readonly isAway: () => boolean
  /** How old the log is, by the engine's clock (ms), and what was read of it. */
  readonly log: () => { readonly age: number; readonly after: Written['after'] }
  /** All that this node remembers. */
  readonly held: () => Iterable<HeldItem>
}

/** Writes into the log, and keeps what it could not write. */
export class Writer {
  readonly #parts: WriterParts
  #waiting: Entry[] = []
  /** In which log this node has told all that it remembers. */
  #toldIn: string | undefined
  /** The number of the entry that says so. */
  #readyAt = 0
  /** Of what could not be written, more was kept than is. */
  #hasDropped = false
  /** What was written and not met in the log yet, by its id: its number, once that is known. */
  readonly #own = new Map<string, number | undefined>()

  constructor(parts: WriterParts) {
    this.#parts = parts
  }

  hasTold(generation: string): boolean {
    return this.#toldIn === generation
  }

  /** The others have read that it has told when they have read this entry. */
  get readyAt(): number {
    return this.#readyAt
  }

  /** Entries that are still to be written. */
  get waiting(): number {
    return this.#waiting.length
  }

  /** An entry was read. */
  met(id: string): void {
    this.#own.delete(id)
  }

  /** Whether something that was written is not there, although the log was read up to this number. */
  misses(seq: number): boolean {
    return [...this.#own.values()].some((own) => own !== undefined && own <= seq)
  }

  /** Rejects where it is not surely written; then it is kept, and written later. */
  async write(entry: Entry): Promise<void> {
    const { clock, generation, isAway } = this.#parts
    const until = clock.now() + TRIED_FOR
    for (;;) {
      try {
        const current = generation()
        if (current === undefined) throw new Error('The log was not reached yet.')
        // oxlint-disable-next-line no-await-in-loop -- it is one entry, by its id
        return void (await this.#append(current, entry))
      } catch (error) {
        // A connection that was replaced, or a log that was begun anew, is there again in a moment.
        if (isAway() || clock.now() >= until) {
          this.#keep(entry)
          throw error
        }
      }
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await new Promise<void>((resolve) => void clock.after(PAUSE, resolve))
    }
  }

  /**
   * Writes what is owed: into a log that is new to this node all that it remembers. Rejects where it could not.
   *
   * @returns whether it has told all.
   */
  async settle(generation: string): Promise<boolean> {
    const isNew = !this.hasTold(generation)
    if (isNew) {
      this.#own.clear()
      await this.#tellAll(generation)
    }
    while (this.#waiting[0] !== undefined) {
      // oxlint-disable-next-line no-await-in-loop -- in order
      await this.#append(generation, this.#waiting[0])
      this.#waiting.shift()
    }
    return isNew
  }

  #logged(entry: Entry): LoggedEntry {
    const { clock, log } = this.#parts
    const { age: written, after } = log()
    const now = clock.now()
    const known = { written, lives: Math.max(0, entry.until - now), after }
    // Who has come since was not meant.
    return entry.type === 'revoke' ? { ...entry, ...known, late: Math.max(0, now - entry.at) } : { ...entry, ...known }
  }

  async #tellAll(generation: string): Promise<void> {
    const { clock, name, newId, held } = this.#parts
    const until = clock.now()
    const items = [...held()]
    for (let n = 0; n < items.length; n += HELD_IN_ONE) {
      const some = items.slice(n, n + HELD_IN_ONE)
      const last = Math.max(...some.map((item) => item.until))
      // oxlint-disable-next-line no-await-in-loop -- in order
      await this.#append(generation, { type: 'held', id: newId(), items: some, until: last })
    }
    if (this.#hasDropped) await this.#append(generation, { type: 'logouts', id: newId(), until })
    this.#hasDropped = false
    this.#readyAt = await this.#append(generation, { type: 'ready', id: newId(), node: name, until })
    this.#toldIn = generation
  }

  async #append(generation: string, entry: Entry): Promise<number> {
    const { engine, clock, sealer } = this.#parts
    this.#own.set(entry.id, undefined)
    try {
      const seq = await within(
        clock,
        PATIENCE,
        engine.append(generation, sealEntry(sealer, generation, this.#logged(entry))),
      )
      if (seq === undefined) throw new Error('The log is another one by now.')
      if (this.#own.has(entry.id)) this.#own.set(entry.id, seq)
      return seq
    } catch (error) {
      this.#own.delete(entry.id)
      throw error
    }
  }

  #keep(entry: Entry): void {
    this.#waiting.push(entry)
    if (this.#waiting.length <= MAX_WAITING) return
    this.#hasDropped ||= this.#waiting.some(({ type }) => type === 'session')
    this.#waiting = []
    this.#toldIn = undefined
  }
}
