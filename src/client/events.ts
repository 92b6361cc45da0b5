import type { DialError } from './dial-error.ts'

/** A message: text, or bytes in the form that `binaryType` says. */
export interface DialMessageEvent extends Event {
  readonly data: unknown
}

export interface DialCloseEvent extends Event {
  readonly code: number
  /** What the server wrote: escape it where you show it. */
  readonly reason: string
  readonly wasClean: boolean
}

/** With the code of the `close` that follows: some libraries decide by it, and look no further. */
export interface DialErrorEvent extends DialCloseEvent {
  readonly error: DialError
}

/** The connection was lost and is tried again after `delay` milliseconds. */
export interface DialReconnectingEvent extends Event {
  readonly attempt: number
  readonly delay: number
  readonly error: DialError
}

/**
 * About the credential of an open connection: `renewed` it has more time, or is open again with another one; `expiring` it
 * ends soon; `refused` the server does not take it any more, and the connection is over.
 */
export interface DialAuthEvent extends Event {
  readonly state: 'renewed' | 'expiring' | 'refused'
  /** Of `expiring`. */
  readonly expiresAt?: Date
  /** Of `refused`; of `expiring`, where a renewal has failed. */
  readonly error?: DialError | undefined
}

export interface DialEventMap {
  /** Open again after a loss. */
  readonly open: Event
  readonly message: DialMessageEvent
  /** The end, once. A loss that is followed by another attempt is `reconnecting`. */
  readonly close: DialCloseEvent
  /** Why it ended, where that was no normal close. */
  readonly error: DialErrorEvent
  readonly reconnecting: DialReconnectingEvent
  readonly auth: DialAuthEvent
}

type EventClass = new (type: string, init: object) => Event

/** An event of this class where the runtime has it: some libraries make copies through the constructor. */
export function makeEvent(type: string, facts: object, className = ''): Event {
  const Native = (globalThis as unknown as Readonly<Record<string, EventClass | undefined>>)[className]
  return Native === undefined ? Object.assign(new Event(type), facts) : new Native(type, facts)
}
