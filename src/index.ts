import { EventEmitter } from 'node:events'
import type { IncomingMessage, Server } from 'node:http'
import type { WebSocket } from 'ws'
import type { GateEvent, Injected } from './core/events.ts'
import type { Duration } from './core/duration.ts'
import type { Phase } from './core/phase.ts'
import type { Connection } from './connections/connection.ts'
import type { Listener } from './door/run.ts'
import { runOf } from './door/marks.ts'
import { attach, type AttachOptions } from './gate/attach.ts'
import { closeState } from './gate/close.ts'
import { createState } from './gate/create.ts'
import { engineMiddleware, type EngineMiddleware } from './gate/engine.ts'
import { authenticateMiddleware } from './gate/authenticate.ts'
import type { Authenticate } from './schemes/middleware.ts'
import { inject, type InjectRequest } from './gate/inject.ts'
import type { GateOptions } from './gate/options.ts'
import { endpoint, passage, posting, type RouteListener } from './gate/listeners.ts'
import {
  handlerRoute,
  libraryRoute,
  type AcceptOptions,
  type WebSocketHandler,
  type WebSocketOptions,
} from './gate/routes.ts'
import { connectionsOf, type Connections } from './gate/connections.ts'
import { renewRoute } from './gate/renew.ts'
import { refuseStale } from './gate/revoked.ts'
import { revoke, type Revoked, type RevokeOptions, type SelectorInput } from './gate/revoke.ts'
import { ticketRoute, type TicketPath } from './gate/ticket.ts'
import type { Library } from './upgrade/handover.ts'

export {
  loginLimiter,
  type Admitted,
  type LoginLimiter,
  type LoginLimiterOptions,
} from './credentials/login-limiter.ts'
export type { SubprotocolForm } from './credentials/subprotocol.ts'
export type { TicketRecord, TicketStore } from './core/ticket-store.ts'
export { memoryCluster } from './gate/memory-cluster.ts'
export { memoryTicketStore } from './credentials/ticket-store.ts'
export type { Clock } from './core/clock.ts'
export type { Duration } from './core/duration.ts'
export type { EndKind } from './core/end.ts'
export { Gate101Error, type Gate101ErrorCode } from './core/errors.ts'
export type {
  AbortedEvent,
  AcceptedEvent,
  ClusterEvent,
  EndedEvent,
  GateEvent,
  Injected,
  RecheckedEvent,
  RefusedEvent,
  RenewedEvent,
  RevokedEvent,
  TicketEvent,
  TraceStep,
  WarningEvent,
} from './core/events.ts'
export type { Identity, IdentityInput } from './core/identity.ts'
export type { Phase } from './core/phase.ts'
export type { RefusalCode } from './core/refusals.ts'
export type { Scheme, SchemeRequest, SchemeResult } from './core/scheme.ts'
export type { Connection, ConnectionEvents } from './connections/connection.ts'
export type { ConnectionFilter, ConnectionInfo, ConnectionPage, Connections } from './gate/connections.ts'
export type { ClusterLossOption } from './gate/cluster-options.ts'
export type { ClusterEngine } from './cluster/engine.ts'
export type { RouteListener } from './gate/listeners.ts'
export type { AttachOptions } from './gate/attach.ts'
export type { InjectRequest } from './gate/inject.ts'
export type { GateOptions, LimitsOption, OriginsOption } from './gate/options.ts'
export type { FirstMessageOption, TicketsOption } from './gate/road-options.ts'
export type { AcceptOptions, WebSocketHandler, WebSocketOptions } from './gate/routes.ts'
export type { CloseCodesOption, RecheckCheck, RecheckOption, SessionStoreLike } from './gate/life-options.ts'
export type { Revoked, RevokeOptions, SelectorInput } from './gate/revoke.ts'
export type { TicketPath } from './gate/ticket.ts'
export type { Authenticate } from './schemes/middleware.ts'
export type { Library } from './upgrade/handover.ts'

type EventOf<Type extends GateEvent['type'] | '*'> = Type extends '*' ? GateEvent : Extract<GateEvent, { type: Type }>

/**
 * The object an app makes with {@link createGate}: it holds the policy and all connections.
 *
 * @typeParam Context - the framework's own request context, as `identify` gets it.
 * @typeParam Claims - type of `identity.claims`.
 */
