import { fromWire, isOurs, toWire, type Call, type Reply, type Request } from './wire.ts'

/** The channel to the process of the hub. */
export interface Channel {
  send(message: Request): void
  /** @returns a function that takes the listener off. */
  listen(listener: (message: unknown) => void): () => void
}

interface Waiting {
  resolve(result: unknown): void
  reject(error: Error): void
}

/** Questions that the hub has not answered. */
const MOST = 10_000

let lastId = 0

/** Asks the hub, and takes its answers. */
export class Calls {
  readonly #channel: Channel
  readonly #prefix: string
  readonly #waiting = new Map<number, Waiting>()

  constructor(channel: Channel, prefix: string) {
    this.#channel = channel
    this.#prefix = prefix
  }

  async ask(call: Call, args: readonly unknown[]): Promise<unknown> {
    return await new Promise((resolve, reject) => {
      lastId += 1
      this.#waiting.set(lastId, { resolve, reject })
      this.#forget()
      const request = { gate101: 'request', prefix: this.#prefix, id: lastId, call } as const
      this.#channel.send({ ...request, args: toWire(args) as unknown[] })
    })
  }

  take(message: unknown): void {
    if (!isOurs(message, 'reply')) return
    const { id, prefix, result, error } = message as Reply
    if (prefix !== this.#prefix) return
    if (error === undefined) this.#waiting.get(id)?.resolve(fromWire(result))
    else this.#waiting.get(id)?.reject(new Error(error))
    this.#waiting.delete(id)
  }

  end(): void {
    for (const one of this.#waiting.values()) one.reject(new Error('The engine is closed.'))
    this.#waiting.clear()
  }

  /** Nobody waits for so many: who has asked first has given up. */
  #forget(): void {
    for (const [id, oldest] of this.#waiting) {
      if (this.#waiting.size <= MOST) return
      this.#waiting.delete(id)
      oldest.reject(new Error('The hub gives no answer.'))
    }
  }
}
