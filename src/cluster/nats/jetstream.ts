import { NatsError, type Link } from './link.ts'

/** What JetStream says where it does not do it. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  /** As listed by `nats error ls`. */
  readonly code: number

  constructor(code: number, description: string) {
    super(`JetStream: ${description} (${code})`)
    this.code = code
  }
}

/** Codes of errors. */
export const NO_MESSAGE = 10037
export const NO_STREAM = 10059
const NAME_IN_USE = 10058

/** Of a stream; in nanoseconds where it is about time. */
export interface StreamConfig {
  readonly name: string
  readonly subjects: readonly string[]
  readonly storage: 'file' | 'memory'
  readonly num_replicas: number
  readonly max_age?: number
  readonly max_msgs_per_subject?: number
  readonly max_msg_size?: number
  readonly discard?: 'old' | 'new'
  readonly discard_new_per_subject?: boolean
  readonly republish?: { readonly src: string; readonly dest: string; readonly headers_only: boolean }
}

export interface StreamInfo {
  readonly config: StreamConfig
  readonly created: string
  readonly state: {
    readonly first_seq: number
    readonly last_seq: number
    readonly subjects?: Readonly<Record<string, number>>
  }
  /** The server's time; from nats-server 2.10 on. */
  readonly ts?: string
}

export interface Stored {
  readonly subject: string
  readonly seq: number
  /** When it was stored, by the server's clock: milliseconds since the epoch. */
  readonly time: number
  readonly data: Buffer
}

/** Which one of a stream: under its number, the last of a subject, or the first of a subject from a number on. */
type Which = { readonly seq: number; readonly next_by_subj?: string } | { readonly last_by_subj: string }

interface Answer extends Partial<StreamInfo> {
  readonly error?: { readonly err_code?: number; readonly code?: number; readonly description?: string }
  readonly message?: { readonly subject: string; readonly seq: number; readonly time: string; readonly data?: string }
  readonly purged?: number
  readonly total?: number
  readonly streams?: readonly StreamInfo[] | null
  readonly stream?: string
  readonly seq?: number
}

/** Requests to JetStream, each of them one atomic operation of a stream. */
export class JetStream {
  readonly #link: Link

  constructor(link: Link) {
    this.#link = link
  }

  /** Rejects where the account has no JetStream. */
  async account(): Promise<void> {
    await this.#ask('INFO')
  }

  /** Adds to the stream that takes this subject. */
  async add(stream: string, subject: string, data: Uint8Array): Promise<number> {
    const answer = toAnswer(await this.#link.request(subject, data))
    if (answer.stream !== stream || answer.seq === undefined) throw new NatsError('another stream has answered')
    return answer.seq
  }

  /** @param filter - of these subjects it says which ones there are. @returns undefined where there is no such stream. */
  async info(stream: string, filter?: string): Promise<StreamInfo | undefined> {
    const body = filter === undefined ? {} : { subjects_filter: filter }
    const answer = await this.#ask(`STREAM.INFO.${stream}`, body).catch(undefinedIf(NO_STREAM))
    if (answer === undefined) return undefined
    const { config, created, state, ts } = answer
    if (config === undefined || created === undefined || state === undefined)
      throw new NatsError('another service has answered')
    return { config, created, state, ...(ts === undefined ? {} : { ts }) }
  }

  /** The subjects that match, of those that are in the stream. */
  async subjects(stream: string, filter: string): Promise<string[]> {
    return Object.keys((await this.info(stream, filter))?.state.subjects ?? {})
  }

  /** Makes it, or leaves the one that is there as it is. */
  async make(config: StreamConfig): Promise<void> {
    await this.#ask(`STREAM.CREATE.${config.name}`, config).catch(undefinedIf(NAME_IN_USE))
  }

  /** Does nothing where there is none. */
  async drop(stream: string): Promise<void> {
    await this.#ask(`STREAM.DELETE.${stream}`).catch(undefinedIf(NO_STREAM))
  }

  /** All streams that take subjects which match. */
  async list(subject: string): Promise<StreamInfo[]> {
    const found: StreamInfo[] = []
    for (;;) {
      // oxlint-disable-next-line no-await-in-loop -- page by page
      const { streams, total = 0 } = await this.#ask('STREAM.LIST', { subject, offset: found.length })
      found.push(...(streams ?? []))
      if ((streams ?? []).length === 0 || found.length >= total) return found
    }
  }

  /** Rejects where there is no such stream. @returns undefined where there is no such message. */
  async get(stream: string, which: Which): Promise<Stored | undefined> {
    const answer = await this.#ask(`STREAM.MSG.GET.${stream}`, which).catch(undefinedIf(NO_MESSAGE))
    if (answer?.message === undefined) return undefined
    const { subject, seq, time, data = '' } = answer.message
    return { subject, seq, time: Date.parse(time), data: Buffer.from(data, 'base64') }
  }

  /** Takes away the messages of these subjects, those before a number where one is given. @returns how many there were. */
  async purge(stream: string, which: { readonly filter?: string; readonly seq?: number }): Promise<number> {
    const answer = await this.#ask(`STREAM.PURGE.${stream}`, which).catch(undefinedIf(NO_STREAM))
    return answer?.purged ?? 0
  }

  /**
   * Waits until most servers of a stream agree on who leads it: one that they have left behind goes on answering. Taking away
   * nothing is something they must agree on. @returns false where there is nobody to agree with.
   */
  async agree({ name, num_replicas: copies, subjects }: StreamConfig): Promise<boolean> {
    if (copies === 1) return false
    await this.purge(name, { filter: `${subjects[0]}.nothing` })
    return true
  }

  async #ask(what: string, body: object = {}): Promise<Answer> {
    const text = Object.keys(body).length === 0 ? '' : JSON.stringify(body)
    return toAnswer(await this.#link.request(`$JS.API.${what}`, text))
  }
}

function toAnswer(data: Uint8Array): Answer {
  const answer = parse(data)
  const { error } = answer
  if (error === undefined) return answer
  throw new ApiError(error.err_code ?? error.code ?? 0, error.description ?? 'an error')
}

function parse(data: Uint8Array): Answer {
  try {
    const answer: unknown = JSON.parse(Buffer.from(data).toString())
    if (typeof answer === 'object' && answer !== null) return answer
  } catch {
    // As below.
  }
  throw new NatsError('another service has answered')
}

/** Not an error here. */
export function undefinedIf(code: number): (error: unknown) => undefined {
  return (error) => {
    if (!(error instanceof ApiError) || error.code !== code) throw error
  }
}
