import { countIn } from './first-message.ts'
import type { Lifetime } from './lifetime.ts'
import { locked } from './locks.ts'

/** How long the others have to hear what they were told, before one of them may ask (ms). */
const MOMENT = 50

/** What one tab of a browser renews for all of its origin. */
export class Tabs {
  readonly #name: string
  readonly #channel: InstanceType<typeof BroadcastChannel> | undefined
  #heard = 0

  constructor(name: string, lifetime: Pick<Lifetime, 'renewed'>) {
    this.#name = name
    if (!('BroadcastChannel' in globalThis)) return
    this.#channel = new BroadcastChannel(`gate101 ${name}`)
    this.#channel.addEventListener('message', (event: unknown) => {
      this.#heard += 1
      lifetime.renewed(countIn((event as { data?: unknown }).data))
    })
  }

  /** Renews and tells everybody, unless another tab does just that meanwhile. */
  async renew(signal: AbortSignal, call: () => Promise<unknown>): Promise<void> {
    const before = this.#heard
    await locked(`renew ${this.#name}`, signal, async () => {
      if (this.#heard > before) return
      const expiresIn = await call()
      this.#channel?.postMessage(expiresIn)
      await new Promise((resolve) => setTimeout(resolve, MOMENT))
    })
  }

  end(): void {
    this.#channel?.close()
  }
}
