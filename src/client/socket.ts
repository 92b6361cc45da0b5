import { attempt, type Opened } from './attempt.ts'
import { DialError } from './dial-error.ts'
import { makeEvent, type DialEventMap, type DialMessageEvent } from './events.ts'
import { Hold } from './hold.ts'
import type { CloseFacts, DialData, Link } from './link.ts'
import { closeError } from './refusal.ts'
import type { DialReason, DialRequest } from './request.ts'
import { nextStep, type Tries } from './reconnect.ts'
import { Renewals } from './renewals.ts'
import type { Runtime } from './runtime.ts'
import { wait } from './wait.ts'

/** A connection that stood so long (ms) begins its count of failed attempts again. */
const LASTED = 10_000

const STATES = { CONNECTING: 0, OPEN: 1, CLOSING: 2, CLOSED: 3 }

type Listener<E extends Event> = ((event: E) => void) | { handleEvent(event: E): void }

/**
 * A WebSocket that comes back: the properties, methods and events of the standard's own, and more.
 *
 * - After a loss it dials again ({@link DialOptions.reconnect}); meanwhile `readyState` is `CONNECTING` and `send` throws.
 *   What was sent and not answered is not sent again: listen for `open`.
 * - `close` is dispatched once, at the end; `error` before it, unless it was a normal close.
 * - Messages that came before the first `message` listener wait for it (up to 1024 of them, or 1 MiB).
 * - `for await` yields the data of each message, ends with the connection and throws where that ended by an error.
 */
export class DialSocket extends EventTarget {
  declare static readonly CONNECTING: 0
  declare static readonly OPEN: 1
  declare static readonly CLOSING: 2
  declare static readonly CLOSED: 3
  declare readonly CONNECTING: 0
  declare readonly OPEN: 1
  declare readonly CLOSING: 2
  declare readonly CLOSED: 3
  declare onopen: ((event: Event) => void) | null
  declare onmessage: ((event: DialMessageEvent) => void) | null
  declare onclose: ((event: DialEventMap['close']) => void) | null
  declare onerror: ((event: DialEventMap['error']) => void) | null
  readonly #runtime: Runtime
  readonly #request: DialRequest
  readonly #stop = new AbortController()
  readonly #hold = new Hold((event) => void super.dispatchEvent(event))
  readonly #handlers: Record<string, Function | null> = {}
  readonly #tries: Tries = { failed: 0 }
  #state: 0 | 1 | 2 | 3 = 0
  #link: Link | undefined
  #renewals: Renewals | undefined
  #binaryType: string | undefined
  #closed: CloseFacts | undefined
  #error: DialError | undefined

  /** @internal `settle` is told of the first time that it is open, or why it never was. */
  constructor(runtime: Runtime, request: DialRequest, settle: (error?: DialError) => void) {
    super()
    this.#runtime = runtime
    this.#request = request
    const { signal } = request
    const onAbort = (): void => this.#stop.abort(signal?.reason)
    const done = (error?: DialError): void => {
      signal?.removeEventListener('abort', onAbort)
      settle(error)
    }
    signal?.addEventListener('abort', onAbort)
    if (signal?.aborted === true) onAbort()
    void this.#run(done)
  }

