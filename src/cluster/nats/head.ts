import { randomBytes } from 'node:crypto'
import { ApiError, undefinedIf, NO_STREAM, type JetStream, type StreamInfo } from './jetstream.ts'
import type { Names } from './names.ts'
import type { Streams } from './streams.ts'

/** What comes before the first generation. */
const NOTHING = 'nothing'
/** So often another node may be faster. */
const TRIES = 8

/** The generation that there is, with its stream. */
export interface Current {
  readonly generation: string
  readonly log: StreamInfo
}

interface Chain {
  readonly id: string
  /** Of the newest link. */
  readonly generation: string
  /** The one that it has ended. */
  readonly before: string
}

/**
 * Which generation is the current one. Each has a stream of its own, whose name nobody ever uses again, so that what belongs to another
 * one can be neither written nor taken away.
 *
 * A generation follows another by a link in the head stream, which takes one link for each: the first. Before its link there is its
 * stream; after it the streams of the earlier ones go, and only then is it used. So a generation is the current one for as long as its
 * stream is there, and a link to a stream that is not there is a log that was lost.
 */
export class Head {
  readonly #jetstream: JetStream
  readonly #names: Names
  readonly #streams: Streams
  /** No other generation of before it has a stream. */
  #known: string | undefined

  constructor(jetstream: JetStream, names: Names, streams: Streams) {
    this.#jetstream = jetstream
    this.#names = names
    this.#streams = streams
  }

  /** Makes a generation where there is none. */
  async current(): Promise<Current> {
    return (await this.#ofKnown()) ?? (await this.#settle())
  }

  /** Replaces this generation where it is still the current one. */
  async replace(generation: string): Promise<void> {
    const chain = await this.chain()
    if (chain.generation === generation) await this.#follow(chain)
    await this.#settle()
  }

  /** The newest link. */
  async chain(): Promise<Chain> {
    const id = (await this.#chainId()) ?? (await this.#makeChain())
    const link = await this.#jetstream.get(this.#names.head, { last_by_subj: this.#names.link(id, '*') })
    if (link === undefined) return { id, generation: NOTHING, before: NOTHING }
    const [generation, before = NOTHING] = [link.data.toString(), link.subject.split('.').at(-1)]
    if (isGeneration(generation) && generation !== before) return { id, generation, before }
    // Whoever may publish can make a link, but none of the nodes has made this one; and there is one link for each.
    await this.#jetstream.drop(this.#names.head)
    this.#known = undefined
    return await this.chain()
  }

  async #chainId(): Promise<string | undefined> {
    const info = await this.#jetstream.info(this.#names.head)
    return info?.config.subjects[0]?.split('.')[3]
  }

  /** The chain of those who were first. */
  async #makeChain(): Promise<string> {
    await this.#jetstream.make(this.#streams.head(random()))
    const id = await this.#chainId()
    if (id === undefined) throw new Error('NATS: the stream of generations was taken away at once')
    return id
  }

  async #settle(): Promise<Current> {
    for (let tries = 0; tries < TRIES; tries++) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const current = await this.#ofChain()
      if (current !== undefined) return current
    }
    throw new Error('NATS: the log is replaced again and again')
  }

  async #ofKnown(): Promise<Current | undefined> {
    const generation = this.#known
    if (generation === undefined) return undefined
    const log = await this.#jetstream.info(this.#names.log(generation))
    if (log !== undefined) return { generation, log }
    if (this.#known === generation) this.#known = undefined
    return undefined
  }

  async #ofChain(): Promise<Current | undefined> {
    const chain = await this.chain()
    const { generation } = chain
    const log = await this.#jetstream.info(this.#names.log(generation))
    if (log === undefined) {
      await this.#follow(chain)
      return undefined
    }
    await this.#dropBefore(chain, log)
    this.#known = generation
    return { generation, log }
  }

  /** Ends this generation: links another one to it, unless somebody else has. */
  async #follow({ id, generation }: Chain): Promise<void> {
    const next = random()
    await this.#jetstream.make(this.#streams.log(next))
    try {
      await this.#jetstream.add(this.#names.head, this.#names.link(id, generation), Buffer.from(next))
    } catch (error) {
      // Not surely refused: the link may be there.
      if (!(error instanceof ApiError)) throw error
      await this.#jetstream.drop(this.#names.log(next))
      if (!(await this.#isEnded(id, generation))) throw error
    }
  }

  async #isEnded(id: string, generation: string): Promise<boolean> {
    const which = { last_by_subj: this.#names.link(id, generation) }
    return (await this.#jetstream.get(this.#names.head, which).catch(undefinedIf(NO_STREAM))) !== undefined
  }

  /** Of those that are younger, one may just be about to follow. */
  async #dropBefore({ before }: Chain, log: StreamInfo): Promise<void> {
    const since = toExact(log.created)
    const old = (await this.#jetstream.list(this.#names.anyLog))
      .filter(({ created }) => toExact(created) < since)
      .map(({ config }) => config.name)
      .filter((name) => name.startsWith(this.#names.logs) && name !== log.config.name)
    for (const name of new Set([this.#names.log(before), ...old])) {
      // oxlint-disable-next-line no-await-in-loop -- there is hardly ever more than one
      await this.#jetstream.drop(name)
    }
  }
}

/** To the nanosecond, in a form that sorts. */
function toExact(time: string): string {
  const [seconds = '', fraction = ''] = time.replace(/Z$/, '').split('.')
  return `${seconds}.${fraction.padEnd(9, '0')}`
}

export function isGeneration(text: string): boolean {
  return /^[0-9a-f]{32}$/.test(text)
}

function random(): string {
  return randomBytes(16).toString('hex')
}
