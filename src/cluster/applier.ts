import type { Clock } from '../core/clock.ts'
import type { ClusterEngine } from './engine.ts'
import type { HeldEntry, LoggedEntry, SessionEntry, WrittenRevokeEntry } from './entries.ts'
import { sealMessage, type Applied, type Done } from './messages.ts'
import type { Sealer } from './sealer.ts'
import type { Tally } from './tally.ts'
import { PATIENCE, within } from './within.ts'

/** So many of the last entries a report names: what was said of them may be lost. */
const REPORTED = 16
/** So many entries one message acknowledges. */
const IN_ONE = 50
/** What can no longer come again is looked for so often, and kept so much longer (ms). */
const FORGET_EVERY = 2 * 60 * 60_000

export interface ApplierParts {
  readonly engine: Pick<ClusterEngine, 'say'>
  readonly clock: Clock
  readonly sealer: Sealer
  readonly name: string
  /** @param delay - how long ago it was asked for (ms). */
  readonly revoke: (entry: WrittenRevokeEntry, delay: number) => Promise<Applied>
  /** Others tell what they remember. */
  readonly hold: (entry: HeldEntry) => void
  readonly sessionGone: (entry: SessionEntry) => void
  /** Sessions may be gone of which it was not told. */
  readonly missed: () => void
}

/** Carries out what the entries of a log say, each once, and says so. */
export class Applier {
  readonly #parts: ApplierParts
  /** Entries that were carried out, and until when they could come again. */
  readonly #seen = new Map<string, number>()
  #done: readonly string[] = []
  #forgotAt = 0
  #unsaid: Done[] = []
  #isSaying = false

  constructor(parts: ApplierParts) {
    this.#parts = parts
  }

  /** The last entries of others that it has carried out. */
  get done(): readonly string[] {
    return this.#done
  }

  /** What this node writes it has done already. */
  owns({ id, until }: { readonly id: string; readonly until: number }): void {
    this.#seen.set(id, until)
  }

  /** @param age - of the log when it was read, in milliseconds by the engine's clock. */
  async apply(entry: LoggedEntry, age: number): Promise<void> {
    if (this.#seen.has(entry.id)) return
    this.#seen.set(entry.id, entry.until)
    if (entry.type === 'session') this.#parts.sessionGone(entry)
    if (entry.type === 'held') this.#parts.hold(entry)
    if (entry.type === 'logouts') this.#parts.missed()
    if (entry.type !== 'revoke') return
    const applied = await this.#parts.revoke(entry, this.#delayOf(entry, age))
    this.#done = [...this.#done.slice(1 - REPORTED), entry.id]
    this.#unsaid.push({ entry: entry.id, ...applied })
    // Nothing waits for it: where it takes long, the next report says it.
    void this.#acknowledge()
  }

  /** All of the log comes again. */
  beginAgain(): void {
    this.#seen.clear()
  }

  forget(): void {
    const now = this.#parts.clock.now()
    if (Math.abs(now - this.#forgotAt) < FORGET_EVERY) return
    this.#forgotAt = now
    for (const [id, until] of this.#seen) if (until + FORGET_EVERY <= now) this.#seen.delete(id)
  }

  /** The smaller of two: whoever sets one clock forward spares nobody by it. */
  #delayOf({ at, late, written }: WrittenRevokeEntry, age: number): number {
    const byEngine = late + Math.max(0, age - written)
    return Math.min(byEngine, Math.max(0, this.#parts.clock.now() - at))
  }

  async #acknowledge(): Promise<void> {
    if (this.#isSaying) return
    this.#isSaying = true
    const { engine, clock, sealer, name } = this.#parts
    while (this.#unsaid.length > 0) {
      const message = sealMessage(sealer, { type: 'ack', node: name, done: this.#unsaid.splice(0, IN_ONE) })
      // oxlint-disable-next-line no-await-in-loop -- what comes meanwhile goes together
      await within(clock, PATIENCE, engine.say(message)).catch(() => undefined)
    }
    this.#isSaying = false
  }
}

/** What was read of a log is the same for all of its nodes, as far as it is known here. */
export function isSame(tally: Tally, entry: LoggedEntry): boolean {
  const { after } = entry
  if (after !== undefined && !tally.agrees(after.seq, after.tally)) return false
  return entry.type !== 'trimmed' || tally.proves(entry.upTo, entry.tally)
}
