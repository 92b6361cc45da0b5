import type { Clock } from '../core/clock.ts'
import { CLOSE_CODES } from '../core/close-codes.ts'
import type { Identity } from '../core/identity.ts'
import type { Ender } from './enders.ts'

type EndListener = (reason: string) => void

/** One open WebSocket and its life. */
export interface Connection<Claims = unknown> {
  /** Unique in this process; not a secret. */
  readonly id: string
  readonly identity: Identity<Claims>
  readonly openedAt: Date
  /** When the credential expires; null where it does not. */
  readonly expiresAt: Date | null
  /** Aborts when the connection has ended, for whatever reason. */
  readonly signal: AbortSignal
  /**
   * Ends the connection: no message is handed to the app any more, the peer gets a Close frame with 4403 and the reason,
   * and the socket is destroyed one second later at the latest.
   *
   * @param reason - at most 123 bytes of UTF-8; `ended` by default.
   */
  end(reason?: string): void
  /** Called once, when the connection has ended. */
  on(event: 'end', listener: EndListener): this
}

/** What the registry does with a connection, beyond what the app may do. */
export class LiveConnection implements Connection {
  readonly identity: Identity
  readonly #number: number
  /** What the handler threw, where that ended the connection. */
  cause: unknown
  readonly #openedAt: number
  #carrier: unknown
  #ender: Ender<never>
  #listeners: EndListener[] | undefined
  #controller: AbortController | undefined
  #ended: string | undefined

  private constructor(number: number, identity: Identity, carrier: unknown, ender: Ender<never>, clock: Clock) {
    this.#number = number
    this.identity = identity
    this.#openedAt = clock.now()
    this.#carrier = carrier
    this.#ender = ender
  }

  /** @param carrier - the WebSocket or raw socket that `ender` can end. */
  static create<Carrier>(
    number: number,
    identity: Identity,
    carrier: Carrier,
    ender: Ender<Carrier>,
    clock: Clock,
  ): LiveConnection {
    return new LiveConnection(number, identity, carrier, ender, clock)
  }

  get id(): string {
    return `c${process.pid.toString(36)}-${this.#number.toString(36)}`
  }

  get openedAt(): Date {
    return new Date(this.#openedAt)
  }

  get expiresAt(): Date | null {
    return this.identity.expiresAt ?? null
  }

  /** Why it ended; undefined while it is open. */
  get reason(): string | undefined {
    return this.#ended
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController()
    if (this.#ended !== undefined) this.#controller.abort(this.#ended)
    return this.#controller.signal
  }

  end(reason = 'ended'): void {
    this.endWith(CLOSE_CODES.forbidden, reason)
  }

  /** A gentler way to end has become known. */
  endBy<Carrier>(carrier: Carrier, ender: Ender<Carrier>): void {
    this.#carrier = carrier
    this.#ender = ender
  }

  endWith(code: number, reason: string, cause?: unknown): void {
    if (this.#ended !== undefined) return
    this.cause = cause
    this.#ender.end(this.#carrier as never, code, reason)
    this.markEnded(reason)
  }

  on(_event: 'end', listener: EndListener): this {
    if (this.#ended !== undefined) queueMicrotask(() => listener(this.#ended ?? ''))
    else (this.#listeners ??= []).push(listener)
    return this
  }

  /** The socket is gone, or was told to go. Idempotent; the first reason stands. */
  markEnded(reason: string): boolean {
    if (this.#ended !== undefined) return false
    this.#ended = reason
    this.#controller?.abort(reason)
    const listeners = this.#listeners
    this.#listeners = undefined
    for (const listener of listeners ?? []) listener(reason)
    return true
  }
}
