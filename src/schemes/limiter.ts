/** Too many jobs wait already. */
export const BUSY = Symbol('busy')

interface Waiting {
  readonly start: () => void
}

/** Runs at most `concurrency` jobs at a time and lets at most `queue` more wait, first come, first served. */
export class Limiter {
  readonly #concurrency: number
  readonly #queue: number
  readonly #waiting = new Set<Waiting>()
  #running = 0

  constructor(concurrency: number, queue: number) {
    this.#concurrency = concurrency
    this.#queue = queue
  }

  /** Resolves to the job's result or to {@link BUSY}. Rejects when the signal aborts while the job waits. */
  async run<T>(job: () => Promise<T>, signal: AbortSignal): Promise<T | typeof BUSY> {
    signal.throwIfAborted()
    if (this.#running >= this.#concurrency) {
      if (this.#waiting.size >= this.#queue) return BUSY
      await this.#turn(signal)
    } else {
      this.#running++
    }
    try {
      return await job()
    } finally {
      this.#release()
    }
  }

  #turn(signal: AbortSignal): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const waiting: Waiting = {
        start: () => {
          signal.removeEventListener('abort', onAbort)
          resolve()
        },
      }
      const onAbort = (): void => {
        this.#waiting.delete(waiting)
        reject(signal.reason)
      }
      signal.addEventListener('abort', onAbort, { once: true })
      this.#waiting.add(waiting)
    })
  }

  /** The slot goes straight to the next in line, so `#running` stays as it is where someone waits. */
  #release(): void {
    const [next] = this.#waiting
    if (next === undefined) {
      this.#running--
      return
    }
    this.#waiting.delete(next)
    next.start()
  }
}