  get readyState(): 0 | 1 | 2 | 3 {
    return this.#state
  }
  /** The URL that was dialled, without user name and password. */
  get url(): string {
    return this.#request.url.href
  }
  get protocol(): string {
    return this.#link?.socket.protocol ?? ''
  }
  get extensions(): string {
    return this.#link?.socket.extensions ?? ''
  }
  get bufferedAmount(): number {
    return this.#link?.socket.bufferedAmount ?? 0
  }
  /** What bytes arrive as: `blob` or `arraybuffer`; in Node also `nodebuffer`, which is the default there. */
  get binaryType(): string {
    return this.#binaryType ?? this.#link?.socket.binaryType ?? 'blob'
  }
  set binaryType(type: string) {
    this.#binaryType = type
    if (this.#link !== undefined) this.#link.socket.binaryType = type
  }

  static {
    for (const on of [this, this.prototype]) Object.assign(on, STATES)
    for (const type of ['open', 'message', 'close', 'error']) {
      Object.defineProperty(this.prototype, `on${type}`, {
        get(this: DialSocket) {
          return this.#handlers[type] ?? null
        },
        set(this: DialSocket, handler: unknown) {
          const given = typeof handler === 'function' ? handler : null
          if (given !== null && !(type in this.#handlers))
            this.addEventListener(type, (event) => void this.#handlers[type]?.call(this, event))
          if (given !== null || type in this.#handlers) this.#handlers[type] = given
        },
      })
    }
  }

  /** @throws DOMException `InvalidStateError` while it is not open yet, or not again. */
  send(data: DialData): void {
    if (this.#state === 0 || this.#link === undefined)
      throw new DOMException('The WebSocket is not open.', 'InvalidStateError')
    this.#link.socket.send(data)
  }

  /** Closes for good: it does not come back. */
  close(code?: number, reason?: string): void {
    if (this.#state === 1) this.#link?.socket.close(code, reason)
    if (this.#state < 2) this.#state = 2
    this.#stop.abort()
    this.#renewals?.end()
  }

  /** Closes for good without waiting for the server's answer, where the runtime can do that. */
  terminate(): void {
    this.close()
    this.#link?.drop()
  }

  override addEventListener<K extends keyof DialEventMap>(
    type: K,
    listener: Listener<DialEventMap[K]> | null,
    options?: boolean | { once?: boolean; capture?: boolean; passive?: boolean; signal?: AbortSignal },
  ): void
  override addEventListener(
    type: string,
    listener: Listener<Event> | null,
    options?: boolean | { once?: boolean; capture?: boolean; passive?: boolean; signal?: AbortSignal },
  ): void
  override addEventListener(
    type: string,
    listener: Listener<Event> | null,
    options?: boolean | { once?: boolean },
  ): void {
    if (listener === null) return
    super.addEventListener(type, listener, options)
    if (type === 'message') this.#hold.want(typeof options === 'object' && options.once === true ? 1 : Infinity)
  }

  /** Adds a listener; returns the function that takes it away. */
  on<K extends keyof DialEventMap>(type: K, listener: (event: DialEventMap[K]) => void): () => void {
    this.addEventListener(type, listener)
    return () => this.removeEventListener(type, listener as (event: Event) => void)
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<unknown, void, undefined> {
    const queue: Event[] = []
    let wake = (): void => {}
    const onMessage = (event: Event): void => {
      queue.push(event)
      wake()
    }
    const onClose = (): void => wake()
    super.addEventListener('message', onMessage)
    super.addEventListener('close', onClose)
    const leave = this.#hold.read()
    try {
      for (;;) {
        const next = queue.shift()
        if (next !== undefined) yield (next as DialMessageEvent).data
        else if (this.#state === 3) break
        // oxlint-disable-next-line no-await-in-loop -- each message is waited for
        else await new Promise<void>((resolve) => (wake = resolve))
      }
    } finally {
      this.removeEventListener('message', onMessage)
      this.removeEventListener('close', onClose)
      leave(queue)
    }
    if (this.#error !== undefined) throw this.#error
  }

  #emit(type: string, facts: object = {}, className?: string): void {
    super.dispatchEvent(makeEvent(type, facts, className))
  }

  async #run(settle: (error?: DialError) => void): Promise<void> {
    let reason: DialReason = 'first'
    let before: DialError | undefined
    for (;;) {
      // oxlint-disable-next-line no-await-in-loop -- one attempt after the other
      const error: DialError | undefined = await this.#live(reason, settle)
      const step =
        this.#stop.signal.aborted || error === undefined
          ? undefined
          : nextStep(error, this.#tries, this.#request.reconnect)
      // Where the server did not take the last credential and there is no other, the server's answer says more.
      const isOut = reason === 'expired' && error?.code === 'no_credentials'
      if (step === undefined || error === undefined) return this.#finish(isOut ? before : error, settle)
      const { delay } = step
      reason = step.reason
      before = error
      if (this.#tries.wasOpen) this.#emit('reconnecting', { attempt: this.#tries.failed, delay, error })
      await wait(delay, step.canWake, this.#stop.signal)
    }
  }

  /** One connection from its attempt to its end; undefined where it ended as it should. */
  async #live(reason: DialReason, settle: () => void): Promise<DialError | undefined> {
    const why = { attempt: this.#tries.failed + (this.#tries.hasRenewed ? 2 : 1), reason }
    try {
      const opened = await attempt(this.#runtime, this.#request, why, this.#tries, this.#stop.signal)
      if (this.#stop.signal.aborted) opened.link.drop()
      const began = Date.now()
      const ended = this.#open(opened, reason)
      settle()
      const closed = await ended
      if (Date.now() - began >= LASTED) Object.assign(this.#tries, { hasRenewed: false, wasSlow: false, failed: 0 })
      return this.#lost(closed)
    } catch (error) {
      // Whatever else was thrown may hold a credential.
      return error instanceof DialError ? error : this.#request.fail('bad_request', { what: 'arguments' })
    }
  }

  #open(opened: Opened, reason: DialReason): Promise<CloseFacts> {
    const { link } = opened
    this.#link = link
    this.#state = this.#stop.signal.aborted ? 2 : 1
    this.#tries.wasOpen = true
    if (this.#binaryType !== undefined) link.socket.binaryType = this.#binaryType
    const renewals = (this.#renewals = new Renewals(
      { runtime: this.#runtime, request: this.#request, tries: this.#tries, opened },
      (facts) => this.#emit('auth', facts),
    ))
    this.#emit('open')
    if (reason === 'expired') this.#emit('auth', { state: 'renewed' })
    return new Promise((resolve) => {
      link.take({
        message: (data) => {
          if (!renewals.take(data)) this.#hold.push(makeEvent('message', { data }, 'MessageEvent'), data)
        },
        close: (facts) => {
          renewals.end()
          resolve(facts)
        },
      })
    })
  }

  #lost(closed: CloseFacts): DialError | undefined {
    const { code, reason } = closed
    this.#closed = closed
    if (this.#stop.signal.aborted || code === 1000 || code === 1005) return undefined
    this.#state = 0
    return closeError(this.#request.fail, 'session', this.#link?.isBroken ? 1002 : code, reason)
  }

  #finish(given: DialError | undefined, settle: (error?: DialError) => void): void {
    const error = this.#stop.signal.aborted ? undefined : given
    const { status, closeCode, retryable } = error ?? {}
    // Without a Close of its own, the end says what the refusal said, where that is for good.
    const code = status === undefined || retryable === true ? 1006 : status < 400 ? 4401 : 4000 + status
    const isLast = closeCode !== undefined || error === undefined
    const closed = (isLast && this.#closed) || { code: closeCode ?? code, reason: '', wasClean: false }
    this.#state = 3
    this.#error = error
    this.#hold.flush()
    if (error !== undefined) {
      if (this.#tries.wasOpen && (status === 401 || status === 403)) this.#emit('auth', { state: 'refused', error })
      this.#emit('error', { ...closed, error, message: error.message })
    }
    this.#emit('close', closed, 'CloseEvent')
    settle(given)
  }
}
