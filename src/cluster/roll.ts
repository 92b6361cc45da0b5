import type { Clock } from '../core/clock.ts'
import type { ClusterEngine } from './engine.ts'
import { openStanding, sealStanding, type Standing } from './messages.ts'
import type { Sealer } from './sealer.ts'
import { PATIENCE, within } from './within.ts'

/** A node that has not said for so long that it is there is not waited for (ms). */
const GONE_AFTER = 10_000
/** Of more reports somebody else has made some. */
const MOST = 1000
/** Nodes whose last reports are known. */
const REMEMBERED = 1000

export interface RollParts {
  readonly engine: Pick<ClusterEngine, 'report' | 'reports'>
  readonly clock: Clock
  readonly sealer: Sealer
  readonly name: string
  readonly forged: (where: 'report') => void
}

interface Seen {
  readonly standing: Standing
  /** When its report was a new one, in milliseconds since the epoch. */
  at: number
}

/** Who is there. */
export class Roll {
  readonly #parts: RollParts
  /** An engine may forget reports: who was there a moment ago is there still, unless it has said that it leaves. */
  readonly #seen = new Map<string, Seen>()
  /** The last one of each node, also of those who are gone: somebody may put an old report in again. */
  readonly #beats = new Map<string, number>()
  #beat = 0
  #readAt = 0

  constructor(parts: RollParts) {
    this.#parts = parts
  }

  /** Says that this node is there, and looks who else is. */
  async call(own: Omit<Standing, 'node' | 'beat' | 'isLeaving'>): Promise<readonly Standing[]> {
    const [, others] = await Promise.all([this.#say(own, false), this.read()])
    return others
  }

  /** Who was there when that could be read last. */
  get known(): readonly Standing[] {
    return [...this.#seen.values()].map(({ standing }) => standing)
  }

  async read(): Promise<readonly Standing[]> {
    const { engine, clock, name } = this.#parts
    const reports = await within(clock, PATIENCE, engine.reports())
    const now = clock.now()
    this.#forgive(now - this.#readAt)
    this.#readAt = now
    for (const { node, data } of reports.slice(0, MOST)) {
      const standing = node === name ? undefined : this.#open(node, data)
      if (standing === undefined || standing.beat <= (this.#beats.get(node) ?? 0)) continue
      this.#beats.delete(node)
      this.#beats.set(node, standing.beat)
      this.#seen.set(node, { standing, at: now })
    }
    for (const [node, { standing, at }] of this.#seen)
      if (Math.abs(now - at) > GONE_AFTER || standing.isLeaving) this.#seen.delete(node)
    this.#forget()
    return this.known
  }

  #forget(): void {
    for (const node of this.#beats.keys()) {
      if (this.#beats.size <= REMEMBERED) return
      if (!this.#seen.has(node)) this.#beats.delete(node)
    }
  }

  /** Time in which nobody looked, or a clock that was set, says nothing about the others. */
  #forgive(ms: number): void {
    if (Math.abs(ms) > GONE_AFTER / 2) for (const seen of this.#seen.values()) seen.at += ms
  }

  async leave(own: Omit<Standing, 'node' | 'beat' | 'isLeaving'>): Promise<void> {
    await this.#say(own, true)
  }

  async #say(own: Omit<Standing, 'node' | 'beat' | 'isLeaving'>, isLeaving: boolean): Promise<void> {
    const { engine, clock, sealer, name } = this.#parts
    this.#beat += 1
    const standing: Standing = { ...own, node: name, beat: this.#beat, isLeaving }
    await within(clock, PATIENCE, engine.report(name, sealStanding(sealer, standing), GONE_AFTER))
  }

  #open(node: string, data: Uint8Array): Standing | undefined {
    const standing = openStanding(this.#parts.sealer, node, data)
    if (standing === undefined) this.#parts.forged('report')
    return standing
  }
}