export interface Gate<Context = IncomingMessage, Claims = unknown> {
  /**
   * From now on the server's handshakes pass through the app.
   *
   * @returns a function that detaches the gate again.
   * @throws Gate101Error `GATE101_CONFIG` when `server` is no server or an option is wrong.
   * @example
   * ```ts
   * const detach = gate.attach(createServer(app), { paths: ['/live'] })
   * ```
   */
  attach(server: Server, options?: AttachOptions): () => void
  /**
   * Makes a WebSocket endpoint an ordinary route. A plain request gets 426 with advice.
   *
   * @example
   * ```ts
   * app.get('/live', requireLogin, gate.websocket((socket) => socket.on('message', (data) => socket.send(data))))
   * ```
   */
  websocket(handler: WebSocketHandler<Context, Claims>, options?: WebSocketOptions): RouteListener
  /**
   * A route whose handshakes a WebSocket library takes over, used as it is. A plain request goes on to the next route.
   *
   * @param to - the library's server; may be left out where the server has exactly one other `upgrade` listener.
   * @example
   * ```ts
   * const wss = new WebSocketServer({ noServer: true })
   * app.get('/graphql', requireLogin, gate.accept(wss))
   * ```
   */
  accept(to?: Library, options?: AcceptOptions): RouteListener
  /**
   * Guards the plain requests of Socket.IO (engine.io): `io.engine.use(gate.engine(app))`.
   */
  engine(app: Listener): EngineMiddleware
  /**
   * The schemes as HTTP middleware for Express, Connect and `node:http`; sets `req.identity`.
   *
   * @throws Gate101Error `GATE101_CONFIG` when the gate was made without `authenticate`.
   */
  authenticate(): Authenticate
  /**
   * A POST route behind your login that makes single-use tickets for browsers. Answers
   * `{ ticket, expiresIn, url }`: seconds, and the path to connect to. Ask with `Content-Type: application/json`.
   *
   * @param path - of the WebSocket endpoint, or a function of the request where the path has parameters.
   * @throws Gate101Error `GATE101_CONFIG` where the path is none.
   * @example
   * ```ts
   * app.post('/live/ticket', requireLogin, gate.ticket('/live'))
   * ```
   */
  ticket(path: TicketPath<Context>): RouteListener
  /**
   * A POST route behind your login that gives open connections the identity and expiry of the request: those of its
   * session, or those that the header `Gate101-Connection` names by their tokens. Answers `{ renewed, expiresAt,
   * expiresIn }`: how many, ISO 8601, seconds. Ask with `Content-Type: application/json`.
   *
   * @example
   * ```ts
   * app.post('/live/renew', requireLogin, gate.renew())
   * ```
   */
  renew(): RouteListener
  /**
   * Ends whatever the selector means, and refuses it from now on: sessions, credentials and connections for good, subjects
   * and tags where `issuedAt` is not later than this second.
   *
   * @throws Gate101Error `GATE101_CONFIG` for what is no selector.
   * @example
   * ```ts
   * await gate.revoke({ session: req.sessionID })                                     // logged out
   * await gate.revoke({ subject: user.id }, { except: { session: req.sessionID } })   // password changed
   * ```
   */
  revoke(selector: SelectorInput, options?: RevokeOptions): Promise<Revoked>
  /**
   * The connection that was opened for a request; undefined where none was.
   *
   * @param ws - the library's own WebSocket, so that ending the connection can send a Close frame.
   */
  connection(req: IncomingMessage, ws?: WebSocket): Connection<Claims> | undefined
  /** All open connections. */
  readonly connections: Connections<Claims>
  /**
   * Whether handshakes can be let in: false while it closes, and while it does not know what the cluster knows, unless it lets people
   * in all the same (`dangerouslyAcceptWhenStale`). For readiness probes.
   */
  readonly ready: boolean
  /**
   * Asks the door with no network and returns the decision as data, with its trace. Counts nowhere, opens nothing.
   *
   * @throws Gate101Error `GATE101_NOT_ATTACHED` before `attach`.
   */
  inject(request: InjectRequest): Promise<Injected<Claims>>
  /** Why the app is being run with this request; undefined for a plain request. */
  phase(req: IncomingMessage): Phase | undefined
  /**
   * Hears events of one type, or (`'*'`) of all.
   *
   * @returns a function that takes the listener off.
   */
  on<Type extends GateEvent['type'] | '*'>(event: Type, listener: (event: EventOf<Type>) => void): () => void
  /**
   * Refuses new handshakes with 503 and ends all connections with 1012. Resolves when the last socket is gone.
   *
   * @param options - `drain`: over which time the ends are spread. @defaultValue 0
   */
  close(options?: { readonly drain?: Duration }): Promise<void>
}

/**
 * Makes a gate. With `identify` the app's own HTTP middleware decides about handshakes; with `authenticate` the built-in
 * schemes do.
 *
 * @throws Gate101Error `GATE101_CONFIG` for unknown names and wrong types.
 * @example
 * ```ts
 * const gate = createGate({ identify: (req) => ({ subject: req.user.id }) })
 * app.get('/live', gate.websocket((socket, req, connection) => socket.send(`hello ${connection.identity.subject}`)))
 * gate.attach(server)
 * ```
 */
export function createGate<Context = IncomingMessage, Claims = unknown>(
  options: GateOptions<Context, Claims>,
): Gate<Context, Claims> {
  const events = new EventEmitter()
  const gate: Gate<Context, Claims> = {
    attach: (server, attachOptions = {}) => attach(state, server, attachOptions),
    websocket: (handler, routeOptions) => endpoint(handlerRoute(gate, handler as WebSocketHandler, routeOptions)),
    accept: (to, routeOptions) => passage(libraryRoute(gate, to, routeOptions)),
    engine: (app) => engineMiddleware(state, app),
    authenticate: () => authenticateMiddleware(state),
    ticket: (path) => posting(ticketRoute(gate, path)),
    renew: () => posting(renewRoute(gate)),
    revoke: (selector, revokeOptions) => revoke(state, selector, revokeOptions),
    connection(req, ws) {
      const connection = state.byRequest.get(req)
      if (connection !== undefined && ws !== undefined) connection.endBy(ws, state.webSocketEnder)
      return connection as Connection<Claims> | undefined
    },
    connections: connectionsOf(() => state),
    get ready() {
      return !state.closing && refuseStale(state) === undefined
    },
    inject: (request) => inject(state, request) as Promise<Injected<Claims>>,
    phase: (req) => runOf(req, gate)?.phase,
    on(event, listener) {
      events.on(event, listener)
      return () => events.off(event, listener)
    },
    close: ({ drain = 0 } = {}) => closeState(state, drain),
  }
  const state = createState(gate, options, events)
  return Object.freeze(gate)
}
