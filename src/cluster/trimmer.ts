import type { Clock } from '../core/clock.ts'
import type { ClusterEngine } from './engine.ts'
import { type LoggedEntry, sealEntry } from './entries.ts'
import type { Sealer } from './sealer.ts'
import { TALLY_STEP, type Tally } from './tally.ts'
import { PATIENCE, within } from './within.ts'

const TRIM_EVERY = 60_000
/** Clocks of nodes differ: so much longer an entry stays than it must (ms). */
const MARGIN = 60 * 60_000
/** A log shorter than this is not worth moving entries in it. */
const MIN_LENGTH = 1000
/** So many at a time are looked through for those that are to be moved. */
const BLOCK = 4 * TALLY_STEP

/** Milliseconds. */
interface Time {
  readonly age: number
  readonly now: number
}

export interface TrimmerParts {
  readonly engine: Pick<ClusterEngine, 'append' | 'read' | 'trim'>
  readonly clock: Clock
  readonly sealer: Sealer
  readonly newId: () => string
  /** What was read of the log. */
  readonly tally: () => Tally
}

/** Takes away the front of the log, where nobody can still come with what it is about. One node does it for all. */
export class Trimmer {
  readonly #parts: TrimmerParts
  /** Until when each entry matters, by the clocks of nodes and by the age of the log, from the first that is left. */
  #untils: number[] = []
  #ages: number[] = []
  #floor = 0
  #trimmedAt = 0

  constructor(parts: TrimmerParts) {
    this.#parts = parts
  }

  /** An entry was read. @param entry - undefined for what none of the nodes has written. */
  saw(seq: number, entry: LoggedEntry | undefined): void {
    if (seq !== this.#floor + this.#untils.length + 1) {
      // Another log, or another node has trimmed it.
      this.#floor = seq - 1
      this.#untils = []
      this.#ages = []
    }
    const { until, written, lives } = entry ?? { until: 0, written: 0, lives: 0 }
    this.#untils.push(until)
    this.#ages.push(written + lives)
  }

  /**
   * Rejects where the engine does: the next one will do it.
   *
   * @param applied - all who are there have applied the entries up to this one: clocks may be wrong about the others.
   * @param time - by the clock that is behind all others, and by the engine's (the age of the log): one that is ahead must not take
   * away what still matters.
   */
  async trim(generation: string, applied: number, { age, now }: Time): Promise<void> {
    const own = this.#parts.clock.now()
    if (Math.abs(own - this.#trimmedAt) < TRIM_EVERY) return
    this.#trimmedAt = own
    const isDead = (until: number, n: number): boolean =>
      until + MARGIN <= now && (this.#ages[n] ?? Infinity) + MARGIN <= age
    const alive = this.#untils.findIndex((until, n) => !isDead(until, n))
    const front = alive === -1 ? this.#untils.length - 1 : alive
    const upTo = Math.min(this.#floor + front, applied)
    const step = upTo - (upTo % TALLY_STEP)
    if (step > this.#floor) return await this.#trimTo(generation, step, age)
    // What lives long must not keep all that has come after it.
    const dead = this.#untils.length > MIN_LENGTH ? this.#untils.filter(isDead).length : 0
    if (dead > this.#untils.length / 2 && this.#floor + BLOCK <= applied) await this.#moveBlock(generation, isDead, age)
  }

  /** It is said before it is done: whoever finds them gone must know that it was one of us. */
  async #trimTo(generation: string, upTo: number, age: number): Promise<void> {
    const { clock, engine, sealer, newId } = this.#parts
    const tally = this.#parts.tally().at(upTo)
    if (tally === undefined) return
    const entry = { type: 'trimmed', id: newId(), upTo, tally, until: clock.now(), written: age, lives: 0 } as const
    const seq = await within(clock, PATIENCE, engine.append(generation, sealEntry(sealer, generation, entry)))
    if (seq === undefined) return
    await within(clock, PATIENCE, engine.trim(generation, upTo))
    this.#untils.splice(0, upTo - this.#floor)
    this.#ages.splice(0, upTo - this.#floor)
    this.#floor = upTo
  }

  /** To the end, as they are: they were applied everywhere, and are known by their ids. */
  async #moveBlock(generation: string, isDead: (until: number, n: number) => boolean, age: number): Promise<void> {
    const { clock, engine } = this.#parts
    const floor = this.#floor
    const upTo = floor + BLOCK - ((floor + BLOCK) % TALLY_STEP)
    const page = await within(clock, PATIENCE, engine.read(floor, upTo - floor))
    // They are written anew: what somebody has written over them must not be.
    if (page.generation !== generation || !this.#parts.tally().holds(floor, page.entries, upTo)) return
    for (const { seq, data } of page.entries) {
      const n = seq - floor - 1
      if (isDead(this.#untils[n] ?? Infinity, n)) continue
      // oxlint-disable-next-line no-await-in-loop -- in order
      if ((await within(clock, PATIENCE, engine.append(generation, data))) === undefined) return
    }
    await this.#trimTo(generation, upTo, age)
    this.#trimmedAt = 0
  }
}
