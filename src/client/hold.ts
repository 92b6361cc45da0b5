const MAX_HELD = 1024
const MAX_HELD_BYTES = 1024 * 1024

/** Who waits for messages: nobody, somebody for one, or somebody for each from now on. */
type Wanted = number

/**
 * Keeps messages until somebody wants them, then hands them on in order. Who wants one gets one; the others wait for the
 * next who asks.
 *
 * A caller who never listens must not fill the memory: past 1024 messages or 1 MiB they are dropped, as a WebSocket drops
 * messages that nobody listens for.
 */
export class Hold {
  readonly #dispatch: (event: Event) => void
  #held: Array<{ readonly event: Event; readonly size: number }> = []
  #bytes = 0
  #wanted: Wanted = 0
  #readers = 0

  constructor(dispatch: (event: Event) => void) {
    this.#dispatch = dispatch
  }

  push(event: Event, data: unknown): void {
    const { length = 0, size = length, byteLength = size }: Sized = Object(data)
    this.#held.push({ event, size: byteLength })
    this.#bytes += byteLength
    this.flush()
    if (this.#held.length <= MAX_HELD && this.#bytes <= MAX_HELD_BYTES) return
    this.#held.length = 0
    this.#wanted = Infinity
  }

  get #isWanted(): boolean {
    return this.#wanted + this.#readers > 0
  }

  /** Not at once: who wants messages may attach more listeners right after. */
  want(count: Wanted): void {
    this.#wanted = Math.max(this.#wanted, count)
    queueMicrotask(() => this.flush())
  }

  /** Somebody reads every message, until the returned function is called with those that were not used. */
  read(): (unused: readonly Event[]) => void {
    this.#readers += 1
    this.want(0)
    return (unused) => {
      this.#readers -= 1
      if (!this.#isWanted) this.#held.unshift(...unused.map((event) => ({ event, size: 0 })))
    }
  }

  /** Hands on what somebody wants. */
  flush(): void {
    while (this.#isWanted) {
      const next = this.#held.shift()
      if (next === undefined) return
      this.#bytes -= next.size
      if (this.#wanted === 1) this.#wanted = 0
      this.#dispatch(next.event)
    }
  }
}

interface Sized {
  readonly byteLength?: number
  readonly length?: number
  readonly size?: number
}
