import { randomBytes } from 'node:crypto'
import type { Duplex } from 'node:stream'
import { ENDS, type CloseProfile, type End, type EndKind } from '../core/end.ts'
import { expiresAtOf, type Identity } from '../core/identity.ts'
import type { Ender } from './enders.ts'
import type { Timed } from './deadlines.ts'
import { textOf } from '../core/errors.ts'
import type { Facts } from './facts.ts'
import type { IndexKey } from './registry.ts'

/** What a connection tells the app of its life. */
export interface ConnectionEvents<Claims = unknown> {
  /** It goes on with this identity: its client has renewed it, or a re-check has found it changed. */
  renewed: (identity: Identity<Claims>) => void
  /** It ends then, unless it is renewed: said a tenth of its lifetime before, at most a minute. */
  expiring: (expiresAt: Date) => void
  /** Called once, when the connection has ended. */
  end: (reason: string) => void
}

/** One open WebSocket and its life. */
export interface Connection<Claims = unknown> {
  /** Unique, also among nodes; not a secret. */
  readonly id: string
  /** Names the connection to `gate.renew()`. A secret: send it to its own client only. */
  readonly token: string
  /** Who it belongs to now: issuer and subject never change. */
  readonly identity: Identity<Claims>
  readonly openedAt: Date
  /** When the credential expires, or the connection is as old as `maxAge` allows; null where the credential does not expire. */
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
  /**
   * @example
   * ```ts
   * connection.on('renewed', ({ tags }) => dropRightsBeyond(tags))
   * ```
   */
  on<Event extends keyof ConnectionEvents>(event: Event, listener: ConnectionEvents<Claims>[Event]): this
}

/** How long a credential is trusted without being shown again. */
export interface Trust {
  /** Milliseconds since the epoch. */
  readonly until: number
  /** What it is that is over then. */
  readonly end: End
}

export const FOR_EVER: Trust = { until: Infinity, end: ENDS.maxAge }

/** What a connection is made of. */
export interface ConnectionParts<Carrier> {
  readonly number: number
  readonly identity: Identity
  /** When it was asked about, in the order of all that happens at this gate. */
  readonly order: number
  readonly now: number
  /** The WebSocket or raw socket that `ender` can end. */
  readonly carrier: Carrier
  readonly ender: Ender<Carrier>
  /** The raw socket. */
  readonly socket: Duplex
  readonly kin: Kin
  readonly trust: Trust
}

/** What all connections of a route have in common. */
export interface Kin {
  readonly profile: CloseProfile
  readonly tokenOf: (number: number) => string
  readonly left: (connection: LiveConnection) => void
}

/** The session that was destroyed, and when, in the order of all that happens at this gate. */
export interface LoggedOutBy {
  readonly session: string
  readonly order: number
}

type Listeners = { [Event in keyof ConnectionEvents]?: Array<ConnectionEvents[Event]> }

/** What few connections have: one object of it costs those few more, and saves the others a place for each. */
class Rare {
  listeners: Listeners | undefined
  controller: AbortController | undefined
  trust: Trust = FOR_EVER
  former: readonly IndexKey[] = []
  address: string | undefined
  notice: ((ms: number) => void) | undefined
  cause: unknown
  code: number | undefined
  loggedOut: LoggedOutBy | undefined
  isOverdue = false
}

/** Of this process: ids of several nodes never meet. */
const PROCESS = randomBytes(5).readUIntBE(0, 5).toString(36)

/** The id of the connection with this number in this process. */
export function connectionId(number: number): string {
  return `c${PROCESS}-${number.toString(36)}`
}

const NOTHING_RARE: Readonly<Rare> = Object.freeze(new Rare())

/** What the gate does with a connection, beyond what the app may do. */
export class LiveConnection implements Connection, Timed {
  slot = -1
  /** Milliseconds since the epoch. */
  endsAt = Infinity
  readonly openedAtMs: number
  // What is secret, or leads to it, is in private fields: no inspect, JSON or spread shows it (rule C4).
  readonly #socket: Duplex
  readonly #number: number
  readonly #kin: Kin
  #facts: Facts | undefined
  #identity: Identity
  #order: number
  #carrier: unknown
  #ender: Ender<never>
  #ended: string | undefined
  #rare: Rare | undefined

  private constructor(parts: ConnectionParts<unknown>, ender: Ender<never>) {
    this.#socket = parts.socket
    this.openedAtMs = parts.now
    this.#number = parts.number
    this.#kin = parts.kin
    this.#identity = parts.identity
    this.#order = parts.order
    this.#carrier = parts.carrier
    this.#ender = ender
    if (parts.trust.until !== Infinity) this.#own.trust = parts.trust
  }

  static create<Carrier>(parts: ConnectionParts<Carrier>): LiveConnection {
    return new LiveConnection(parts, parts.ender)
  }

  get number(): number {
    return this.#number
  }

  get id(): string {
    return connectionId(this.#number)
  }

  /** The raw one. */
  get socket(): Duplex {
    return this.#socket
  }

  /** What a re-check asks with; undefined where there is none. */
  get facts(): Facts | undefined {
    return this.#facts
  }
  set facts(facts: Facts | undefined) {
    this.#facts = facts
  }

  /** Keys that it lived by before it was renewed. */
  get former(): readonly IndexKey[] {
    return this.#seldom.former
  }
  set former(keys: readonly IndexKey[]) {
    this.#own.former = keys
  }

  /** The address that it counts for, where addresses are counted. */
  get address(): string | undefined {
    return this.#seldom.address
  }
  set address(address: string) {
    this.#own.address = address
  }

  /** How long it lasts without being renewed. */
  get trust(): Trust {
    return this.#seldom.trust
  }

  /** Its session was destroyed, and the app was not asked since. */
  get loggedOut(): LoggedOutBy | undefined {
    return this.#seldom.loggedOut
  }
  set loggedOut(by: LoggedOutBy | undefined) {
    this.#own.loggedOut = by
  }

  /** Its time is over, and the app is being asked once more. */
  get isOverdue(): boolean {
    return this.#seldom.isOverdue
  }
  set isOverdue(is: boolean) {
    this.#own.isOverdue = is
  }

  /** Tells a client that speaks the protocol of auth messages how many milliseconds are left. */
  set notice(notice: (ms: number) => void) {
    this.#own.notice = notice
  }

  /** What the handler threw, where that ended the connection. */
  get cause(): unknown {
    return this.#seldom.cause
  }

  get #seldom(): Readonly<Rare> {
    return this.#rare ?? NOTHING_RARE
  }

