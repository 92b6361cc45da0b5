/** What is used of a WebSocket: the standard's own, or that of `ws`. */
export interface RawSocket {
  readonly readyState: number
  readonly protocol: string
  readonly extensions: string
  readonly bufferedAmount: number
  binaryType: string
  send(data: DialData): void
  close(code?: number, reason?: string): void
  terminate?(): void
  addEventListener(type: 'open', listener: () => void): void
  addEventListener(type: 'message', listener: (event: { data: unknown }) => void): void
  addEventListener(type: 'close', listener: (event: CloseFacts) => void): void
}

/** What `send` takes. */
export type DialData = string | ArrayBuffer | ArrayBufferView | Blob

export interface CloseFacts {
  readonly code: number
  readonly reason: string
  readonly wasClean: boolean
}

interface Ends {
  message?(data: unknown): void
  close(facts: CloseFacts): void
}

/** A WebSocket whose messages and end wait until somebody takes them. */
export class Link {
  readonly socket: RawSocket
  /** The server broke the protocol: only some runtimes say so. */
  isBroken = false
  #early: Array<(ends: Ends) => void> = []
  #ends: Ends | undefined
  #isOver = false

  constructor(socket: RawSocket) {
    this.socket = socket
    socket.addEventListener('message', ({ data }) => this.#pass((ends) => ends.message?.(data)))
    socket.addEventListener('close', ({ code, reason, wasClean }) =>
      this.#pass((ends) => ends.close({ code, reason, wasClean })),
    )
  }

  #pass(event: (ends: Ends) => void): void {
    if (this.#isOver) return
    if (this.#ends === undefined) this.#early.push(event)
    else event(this.#ends)
  }

  take(ends: Ends): void {
    this.#ends = ends
    // One of these may hand on to others, or release: what is left is theirs.
    while (this.#ends !== undefined) {
      const event = this.#early.shift()
      if (event === undefined) return
      event(this.#ends)
    }
  }

  /** Keeps again what comes from now on, and these messages before it. */
  release(kept: readonly unknown[] = []): void {
    this.#ends = undefined
    this.#early.unshift(...kept.map((data) => (ends: Ends) => ends.message?.(data)))
  }

  /** Ends it at once, whatever the server does: this is its last event. */
  drop(): void {
    const { socket } = this
    this.#pass((ends) => ends.close({ code: 1006, reason: '', wasClean: false }))
    this.#isOver = true
    if (socket.terminate === undefined) socket.close()
    else socket.terminate()
  }
}
