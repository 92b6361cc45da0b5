import { inParts } from './parts.ts'
import { NO_STREAM, undefinedIf, type JetStream, type Stored, type StreamConfig } from './jetstream.ts'
import { NatsError } from './link.ts'
import { MAX_TTL } from './streams.ts'

/** How long it is kept, in milliseconds, stands before the data. */
const TTL_BYTES = 6

/** What lies under one subject. */
export interface Kept {
  readonly subject: string
  readonly seq: number
  readonly storedAt: number
  /** Both by the server's clock. */
  readonly until: number
  readonly data: Buffer
}

/** A stream with one thing under each subject, which is gone when its time is over. Where the server has lost it, it is made anew. */
export class Shelf {
  readonly #jetstream: JetStream
  readonly #config: StreamConfig
  #making: Promise<void> | undefined

  constructor(jetstream: JetStream, config: StreamConfig) {
    this.#jetstream = jetstream
    this.#config = config
  }

  /** @param ttl - milliseconds. */
  async put(subject: string, ttl: number, data: Uint8Array = new Uint8Array()): Promise<void> {
    if (!(ttl <= MAX_TTL)) throw new Error(`NATS: nothing is kept for longer than ${MAX_TTL} ms`)
    const head = Buffer.alloc(TTL_BYTES)
    head.writeUIntBE(Math.max(0, Math.floor(ttl)), 0, TTL_BYTES)
    const all = Buffer.concat([head, data])
    const add = async (): Promise<unknown> => await this.#jetstream.add(this.#config.name, subject, all)
    await add().catch(async (error: unknown) => {
      if (!(error instanceof NatsError) || error.why !== 'nobody') throw error
      await this.make()
      return await add()
    })
  }

  /** @param subject - may hold wildcards. */
  async get(subject: string): Promise<Kept | undefined> {
    return toKept(await this.#stored({ last_by_subj: subject }))
  }

  async oldest(filter: string): Promise<Kept | undefined> {
    return toKept(await this.#stored({ seq: 1, next_by_subj: filter }))
  }

  async subjects(filter: string): Promise<string[]> {
    return await this.#jetstream.subjects(this.#config.name, filter)
  }

  /** Those whose time is not over; the others are taken away. */
  async alive(subjects: readonly string[], now: number): Promise<Kept[]> {
    const all = await inParts(subjects, async (subject) => await this.get(subject))
    const found = all.filter((kept) => kept !== undefined)
    await inParts(
      found.filter(({ until }) => until <= now),
      async (kept) => await this.discard(kept),
    )
    return found.filter(({ until }) => until > now)
  }

  /** Takes away this one, and not what was put there later. */
  async discard({ subject, seq }: Kept): Promise<void> {
    await this.#jetstream.purge(this.#config.name, { filter: subject, seq: seq + 1 })
  }

  /** @param filter - may hold wildcards. @returns whether there was anything. */
  async clear(filter: string): Promise<boolean> {
    return (await this.#jetstream.purge(this.#config.name, { filter })) > 0
  }

  async #stored(which: Parameters<JetStream['get']>[1]): Promise<Stored | undefined> {
    return await this.#jetstream.get(this.#config.name, which).catch(undefinedIf(NO_STREAM))
  }

  /** Leaves it as it is where it is there. */
  async make(): Promise<void> {
    this.#making ??= this.#jetstream.make(this.#config).finally(() => (this.#making = undefined))
    await this.#making
  }
}

function toKept(stored: Stored | undefined): Kept | undefined {
  if (stored === undefined || stored.data.length < TTL_BYTES) return undefined
  const { subject, seq, time, data } = stored
  const until = time + data.readUIntBE(0, TTL_BYTES)
  return { subject, seq, storedAt: time, until, data: data.subarray(TTL_BYTES) }
}
