import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Gate, Library } from './index.ts'
import { Gate101Error } from './core/errors.ts'
import { authenticator } from './gate/authenticate.ts'
import type { RefusalMessage } from './core/refusal-message.ts'
import { renewRoute } from './gate/renew.ts'
import { ticketRoute, type TicketPath } from './gate/ticket.ts'
import {
  handlerRoute,
  libraryRoute,
  type AcceptOptions,
  type Route,
  type WebSocketHandler,
  type WebSocketOptions,
} from './gate/routes.ts'
import { PROOF_FIELD } from './upgrade/headers.ts'

/** What gate101 uses of a Hono context on `@hono/node-server`. */
export interface HonoContext {
  readonly env: unknown
  set(key: string, value: unknown): void
  /** Unlike a bare `Response`, it carries what middleware has set with `c.header()` before. */
  newResponse(body: string | null, status?: number, headers?: Record<string, string | string[]>): Response
}

/** A Hono handler or middleware. */
export type HonoMiddleware<Context extends HonoContext> = (
  c: Context,
  next: () => Promise<void>,
) => Promise<Response | undefined>

/**
 * Makes a WebSocket endpoint an ordinary Hono route on `@hono/node-server`. `identify` and the handler get `c`. A fetch
 * `Response` cannot be a 101: the route answers 204 with a private proof, which outer middleware must leave as it is.
 *
 * @example
 * ```ts
 * app.get('/live', websocket(gate, (socket, c, connection) => socket.send(connection.identity.subject)))
 * gate.attach(serve({ fetch: app.fetch }))
 * ```
 */
export function websocket<Context extends HonoContext, Claims>(
  gate: Gate<Context, Claims>,
  handler: WebSocketHandler<Context, Claims>,
  options?: WebSocketOptions,
): HonoMiddleware<Context> {
  const route = handlerRoute(gate, handler as WebSocketHandler, options)
  return async (c) => {
    const { incoming, outgoing } = bindings(c)
    return mark(route, c) ?? answer(c, await route.explain(incoming, outgoing, c))
  }
}

/**
 * A route whose handshakes a WebSocket library takes over. A plain request goes on to the next handler.
 *
 * @example
 * ```ts
 * app.get('/graphql', accept(gate, wss))
 * ```
 */
export function accept<Context extends HonoContext, Claims>(
  gate: Gate<Context, Claims>,
  to?: Library,
  options?: AcceptOptions,
): HonoMiddleware<Context> {
  const route = libraryRoute(gate, to, options)
  return async (c, next) => {
    const marked = mark(route, c)
    if (marked === undefined) await next()
    return marked
  }
}

/**
 * A POST route behind your login that makes single-use tickets for browsers: `{ ticket, expiresIn, url }`.
 *
 * @example
 * ```ts
 * app.post('/live/ticket', ticket(gate, '/live'))
 * ```
 */
export function ticket<Context extends HonoContext, Claims>(
  gate: Gate<Context, Claims>,
  path: TicketPath<Context>,
): HonoMiddleware<Context> {
  const mint = ticketRoute(gate, path)
  return async (c) => answer(c, await mint(bindings(c).incoming, c))
}

/**
 * A POST route behind your login that gives open connections the identity and expiry of the request: those of its session,
 * or those that the header `Gate101-Connection` names by their tokens.
 *
 * @example
 * ```ts
 * app.post('/live/renew', renew(gate))
 * ```
 */
export function renew<Context extends HonoContext, Claims>(gate: Gate<Context, Claims>): HonoMiddleware<Context> {
  const give = renewRoute(gate)
  return async (c) => answer(c, await give(bindings(c).incoming, c))
}

/**
 * The gate's schemes as Hono middleware; sets the variable `identity`.
 *
 * @throws Gate101Error `GATE101_CONFIG` when the gate was made without `authenticate`.
 */
export function authenticate<Context extends HonoContext, Claims>(
  gate: Gate<Context, Claims>,
): HonoMiddleware<Context> {
  const ask = authenticator(gate)
  return async (c, next) => {
    const { incoming, outgoing } = bindings(c)
    const outcome = await ask(incoming, outgoing)
    if ('body' in outcome) return answer(c, outcome)
    c.set('identity', outcome)
    await next()
    return undefined
  }
}

function mark(route: Route, c: HonoContext): Response | undefined {
  const proof = randomBytes(16).toString('base64url')
  // 204, because Hono copies the headers of a replaced response to the new one: a page put in its place has the proof.
  if (!route.mark(bindings(c).incoming, c, 204, { name: PROOF_FIELD, value: proof })) return undefined
  return c.newResponse(null, 204, { [PROOF_FIELD]: proof })
}

function bindings(c: HonoContext): { incoming: IncomingMessage; outgoing: ServerResponse } {
  const env = c.env as Partial<{ incoming: IncomingMessage; outgoing: ServerResponse }> | undefined
  if (env?.incoming === undefined || env.outgoing === undefined) {
    throw new Gate101Error(
      'GATE101_CONFIG',
      'gate101/hono runs on @hono/node-server: c.env.incoming and c.env.outgoing are missing.',
    )
  }
  return { incoming: env.incoming, outgoing: env.outgoing }
}

function answer(c: HonoContext, message: RefusalMessage): Response {
  const headers: Record<string, string[]> = {}
  for (const [name, value] of message.headers) (headers[name] ??= []).push(value)
  return c.newResponse(message.body, message.status, headers)
}
