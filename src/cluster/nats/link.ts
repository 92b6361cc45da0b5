/** A NatsConnection of `@nats-io/transport-node` 3: as much of it as is used. */
export interface NatsClient {
  readonly info?: { readonly version: string; readonly max_payload: number } | undefined
  publish(subject: string, payload?: Uint8Array | string): void
  request(
    subject: string,
    payload?: Uint8Array | string,
    options?: { timeout: number },
  ): Promise<{ readonly data: Uint8Array }>
  subscribe(
    subject: string,
    options: { callback: (error: Error | null, message: { readonly data: Uint8Array }) => void },
  ): { unsubscribe(): void }
  status(): AsyncIterable<{ readonly type: string }>
}

/** What has come of a request other than an answer. */
export class NatsError extends Error {
  override readonly name = 'NatsError'
  readonly why: 'nobody' | 'forbidden' | 'unknown'

  constructor(message: string, why: NatsError['why'] = 'unknown') {
    super(`NATS: ${message}`)
    this.why = why
  }
}

/** Longer than any caller waits. */
const TIMEOUT_MS = 5000

/**
 * The client that was given. It may keep a request while it is away, and send it when it is back; nobody waits for that any more, and so
 * nothing is asked meanwhile.
 */
export class Link {
  readonly #client: NatsClient
  readonly #pending = new Set<(error: NatsError) => void>()
  #away: string | undefined
  #stop = (): void => undefined

  constructor(client: NatsClient) {
    this.#client = client
  }

  get info(): NatsClient['info'] {
    return this.#client.info
  }

  /** Begins to see whether the client is connected. @param back - called when it is again. */
  watch(back: () => void): void {
    this.unwatch()
    this.#away = undefined
    const statuses = this.#client.status()
    let isOver = false
    this.#stop = () => {
      isOver = true
      stopIterator(statuses)
    }
    const follow = async (): Promise<void> => {
      for await (const { type } of statuses) {
        if (isOver) return
        if (type === 'disconnect' || type === 'close') this.#leave('not connected')
        if (type === 'reconnect') this.#away = undefined
        if (type === 'reconnect') back()
      }
    }
    follow().catch(() => undefined)
  }

  unwatch(): void {
    this.#stop()
    this.#stop = () => undefined
  }

  /** Nothing is asked any more. */
  close(): void {
    this.unwatch()
    this.#leave('closed')
  }

  async request(subject: string, payload: Uint8Array | string): Promise<Uint8Array> {
    if (this.#away !== undefined) throw new NatsError(this.#away)
    return await new Promise((resolve, reject) => {
      const fail = (error: NatsError): void => {
        this.#pending.delete(fail)
        reject(error)
      }
      this.#pending.add(fail)
      this.#client.request(subject, payload, { timeout: TIMEOUT_MS }).then(
        ({ data }) => {
          this.#pending.delete(fail)
          resolve(data)
        },
        (error: unknown) => fail(judge(error)),
      )
    })
  }

  publish(subject: string, payload: Uint8Array): void {
    if (this.#away !== undefined) throw new NatsError(this.#away)
    this.#client.publish(subject, payload)
  }

  /** @param refused - called where the server does not let us. */
  subscribe(subject: string, heard: (data: Uint8Array) => void, refused: (error: NatsError) => void): () => void {
    const subscription = this.#client.subscribe(subject, {
      callback: (error, message) => (error === null ? heard(message.data) : refused(judge(error))),
    })
    return () => subscription.unsubscribe()
  }

  #leave(why: string): void {
    this.#away = why
    for (const fail of this.#pending) fail(new NatsError(why))
  }
}

/** The client's own can be stopped; it only waits for the next one otherwise. */
function stopIterator(statuses: object): void {
  if ('stop' in statuses && typeof statuses.stop === 'function') statuses.stop()
}

const NAMES: ReadonlyArray<readonly [RegExp, NatsError['why'], string]> = [
  [/^NoResponders/, 'nobody', 'nobody answers'],
  [/^PermissionViolation/, 'forbidden', 'this user may not do this'],
  [/^Timeout/, 'unknown', 'no answer in time'],
]

/** By name alone: messages and subjects of the client's errors may say more than others should read. */
function judge(error: unknown): NatsError {
  const names = error instanceof Error ? [error.name, error.cause instanceof Error ? error.cause.name : ''] : []
  const known = NAMES.find(([pattern]) => names.some((name) => pattern.test(name)))
  return known === undefined ? new NatsError('the request failed') : new NatsError(known[2], known[1])
}