  get #own(): Rare {
    return (this.#rare ??= new Rare())
  }

  get token(): string {
    return this.#kin.tokenOf(this.#number)
  }

  get identity(): Identity {
    return this.#identity
  }

  get openedAt(): Date {
    return new Date(this.openedAtMs)
  }

  get expiresAt(): Date | null {
    const expiresAt = expiresAtOf(this.#identity)
    return expiresAt === Infinity ? null : new Date(Math.min(expiresAt, this.endsAt))
  }

  /** When its credential was asked about first, in the order of all that happens at this gate. */
  get order(): number {
    return this.#order
  }

  /** Why it ended; undefined while it is open. */
  get reason(): string | undefined {
    return this.#ended
  }

  /** The Close code with which it was ended; undefined where it was not, or had no Close. */
  get code(): number | undefined {
    return this.#seldom.code
  }

  get signal(): AbortSignal {
    const controller = (this.#own.controller ??= new AbortController())
    if (this.#ended !== undefined) controller.abort(this.#ended)
    return controller.signal
  }

  /** Bytes that wait for the client to read. */
  get queued(): number {
    return this.#ender.queued(this.#carrier as never)
  }

  get canPing(): boolean {
    return this.#ender.ping !== undefined
  }

  ping(): void {
    tell('ping', () => this.#ender.ping?.(this.#carrier as never))
  }

  /** What may be shown: `token` and what it holds inside are for nobody to read by accident (rule C4). */
  toJSON(): object {
    const { id, identity, openedAt, expiresAt, reason } = this
    return { id, identity, openedAt, expiresAt, reason }
  }

  [Symbol.for('nodejs.util.inspect.custom')](): object {
    return this.toJSON()
  }

  /** It goes on with this identity of the same person. */
  become(identity: Identity): void {
    this.#identity = identity
  }

  /** It goes on with this credential of the same person. */
  renew(identity: Identity, order: number, trust: Trust): void {
    this.#identity = identity
    this.#order = order
    this.#own.trust = trust
    if (this.loggedOut?.session !== identity.session) this.#own.loggedOut = undefined
  }

  end(reason = 'ended'): void {
    this.endWith({ kind: 'forbidden', reason })
  }

  /** A gentler way to end has become known. */
  endBy<Carrier>(carrier: Carrier, ender: Ender<Carrier>): void {
    this.#carrier = carrier
    this.#ender = ender
  }

  endWith({ kind, reason }: End, cause?: unknown): void {
    if (this.#ended !== undefined) return
    if (cause !== undefined) this.#own.cause = cause
    this.#own.code = this.#stop(kind, reason)
    this.markEnded(reason)
  }

  /** What the app has named as its WebSocket may be none. */
  #stop(kind: EndKind, reason: string): number | undefined {
    try {
      return this.#ender.end(this.#carrier as never, kind, reason, this.#kin.profile)
    } catch (error) {
      this.#socket.destroy()
      warnOf('end', error)
      return undefined
    }
  }

  on<Event extends keyof ConnectionEvents>(event: Event, listener: ConnectionEvents[Event]): this {
    if (this.#ended !== undefined) {
      const call = (): void => (listener as ConnectionEvents['end'])(this.#ended ?? '')
      if (event === 'end') queueMicrotask(() => tell('end', call))
      return this
    }
    const listeners: Listeners = (this.#own.listeners ??= {})
    const those: Array<ConnectionEvents[Event]> = listeners[event] ?? []
    those.push(listener)
    Object.assign(listeners, { [event]: those })
    return this
  }

  tellRenewed(): void {
    for (const listener of this.#seldom.listeners?.renewed?.slice() ?? [])
      tell('renewed', () => listener(this.#identity))
  }

  tellExpiring(now: number): void {
    tell('expiring', () => this.#seldom.notice?.(this.endsAt - now))
    for (const listener of this.#seldom.listeners?.expiring?.slice() ?? [])
      tell('expiring', () => listener(new Date(this.endsAt)))
  }

  /** The socket is gone, or was told to go. Idempotent; the first reason stands. */
  markEnded(reason: string): boolean {
    if (this.#ended !== undefined) return false
    this.#ended = reason
    const { controller, listeners } = this.#seldom
    if (this.#rare !== undefined) Object.assign(this.#rare, { listeners: undefined, notice: undefined })
    controller?.abort(reason)
    this.#kin.left(this)
    // In a turn of their own: who ends many is not kept from the others by what each of them does about it.
    for (const listener of listeners?.end ?? []) queueMicrotask(() => tell('end', () => listener(reason)))
    return true
  }
}

/** A listener's mistake must not keep the next connection open. */
function tell(event: string, call: () => void): void {
  try {
    call()
  } catch (error) {
    warnOf(event, error)
  }
}

function warnOf(event: string, error: unknown): void {
  process.emitWarning(`A listener of the connection's event "${event}" threw: ${textOf(error)}`, 'Gate101Warning')
}
