import type { HeaderPairs } from './decision.ts'
import type { Identity } from './identity.ts'

/** One refused handshake, or request to one of the gate's routes. Holds no header values, no query and no credential. */
export interface RefusedEvent {
  readonly type: 'refused'
  readonly time: Date
  /** What was refused; `polling` is a plain request of an engine. */
  readonly request: 'handshake' | 'ticket' | 'renewal' | 'polling'
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
  /** Stands for the session id: the same for the same session, and worth nothing to anybody. */
  readonly session?: string
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
  readonly issuer: string
  readonly subject: string
  readonly session?: string
  /** A word of `docs/errors.md`, `closed` where the peer or the app's library ended it, or the app's own text. */
  readonly reason: string
  /** Of the Close that was sent; undefined where there was none. */
  readonly code: number | undefined
  /** How long it was open. */
  readonly ms: number
  /** What the handler threw, where that ended the connection. */
  readonly cause?: unknown
}

/** An open connection that goes on with another identity of the same person. */
export interface RenewedEvent {
  readonly type: 'renewed'
  readonly time: Date
  readonly connection: string
  readonly issuer: string
  readonly subject: string
  readonly session?: string
  readonly by: 'http' | 'message' | 'recheck'
  readonly expiresAt: Date | null
}

/** The door was asked again about a credential. */
export interface RecheckedEvent {
  readonly type: 'rechecked'
  readonly time: Date
  /** `error`: there was no answer. */
  readonly outcome: 'accepted' | 'refused' | 'error'
  /** By the clock, because it has expired, because its session was destroyed, or because the cluster's engine is away. */
  readonly why: 'schedule' | 'expiry' | 'session' | 'cluster'
  /** How many it was asked for. */
  readonly connections: number
  readonly ms: number
  readonly cause?: unknown
}

/** One call of `gate.revoke()`, on this node or another one. */
export interface RevokedEvent {
  readonly type: 'revoked'
  readonly time: Date
  readonly by: 'subject' | 'session' | 'credential' | 'connection' | 'tag'
  /** Another node was asked for it. */
  readonly remote: boolean
  readonly matched: number
  readonly closed: number
  readonly unbounded: number
  /** How many revocations are remembered now. */
  readonly remembered: number
  /** From the call to the last one's end. */
  readonly ms: number
}

/** One ticket, made or used. */
export interface TicketEvent {
  readonly type: 'ticket'
  readonly time: Date
  readonly outcome: 'minted' | 'redeemed' | 'refused'
}

/** This node knows all that the cluster knows again, does not any more, or has found what no node has written. */
export interface ClusterEvent {
  readonly type: 'cluster'
  readonly time: Date
  /** `redis`, `nats`, `postgres`, `ipc`, `memory`. */
  readonly engine: string
  readonly outcome: 'live' | 'lost' | 'forged'
  /** Of `lost`: what has happened. Of `forged`: where it was. */
  readonly why:
    | 'joining'
    | 'no_answer'
    | 'generation'
    | 'rewound'
    | 'gap'
    | 'unreadable'
    | 'log'
    | 'message'
    | 'report'
    | undefined
  readonly cause?: unknown
}

/** Something the operator should mend. Each `code` is reported once for a gate. */
export interface WarningEvent {
  readonly type: 'warning'
  readonly time: Date
  readonly code: string
  readonly message: string
}

export type GateEvent =
  | RefusedEvent
  | AcceptedEvent
  | AbortedEvent
  | EndedEvent
  | RenewedEvent
  | RecheckedEvent
  | ClusterEvent
  | RevokedEvent
  | TicketEvent
  | WarningEvent

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
