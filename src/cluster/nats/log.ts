import type { LogEntry, LogPage } from '../engine.ts'
import type { ServerClock } from './clock.ts'
import { inParts } from './parts.ts'
import { ApiError, NO_STREAM, undefinedIf, type JetStream, type StreamInfo } from './jetstream.ts'
import { isGeneration, type Current, type Head } from './head.ts'
import { NatsError } from './link.ts'
import type { Names } from './names.ts'

/** So often somebody else may trim or restart while one page is read. */
const TRIES = 8

/** The log of one prefix: the stream of the current generation, and marks in the head stream of how far it was trimmed. */
export class Log {
  readonly #jetstream: JetStream
  readonly #names: Names
  readonly #head: Head
  readonly #clock: ServerClock

  constructor(jetstream: JetStream, names: Names, head: Head, clock: ServerClock) {
    this.#jetstream = jetstream
    this.#names = names
    this.#head = head
    this.#clock = clock
  }

  async append(generation: string, data: Uint8Array): Promise<number | undefined> {
    if (!isGeneration(generation)) return undefined
    try {
      return await this.#jetstream.add(this.#names.log(generation), this.#names.logSubject(generation), data)
    } catch (error) {
      // A stream that has no leader for a moment takes nothing, either.
      if (!(error instanceof NatsError) || error.why !== 'nobody') throw error
      if ((await this.#head.current()).generation === generation) throw error
      return undefined
    }
  }

  async read(after: number, limit: number): Promise<LogPage> {
    for (let tries = 0; tries < TRIES; tries++) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const page = await this.#page(after, limit, tries + 1 < TRIES)
      if (page !== undefined) return page
    }
    throw new Error('NATS: the log changes again and again')
  }

  async trim(generation: string, upTo: number): Promise<void> {
    if (!isGeneration(generation)) return
    const chain = await this.#head.chain()
    if (chain.generation !== generation) return
    const [log, marks] = await Promise.all([this.#jetstream.info(this.#names.log(generation)), this.#marks(generation)])
    const last = log?.state.last_seq ?? 0
    const to = Math.min(upTo, last)
    if (to <= floorOf(marks, last)) return
    const mark = this.#names.floor(chain.id, generation, to)
    // Another one may have made the same mark.
    await this.#jetstream.add(this.#names.head, mark, Buffer.alloc(0)).catch(ifApiError)
    if (floorOf(await this.#marks(generation), last) < to) throw new Error('NATS: the log cannot be trimmed')
    // One that is trimmed stays: it holds the number of the last. Before the first is, for the server, all.
    if (to > 1) await this.#jetstream.purge(this.#names.log(generation), { seq: to })
    for (const filter of marks) {
      // oxlint-disable-next-line no-await-in-loop -- there is hardly ever more than one
      await this.#jetstream.purge(this.#names.head, { filter })
    }
  }

  async restart(generation: string): Promise<void> {
    if (isGeneration(generation)) await this.#head.replace(generation)
  }

  /** @returns undefined where it was trimmed or replaced meanwhile. @param isPatient - somebody may be trimming it. */
  async #page(after: number, limit: number, isPatient: boolean): Promise<LogPage | undefined> {
    let current = await this.#head.current()
    if (await this.#jetstream.agree(current.log.config)) current = await this.#head.current()
    const { generation, log } = current
    const [marks, age] = await Promise.all([this.#marks(generation), this.#age(log)])
    const last = log.state.last_seq
    const floor = floorOf(marks, last)
    if (isPatient && floor !== floorOf(marks, Infinity)) return undefined
    const from = Math.max(after, floor)
    const to = Math.min(from + limit, last)
    const entries = await this.#entries(current, from, to)
    if (entries === undefined) return undefined
    const isWhole = entries.length >= to - from
    if (!isWhole && floorOf(await this.#marks(generation), last) !== floor) return undefined
    return { generation, age, floor, last, entries }
  }

  async #entries({ generation, log }: Current, from: number, to: number): Promise<LogEntry[] | undefined> {
    const stream = this.#names.log(generation)
    const first = Math.max(from + 1, log.state.first_seq)
    const seqs = Array.from({ length: Math.max(0, to - first + 1) }, (_, n) => first + n)
    try {
      const found = await inParts(seqs, async (seq) => await this.#jetstream.get(stream, { seq }))
      return found.flatMap((stored) => (stored === undefined ? [] : [{ seq: stored.seq, data: stored.data }]))
    } catch (error) {
      return undefinedIf(NO_STREAM)(error)
    }
  }

  async #age({ created, ts }: StreamInfo): Promise<number> {
    const now = ts === undefined ? await this.#clock.now() : Date.parse(ts)
    return Math.max(0, now - Date.parse(created))
  }

  /** Subjects that name a floor, the greatest of which counts. */
  async #marks(generation: string): Promise<string[]> {
    return await this.#jetstream.subjects(this.#names.head, this.#names.floor('*', generation, '*'))
  }
}

/** Whoever may publish can make any mark: what is no number, or beyond the newest entry and stays so, is none. */
function floorOf(marks: readonly string[], last: number): number {
  const named = marks.map((mark) => mark.slice(mark.lastIndexOf('.') + 1)).filter((text) => /^\d{1,15}$/.test(text))
  return Math.max(0, ...named.map(Number).filter((floor) => floor <= last))
}

function ifApiError(error: unknown): void {
  if (!(error instanceof ApiError)) throw error
}
