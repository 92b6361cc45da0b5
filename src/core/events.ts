import type { HeaderPairs } from './decision.ts'
import type { Identity } from './identity.ts'

/** One refused handshake. Holds no header values, no query and no credential. */
export interface RefusedEvent {
  readonly type: 'refused'
  readonly time: Date
  /** A code of `docs/errors.md`; `app` where the app, `library` where the WebSocket library sent its own answer. */
  readonly code: string
  readonly status: number
  readonly peer: string
  /** The path without query, fragment and parameters, cut at 1024 characters; `''` where the target had none. */
  readonly path: string
  /** The Origin as it was sent, cut at 512 characters: not checked where the refusal came before. */
  readonly origin: string | undefined
  readonly ms: number
  /** What the app or a scheme threw, for logs of the operator. */
  readonly cause?: unknown
}

/** One accepted handshake. */
export interface AcceptedEvent {
  readonly type: 'accepted'
  readonly time: Date
  readonly connection: string
  readonly issuer: string
  readonly subject: string
  readonly peer: string
  readonly path: string
  readonly ms: number
}

/** The end of a handshake whose client went away before the decision. */
export interface AbortedEvent {
  readonly type: 'aborted'
  readonly time: Date
  readonly peer: string
  readonly path: string
  readonly ms: number
}

/** The end of an open connection. */
export interface EndedEvent {
  readonly type: 'ended'
  readonly time: Date
  readonly connection: string
  readonly reason: string
  /** What the handler threw, where that ended the connection. */
  readonly cause?: unknown
}

/** Something the operator should mend. Each `code` is reported once for a gate. */
export interface WarningEvent {
  readonly type: 'warning'
  readonly time: Date
  readonly code: string
  readonly message: string
}

export type GateEvent = RefusedEvent | AcceptedEvent | AbortedEvent | EndedEvent | WarningEvent

/** One step of a decision, as `gate.inject()` shows it. */
export interface TraceStep {
  readonly step: 'handshake' | 'schemes' | 'app' | 'identify' | 'credentials'
  readonly outcome: string
  readonly ms: number
}

/** What `gate.inject()` returns: the decision as data. */
export type Injected<Claims = unknown> =
  | {
      readonly type: 'accept'
      readonly identity: Identity<Claims>
      readonly headers: HeaderPairs
      readonly trace: readonly TraceStep[]
    }
  | {
      readonly type: 'refuse'
      readonly code: string
      readonly status: number
      readonly headers: HeaderPairs
      readonly body: Uint8Array
      readonly trace: readonly TraceStep[]
    }
