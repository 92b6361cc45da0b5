import type { IncomingMessage, Server } from 'node:http'
import type { Clock } from '../core/clock.ts'
import type { CloseProfile } from '../core/end.ts'
import type { Refuse } from '../core/decision.ts'
import { Gate101Error } from '../core/errors.ts'
import type { GateEvent } from '../core/events.ts'
import type { Handshake } from '../core/handshake.ts'
import type { IdentityInput } from '../core/identity.ts'
import type { Scheme } from '../core/scheme.ts'
import type { WebSocket } from 'ws'
import type { Kin, LiveConnection } from '../connections/connection.ts'
import type { Deadlines } from '../connections/deadlines.ts'
import type { LifePolicy } from '../connections/life.ts'
import type { Rechecks } from '../connections/rechecks.ts'
import type { Renewals } from '../connections/renewals.ts'
import type { Hash, Revocations } from '../connections/revocations.ts'
import type { Ender } from '../connections/enders.ts'
import type { Registry } from '../connections/registry.ts'
import type { Listener } from '../door/run.ts'
import type { Caps } from '../handshake/caps.ts'
import type { ProxyTrust } from '../handshake/trust.ts'
import type { SubprotocolForm } from '../credentials/subprotocol.ts'
import type { Tickets } from '../credentials/ticket.ts'
import type { Accepter } from '../upgrade/accept.ts'
import type { Waiter } from '../upgrade/waiting.ts'
import type { Cluster } from './cluster.ts'
import type { Recheck } from './life-options.ts'
import type { LoggedOut } from './logged-out.ts'
import type { WatchedStore } from './session-store.ts'
import type { Limits } from './options.ts'
import type { FirstMessagePolicy } from './road-options.ts'

/** One server that a gate is attached to. */
export interface Attachment {
  readonly server: Server
  /** The app as `attach` was given it, or all the server's `request` listeners. */
  readonly app: Listener
  readonly matches: (target: string) => boolean
  /** Only some paths are held: the others reach the server's other listeners unguarded. */
  readonly partial: boolean
}

/** What a gate owns. Only the rooms of the assembly see it; the `Gate` object has no fields. */
export interface GateState {
  readonly gate: object
  readonly clock: Clock
  readonly limits: Limits
  readonly identify:
    | ((context: unknown) => IdentityInput | null | undefined | Promise<IdentityInput | null | undefined>)
    | undefined
  readonly schemes: readonly Scheme[]
  readonly credentialHeaders: readonly string[]
  readonly trust: ProxyTrust
  readonly caps: Caps
  /** The handshake's own rules, in order; the first refusal ends it. First those about its form, Host included. */
  readonly checkForm: (handshake: Handshake) => Refuse | undefined
  readonly checkHost: (handshake: Handshake) => Refuse | undefined
  /**
   * Those about Origin and cookies.
   *
   * @param carried - whether a credential came by a ticket or token, which no browser adds by itself.
   */
  readonly checkOrigin: (handshake: Handshake, carried: boolean) => Refuse | undefined
  /** The part of them that holds for a plain request of an endpoint, whose path the app has routed. */
  readonly checkEndpoint: (handshake: Handshake) => Refuse | undefined
  /** The part of them that holds for the plain requests of an engine, too. */
  readonly checkPlain: (handshake: Handshake) => Refuse | undefined
  readonly firstMessage: FirstMessagePolicy | undefined
  readonly subprotocolForms: readonly SubprotocolForm[]
  /** The parameter of the URL that may carry a token. */
  readonly queryToken: string | undefined
  readonly tickets: Tickets
  /** Refusals may be told by a Close frame, where the client asks for it. */
  readonly readable: boolean
  /** Sockets that are open for their client alone. */
  readonly waitingCaps: Caps
  /** Ends those that wait for their message; called when the gate closes. */
  readonly waiting: Set<() => void>
  readonly waiter: Waiter
  readonly accepter: Accepter
  readonly registry: Registry
  readonly webSocketEnder: Ender<WebSocket>
  /** What the connections of routes without close codes of their own have in common. */
  readonly kin: Kin
  readonly closeCodes: CloseProfile
  readonly life: LifePolicy
  readonly deadlines: Deadlines<LiveConnection>
  readonly recheck: Recheck | undefined
  readonly rechecks: Rechecks
  readonly revocations: Revocations
  readonly maxCredentialAge: number
  readonly renewals: Renewals
  readonly loggedOut: LoggedOut
  /** 16 bytes that stand for a session, key or person, and that nobody can turn back: one for each of the gate's secrets. */
  readonly hashes: readonly Hash[]
  /** The same, as events show it. */
  readonly sessionTag: (session: string) => string
  /** Names this process in the answers of `revoke()`. */
  readonly node: string
  /** The next number in the order of all that happens at this gate: what has a smaller one was asked before. */
  readonly nextOrder: () => number
  /** The app's session store, where it was given. */
  store: WatchedStore | undefined
  stopHeartbeat: () => void
  /** Where there are other nodes. */
  cluster: Cluster | undefined
  readonly attachments: Set<Attachment>
  readonly byRequest: WeakMap<IncomingMessage, LiveConnection>
  /** Makes the event only where somebody listens. */
  readonly emit: (type: GateEvent['type'], make: () => GateEvent) => void
  readonly hears: (type: GateEvent['type']) => boolean
  readonly warn: (code: string, message: string) => void
  /** How many routes were made: with none, an accepted handshake goes to the only other listener. */
  routes: number
  /** Whether handshakes may carry a ticket: once something makes them. */
  ticketsOn: boolean
  /** Whether something takes the tokens of connections. */
  renewOn: boolean
  /** Subprotocols that the handlers of routes speak. */
  readonly protocols: Set<string>
  /** How many routes hand over to a library, which selects by itself. */
  libraries: number
  /** How many engine.io servers were given `gate.engine()`. */
  engines: number
  closing: boolean
}

const states = new WeakMap<object, GateState>()

export function keepState(state: GateState): void {
  states.set(state.gate, state)
}

/** @throws Gate101Error `GATE101_CONFIG` for anything that `createGate` did not make. */
export function stateOf(gate: object): GateState {
  const state = states.get(gate)
  if (state === undefined)
    throw new Gate101Error('GATE101_CONFIG', 'The first argument must be a gate made by createGate().')
  return state
}
