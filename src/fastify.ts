import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Gate, Library } from './index.ts'
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

/** What gate101 uses of a Fastify request. */
export interface FastifyRequestLike {
  readonly raw: IncomingMessage
}

/** What gate101 uses of a Fastify reply. */
export interface FastifyReplyLike {
  readonly raw: ServerResponse
  code(status: number): unknown
  header(name: string, value: string): unknown
  send(body?: unknown): unknown
  /** From here on Fastify leaves the response alone. */
  hijack(): unknown
}

/** A Fastify route handler. */
export type FastifyHandler<Request extends FastifyRequestLike> = (request: Request, reply: FastifyReplyLike) => unknown

/**
 * Makes a WebSocket endpoint an ordinary Fastify route: all hooks run before the 101, headers of `onSend` are on it.
 * `identify` and the handler get `request`.
 *
 * @example
 * ```ts
 * fastify.get('/live', { preHandler: requireLogin }, websocket(gate, (socket) => socket.send('hello')))
 * ```
 */
export function websocket<Request extends FastifyRequestLike, Claims>(
  gate: Gate<Request, Claims>,
  handler: WebSocketHandler<Request, Claims>,
  options?: WebSocketOptions,
): FastifyHandler<Request> {
  return endpoint(gate, handlerRoute(gate, handler as WebSocketHandler, options))
}

/**
 * A route whose handshakes a WebSocket library takes over. A plain request gets 426.
 *
 * @example
 * ```ts
 * fastify.get('/graphql', { preHandler: requireLogin }, accept(gate, wss))
 * ```
 */
export function accept<Request extends FastifyRequestLike, Claims>(
  gate: Gate<Request, Claims>,
  to?: Library,
  options?: AcceptOptions,
): FastifyHandler<Request> {
  return endpoint(gate, libraryRoute(gate, to, options))
}

/**
 * A POST route behind your login that makes single-use tickets for browsers: `{ ticket, expiresIn, url }`.
 *
 * @example
 * ```ts
 * fastify.post('/live/ticket', { preHandler: requireLogin }, ticket(gate, '/live'))
 * ```
 */
export function ticket<Request extends FastifyRequestLike, Claims>(
  gate: Gate<Request, Claims>,
  path: TicketPath<Request>,
): FastifyHandler<Request> {
  const mint = ticketRoute(gate, path)
  return async (request, reply) => answer(reply, await mint(request.raw, request))
}

/**
 * A POST route behind your login that gives open connections the identity and expiry of the request: those of its session,
 * or those that the header `Gate101-Connection` names by their tokens.
 *
 * @example
 * ```ts
 * fastify.post('/live/renew', { preHandler: requireLogin }, renew(gate))
 * ```
 */
export function renew<Request extends FastifyRequestLike, Claims>(
  gate: Gate<Request, Claims>,
): FastifyHandler<Request> {
  const give = renewRoute(gate)
  return async (request, reply) => answer(reply, await give(request.raw, request))
}

/**
 * The gate's schemes as a Fastify hook (`onRequest` or `preHandler`); sets `request.identity`.
 *
 * @throws Gate101Error `GATE101_CONFIG` when the gate was made without `authenticate`.
 */
export function authenticate<Request extends FastifyRequestLike, Claims>(
  gate: Gate<Request, Claims>,
): (request: Request, reply: FastifyReplyLike) => Promise<unknown> {
  const ask = authenticator(gate)
  return async (request, reply) => {
    const outcome = await ask(request.raw, reply.raw)
    if ('body' in outcome) return answer(reply, outcome)
    Object.assign(request, { identity: outcome })
    return undefined
  }
}

function endRaw(reply: FastifyReplyLike): void {
  reply.hijack()
  reply.raw.statusCode = 101
  reply.raw.end()
}

function endpoint<Request extends FastifyRequestLike>(
  gate: Pick<Gate, 'phase'>,
  route: Route,
): FastifyHandler<Request> {
  return (request, reply) => {
    if (!route.mark(request.raw, request)) return explained(route, request, reply)
    reply.code(101)
    // Its onSend hooks save sessions; a re-check saves nothing. onResponse, which lets go of things, runs all the same.
    if (gate.phase(request.raw) === 'recheck') endRaw(reply)
    else reply.send()
    return reply
  }
}

async function explained(route: Route, request: FastifyRequestLike, reply: FastifyReplyLike): Promise<unknown> {
  return answer(reply, await route.explain(request.raw, reply.raw, request))
}

function answer(reply: FastifyReplyLike, message: RefusalMessage): FastifyReplyLike {
  reply.code(message.status)
  for (const [name, value] of message.headers) {
    if (name !== 'Content-Length') reply.header(name, value)
  }
  reply.send(message.body)
  return reply
}
