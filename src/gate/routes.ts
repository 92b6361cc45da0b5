import { AsyncResource } from 'node:async_hooks'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { WebSocket } from 'ws'
import { Gate101Error } from '../core/errors.ts'
import type { Connection, Kin } from '../connections/connection.ts'
import type { RefusalMessage } from '../core/refusal-message.ts'
import { runOf } from '../door/marks.ts'
import { deliverTo, type Deliver, type Library } from '../upgrade/handover.ts'
import { checkNames } from './check-names.ts'
import { explain } from './explain.ts'
import { readCloseCodes, type CloseCodesOption } from './life-options.ts'
import { checkCanRunApp } from './runtime.ts'
import { stateOf } from './state.ts'

/**
 * Serves one open WebSocket.
 *
 * @param socket - a `ws` WebSocket, already open. Messages wait until the first `message` listener is there, or until
 *   what the handler returned has settled.
 * @param context - the request as the framework's middleware left it: Express and `node:http` `req`, Koa `ctx`, Fastify
 *   `request`, Hono `c`.
 */
export type WebSocketHandler<Context = unknown, Claims = unknown> = (
  socket: WebSocket,
  context: Context,
  connection: Connection<Claims>,
) => unknown

export interface AcceptOptions {
  /** Codes of the Close frames of this route. @defaultValue those of the gate */
  readonly closeCodes?: CloseCodesOption
  /** Lets handshakes without any credential in; `identify` must name a subject all the same. @defaultValue false */
  readonly anonymous?: boolean
}

export interface WebSocketOptions extends AcceptOptions {
  /** Subprotocols that the handler speaks. One that the client offers is selected; none is by default. */
  readonly protocols?: readonly string[]
}

/** What takes an accepted handshake over. */
export type Taker = (
  | { readonly type: 'handler'; readonly handler: WebSocketHandler; readonly protocols: readonly string[] }
  | { readonly type: 'library'; readonly deliver: Deliver }
) & { readonly kin: Kin }

/** A WebSocket endpoint, as the adapters of all frameworks share it. */
export interface Route {
  /**
   * Marks the handshake that this request is.
   *
   * @param status - with which the adapter will end the response.
   * @returns false for a plain request, which the adapter answers itself.
   */
  mark(req: IncomingMessage, context: unknown, status?: number, proof?: { name: string; value: string }): boolean
  /** The answer to a plain request. Never rejects. */
  explain(req: IncomingMessage, res: ServerResponse, context: unknown): Promise<RefusalMessage>
}

function anonymousOf(options: AcceptOptions): boolean {
  if (options.anonymous !== undefined && typeof options.anonymous !== 'boolean') {
    throw new Gate101Error('GATE101_CONFIG', 'anonymous must be true or false.')
  }
  return options.anonymous ?? false
}

function protocolsOf(options: WebSocketOptions): readonly string[] {
  const protocols = options.protocols ?? []
  if (!Array.isArray(protocols) || protocols.some((protocol) => typeof protocol !== 'string' || protocol === '')) {
    throw new Gate101Error('GATE101_CONFIG', 'protocols must be a list of subprotocol names.')
  }
  return protocols
}

export function handlerRoute(gate: object, handler: WebSocketHandler, options: WebSocketOptions = {}): Route {
  if (typeof handler !== 'function')
    throw new Gate101Error(
      'GATE101_CONFIG',
      'websocket(handler): the handler must be a function (socket, req, connection).',
    )
  checkNames('websocket()', options, ['anonymous', 'protocols', 'closeCodes'])
  const protocols = protocolsOf(options)
  const { protocols: spoken } = stateOf(gate)
  for (const protocol of protocols) spoken.add(protocol)
  const kin = kinOf(gate, 'websocket()', options)
  return makeRoute(gate, anonymousOf(options), { type: 'handler', handler, protocols, kin })
}

export function libraryRoute(gate: object, to: Library | undefined, options: AcceptOptions = {}): Route {
  checkNames('accept()', options, ['anonymous', 'closeCodes'])
  stateOf(gate).libraries += 1
  const kin = kinOf(gate, 'accept()', options)
  return makeRoute(gate, anonymousOf(options), { type: 'library', deliver: deliverTo(to), kin })
}

function kinOf(gate: object, where: string, { closeCodes }: AcceptOptions): Kin {
  const { kin } = stateOf(gate)
  return closeCodes === undefined ? kin : { ...kin, profile: readCloseCodes(where, closeCodes) }
}

function makeRoute(gate: object, anonymous: boolean, taker: Taker): Route {
  checkCanRunApp()
  const state = stateOf(gate)
  state.routes += 1
  return {
    explain: (req, res, context) => explain(state, { req, res, context, anonymous }),
    mark(req, context, status = 101, proof): boolean {
      const run = runOf(req, gate)
      if (run === undefined) return false
      run.mark ??= { status, proof, context, anonymous, taker, scope: new AsyncResource('gate101') }
      return true
    },
  }
}
