import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Gate, Library } from './index.ts'
import { authenticator } from './gate/authenticate.ts'
import { renewRoute } from './gate/renew.ts'
import { ticketRoute, type TicketPath } from './gate/ticket.ts'
import type { RefusalMessage } from './core/refusal-message.ts'
import {
  handlerRoute,
  libraryRoute,
  type AcceptOptions,
  type WebSocketHandler,
  type WebSocketOptions,
} from './gate/routes.ts'

/** What gate101 uses of a Koa context. */
export interface KoaContext {
  readonly req: IncomingMessage
  readonly res: ServerResponse
  status: number
  body: unknown
  state: object
  /** Of koa-session: its options for this request. */
  readonly sessionOptions?: unknown
  set(field: string, value: string | string[]): void
}

/** A Koa middleware. */
export type KoaMiddleware<Context extends KoaContext> = (ctx: Context, next: () => Promise<unknown>) => Promise<unknown>

/**
 * Makes a WebSocket endpoint an ordinary Koa route. `identify` and the handler get `ctx`. Headers set after
 * `await next()` are on the 101; outer middleware that throws or sets another status refuses.
 *
 * @example
 * ```ts
 * router.get('/live', websocket(gate, (socket, ctx, connection) => socket.send(connection.identity.subject)))
 * ```
 */
export function websocket<Context extends KoaContext, Claims>(
  gate: Gate<Context, Claims>,
  handler: WebSocketHandler<Context, Claims>,
  options?: WebSocketOptions,
): KoaMiddleware<Context> {
  const route = handlerRoute(gate, handler as WebSocketHandler, options)
  return async (ctx) => {
    if (route.mark(ctx.req, ctx)) switchProtocols(gate, ctx)
    else answer(ctx, await route.explain(ctx.req, ctx.res, ctx))
  }
}

/**
 * A route whose handshakes a WebSocket library takes over. A plain request goes on to the next middleware.
 *
 * @example
 * ```ts
 * router.get('/graphql', accept(gate, wss))
 * ```
 */
export function accept<Context extends KoaContext, Claims>(
  gate: Gate<Context, Claims>,
  to?: Library,
  options?: AcceptOptions,
): KoaMiddleware<Context> {
  const route = libraryRoute(gate, to, options)
  return async (ctx, next) => {
    if (!route.mark(ctx.req, ctx)) return next()
    switchProtocols(gate, ctx)
    return undefined
  }
}

/**
 * A POST route behind your login that makes single-use tickets for browsers: `{ ticket, expiresIn, url }`.
 *
 * @example
 * ```ts
 * router.post('/live/ticket', ticket(gate, '/live'))
 * ```
 */
export function ticket<Context extends KoaContext, Claims>(
  gate: Gate<Context, Claims>,
  path: TicketPath<Context>,
): KoaMiddleware<Context> {
  const mint = ticketRoute(gate, path)
  return async (ctx) => {
    answer(ctx, await mint(ctx.req, ctx))
  }
}

/**
 * A POST route behind your login that gives open connections the identity and expiry of the request: those of its session,
 * or those that the header `Gate101-Connection` names by their tokens.
 *
 * @example
 * ```ts
 * router.post('/live/renew', renew(gate))
 * ```
 */
export function renew<Context extends KoaContext, Claims>(gate: Gate<Context, Claims>): KoaMiddleware<Context> {
  const give = renewRoute(gate)
  return async (ctx) => {
    answer(ctx, await give(ctx.req, ctx))
  }
}

/**
 * The gate's schemes as Koa middleware; sets `ctx.state.identity`.
 *
 * @throws Gate101Error `GATE101_CONFIG` when the gate was made without `authenticate`.
 */
export function authenticate<Context extends KoaContext, Claims>(gate: Gate<Context, Claims>): KoaMiddleware<Context> {
  const ask = authenticator(gate)
  return async (ctx, next) => {
    const outcome = await ask(ctx.req, ctx.res)
    if ('body' in outcome) {
      answer(ctx, outcome)
      return undefined
    }
    Object.assign(ctx.state, { identity: outcome })
    return next()
  }
}

function switchProtocols(gate: Pick<Gate, 'phase'>, ctx: KoaContext): void {
  if (gate.phase(ctx.req) === 'recheck') leaveSession(ctx)
  // The body first: setting it to null resets the status.
  ctx.body = null
  ctx.status = 101
}

/**
 * koa-session would save a rolling session after this, and one into which the app has written: an idle one would live for as
 * long as it is asked about. What it saves with stands on the context of this one request.
 */
function leaveSession(ctx: KoaContext): void {
  const { sessionOptions } = ctx
  if (typeof sessionOptions !== 'object' || sessionOptions === null) return
  for (const key of Object.getOwnPropertySymbols(ctx)) {
    const value = Reflect.get(ctx, key) as { opts?: unknown; commit?: unknown } | null | undefined
    if (value?.opts === sessionOptions) value.commit = () => Promise.resolve()
  }
}

function answer(ctx: KoaContext, message: RefusalMessage): void {
  ctx.status = message.status
  ctx.body = message.body
  for (const [name, value] of message.headers) {
    if (name === 'WWW-Authenticate') ctx.res.appendHeader(name, value)
    else ctx.set(name, value)
  }
}
