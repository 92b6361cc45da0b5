import type { Clock } from '../core/clock.ts'
import type { ClusterEngine } from './engine.ts'
import { PATIENCE, within } from './within.ts'

const TRIM_EVERY = 60_000
/** Clocks of nodes differ: so much longer an entry stays than it must (ms). */
const MARGIN = 60 * 60_000
/** A log shorter than this is not worth moving entries in it. */
const MIN_LENGTH = 1000

export interface TrimmerParts {
  readonly engine: Pick<ClusterEngine, 'append' | 'read' | 'trim'>
  readonly clock: Clock
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
    const { clock, engine } = this.#parts
    const now = clock.now()
    if (Math.abs(now - this.#trimmedAt) < TRIM_EVERY) return
    this.#trimmedAt = now
    const isDead = (until: number): boolean => until + MARGIN <= now
    const dead = this.#untils.filter(isDead).length
    if (dead === 0) return
    const alive = this.#untils.findIndex((until) => !isDead(until))
    const front = alive === -1 ? this.#untils.length - 1 : alive
    const known = Math.min(front, applied - this.#floor)
    if (front > 0) await this.#trim(generation, known)
    // What lives long must not keep all that has come after it.
    else if (this.#untils.length > MIN_LENGTH && dead > this.#untils.length / 2)
      await this.#moveFirst(generation, engine)
  }

  async #trim(generation: string, count: number): Promise<void> {
    if (count <= 0) return
    const { clock, engine } = this.#parts
    await within(clock, PATIENCE, engine.trim(generation, this.#floor + count))
    this.#floor += count
    this.#untils.splice(0, count)
  }

  /** To the end, as it is: it was applied everywhere, and is known by its id. */
  async #moveFirst(generation: string, engine: TrimmerParts['engine']): Promise<void> {
    const { clock } = this.#parts
    const { entries } = await within(clock, PATIENCE, engine.read(this.#floor, 1))
    const [first] = entries
    if (first?.seq !== this.#floor + 1) return
    const seq = await within(clock, PATIENCE, engine.append(generation, first.data))
    if (seq !== undefined) await this.#trim(generation, 1)
    this.#trimmedAt = 0
  }
}
