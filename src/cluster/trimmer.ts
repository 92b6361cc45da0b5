import type { Clock } from '../core/clock.ts'
import type { ClusterEngine } from './engine.ts'
import { sealEntry } from './entries.ts'
import type { Sealer } from './sealer.ts'
import { TALLY_STEP } from './tally.ts'
import { PATIENCE, within } from './within.ts'

const TRIM_EVERY = 60_000
/** Clocks of nodes differ: so much longer an entry stays than it must (ms). */
const MARGIN = 60 * 60_000
/** A log shorter than this is not worth moving entries in it. */
const MIN_LENGTH = 1000
/** So many at a time are looked through for those that are to be moved. */
const BLOCK = 4 * TALLY_STEP

export interface TrimmerParts {
  readonly engine: Pick<ClusterEngine, 'append' | 'read' | 'trim'>
  readonly clock: Clock
  readonly sealer: Sealer
  readonly newId: () => string
  /** What the log was up to this entry. */
  readonly tallyAt: (seq: number) => string | undefined
}

/** Takes away the front of the log, where nobody can still come with what it is about. One node does it for all. */
export class Trimmer {
  readonly #parts: TrimmerParts
  /** Until when each entry matters, from the first that is left. */
  #untils: number[] = []
  #floor = 0
  #trimmedAt = 0

  constructor(parts: TrimmerParts) {
    this.#parts = parts
  }

  /** An entry was applied that matters until then (milliseconds since the epoch). */
  saw(seq: number, until: number): void {
    if (seq !== this.#floor + this.#untils.length + 1) {
      // Another log, or another node has trimmed it.
      this.#floor = seq - 1
      this.#untils = []
    }
    this.#untils.push(until)
  }

  /**
   * Rejects where the engine does: the next one will do it.
   *
   * @param applied - all who are there have applied the entries up to this one: clocks may be wrong about the others.
   */
  async trim(generation: string, applied: number): Promise<void> {
    const now = this.#parts.clock.now()
    if (Math.abs(now - this.#trimmedAt) < TRIM_EVERY) return
    this.#trimmedAt = now
    const isDead = (until: number): boolean => until + MARGIN <= now
    const alive = this.#untils.findIndex((until) => !isDead(until))
    const front = alive === -1 ? this.#untils.length - 1 : alive
    const upTo = Math.min(this.#floor + front, applied)
    const step = upTo - (upTo % TALLY_STEP)
    if (step > this.#floor) return await this.#trimTo(generation, step)
    // What lives long must not keep all that has come after it.
    const dead = this.#untils.length > MIN_LENGTH ? this.#untils.filter(isDead).length : 0
    if (dead > this.#untils.length / 2 && this.#floor + BLOCK <= applied) await this.#moveBlock(generation, isDead)
  }

  /** It is said before it is done: whoever finds them gone must know that it was one of us. */
  async #trimTo(generation: string, upTo: number): Promise<void> {
    const { clock, engine, sealer, newId, tallyAt } = this.#parts
    const tally = tallyAt(upTo)
    if (tally === undefined) return
    const entry = { type: 'trimmed', id: newId(), upTo, tally, until: clock.now() } as const
    const seq = await within(clock, PATIENCE, engine.append(generation, sealEntry(sealer, generation, entry)))
    if (seq === undefined) return
    await within(clock, PATIENCE, engine.trim(generation, upTo))
    this.#untils.splice(0, upTo - this.#floor)
    this.#floor = upTo
  }

  /** To the end, as they are: they were applied everywhere, and are known by their ids. */
  async #moveBlock(generation: string, isDead: (until: number) => boolean): Promise<void> {
    const { clock, engine } = this.#parts
    const floor = this.#floor
    const upTo = floor + BLOCK - ((floor + BLOCK) % TALLY_STEP)
    const page = await within(clock, PATIENCE, engine.read(floor, upTo - floor))
    if (page.generation !== generation || page.floor !== floor || page.entries.length < upTo - floor) return
    for (const { seq, data } of page.entries) {
      if (isDead(this.#untils[seq - floor - 1] ?? Infinity)) continue
      // oxlint-disable-next-line no-await-in-loop -- in order
      if ((await within(clock, PATIENCE, engine.append(generation, data))) === undefined) return
    }
    await this.#trimTo(generation, upTo)
    this.#trimmedAt = 0
  }
}
