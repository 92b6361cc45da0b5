import type { IncomingMessage, ServerResponse } from 'node:http'
import type { WebSocket } from 'ws'
import type { AcceptOptions, Connection, Gate, Identity, Library, WebSocketHandler, WebSocketOptions } from './index.ts'
import {
  accept as fastifyAccept,
  renew as fastifyRenew,
  ticket as fastifyTicket,
  websocket as fastifyWebsocket,
  type FastifyHandler,
  type FastifyReplyLike,
  type FastifyRequestLike,
} from './fastify.ts'
import type { RouteListener } from './index.ts'
import { authenticator } from './gate/authenticate.ts'
import { checkNames } from './gate/check-names.ts'
import { endSoon } from './gate/plain.ts'
import type { TicketPath } from './gate/ticket.ts'
import { askGuards, findGuards, type Guard, type GuardClass, type GuardContainer } from './nest/guards.ts'
import { bindMessages, type MessageHandler, type Transform } from './nest/messages.ts'
import { httpError } from './nest/http-error.ts'
import { placeRoutes, type GatewayRoute, type NestHttpAdapter, type NestRoute } from './nest/routes.ts'
import { gatewayPath } from './nest/path.ts'
import { GatewayServer } from './nest/server.ts'

export type { Guard, GuardClass, HandshakeContext } from './nest/guards.ts'
export type { MessageHandler, Transform } from './nest/messages.ts'
export type { GatewayServer } from './nest/server.ts'

/** A route for a controller's method that has `@Req()` and `@Res()`, on platform-express and platform-fastify. */
export type NestEndpoint = (req: object, res: object, next?: (error?: unknown) => void) => unknown

/**
 * Makes a WebSocket endpoint an ordinary method of a controller: its guards run before the 101. `identify` and the
 * handler get the framework's own request, as `@Req()` does: what a guard put on it is there.
 *
 * @example
 * ```ts
 * @Controller()
 * class Live {
 *   readonly endpoint = websocket(gate, (socket, req, connection) => socket.send(connection.identity.subject))
 *
 *   @Get('live')
 *   @UseGuards(JwtGuard)
 *   live(@Req() req: Request, @Res() res: Response) {
 *     return this.endpoint(req, res)
 *   }
 * }
 * ```
 */
export function websocket<Context, Claims>(
  gate: Gate<Context, Claims>,
  handler: WebSocketHandler<Context, Claims>,
  options?: WebSocketOptions,
): NestEndpoint {
  return onEither(
    gate.websocket(handler, options),
    soon(fastifyWebsocket(gate as FastifyGate, handler as never, options)),
  )
}

/**
 * The same for handshakes that a WebSocket library takes over. A plain request gets 426, or goes on where `@Next()` is
 * given as well.
 */
export function accept<Context, Claims>(
  gate: Gate<Context, Claims>,
  to?: Library,
  options?: AcceptOptions,
): NestEndpoint {
  return onEither(gate.accept(to, options), soon(fastifyAccept(gate as FastifyGate, to, options)))
}

/**
 * A POST route behind your guards that makes single-use tickets for browsers: `{ ticket, expiresIn, url }`.
 *
 * @example
 * ```ts
 * readonly tickets = ticket(gate, '/live')
 *
 * @Post('live/ticket')
 * @UseGuards(SessionGuard)
 * makeTicket(@Req() req: Request, @Res() res: Response) {
 *   return this.tickets(req, res)
 * }
 * ```
 */
export function ticket<Context, Claims>(gate: Gate<Context, Claims>, path: TicketPath<Context>): NestEndpoint {
  return onEither(gate.ticket(path), soon(fastifyTicket(gate as FastifyGate, path as never)))
}

/**
 * A POST route behind your guards that gives open connections the identity and expiry of the request: those of its session,
 * or those that the header `Gate101-Connection` names by their tokens.
 */
export function renew<Context, Claims>(gate: Gate<Context, Claims>): NestEndpoint {
  return onEither(gate.renew(), soon(fastifyRenew(gate as FastifyGate)))
}

/**
 * The gate's schemes as a Nest guard: `@UseGuards(authenticate(gate))`. Sets `identity` on the request; a refusal is
 * answered by Nest's exception filters, with the scheme's `WWW-Authenticate`.
 *
 * @throws Gate101Error `GATE101_CONFIG` when the gate was made without `authenticate`.
 */
export function authenticate<Context, Claims>(
  gate: Gate<Context, Claims>,
): { canActivate(context: { switchToHttp(): { getRequest(): object; getResponse(): object } }): Promise<boolean> } {
  const ask = authenticator(gate)
  return {
    async canActivate(context): Promise<boolean> {
      const http = context.switchToHttp()
      const request = http.getRequest()
      const response = http.getResponse()
      const outcome = await ask(rawOf(request) as IncomingMessage, rawOf(response) as ServerResponse)
      if ('body' in outcome) throw httpError(response, outcome)
      Object.assign(request, { identity: outcome })
      return true
    },
  }
}

type FastifyGate = Gate<FastifyRequestLike>

/** The node object under a Fastify one; Express's own is one. */
function rawOf(given: object): object {
  const { raw } = given as { raw?: unknown }
  return typeof raw === 'object' && raw !== null ? raw : given
}

/** Returns before it answers: Nest would wait for the answer before its interceptors go on, and they may still refuse. */
function soon(endpoint: FastifyHandler<FastifyRequestLike>): FastifyHandler<FastifyRequestLike> {
  return (request, reply) => {
    endSoon(reply.raw, () => endpoint(request, reply))
  }
}

function onEither(onExpress: RouteListener, onFastify: FastifyHandler<FastifyRequestLike>): NestEndpoint {
  return (req, res, next) =>
    rawOf(res) === res
      ? onExpress(req as IncomingMessage, res as ServerResponse, next)
      : onFastify(req as FastifyRequestLike, res as FastifyReplyLike)
}

/** What gate101 uses of a Nest application. */
export interface NestApp extends GuardContainer {
  getHttpAdapter(): { getType(): string }
}

export interface GateWsAdapterOptions extends WebSocketOptions {
  /**
   * HTTP guards that run before the 101, in this order, for every gateway: instances, or classes of the app's container.
   * Global guards of the app are for controllers; name them here as well. @defaultValue none
   */
  readonly guards?: ReadonlyArray<Guard | GuardClass>
}

/** A client of a gateway: who it is stands on it. */
export interface GatewayClient<Claims = unknown> extends WebSocket {
  readonly identity: Identity<Claims>
  readonly connection: Connection<Claims>
}

/**
 * Serves `@WebSocketGateway()` classes behind a gate. The path of a gateway (`/` by default) is an ordinary GET route:
 * middleware and the guards given run before the 101, a gateway sees accepted clients alone. `identify` gets the
 * framework's own request; `handleConnection(client, req)` gets the WebSocket, with `identity` and `connection` on it,
 * and Node's request, as with Nest's own adapter for `ws`.
 *
 * Gateways share the port of the app; another port, and namespaces, are errors at start.
 *
 * @example
 * ```ts
 * const app = await NestFactory.create(AppModule)
 * app.useWebSocketAdapter(new GateWsAdapter(app, gate, { guards: [JwtGuard] }))
 * gate.attach(app.getHttpServer())
 * await app.listen(3000)
 * ```
 */
export class GateWsAdapter<Context, Claims> {
  readonly #app: NestApp
  readonly #gate: Gate<Context, Claims>
  readonly #options: GateWsAdapterOptions
  readonly #routes: GatewayRoute[] = []

  constructor(app: NestApp, gate: Gate<Context, Claims>, options: GateWsAdapterOptions = {}) {
    checkNames('GateWsAdapter', options, ['guards', 'anonymous', 'protocols', 'closeCodes'])
    this.#app = app
    this.#gate = gate
    this.#options = options
  }

  /** Called by Nest for each path on which there are gateways. */
  create(port: number, options: object = {}): GatewayServer {
    const server = new GatewayServer(gatewayPath(port, options))
    if (this.#routes.length === 0) placeRoutes(this.#app.getHttpAdapter() as NestHttpAdapter, this.#routes)
    const isHandshake = (req: object): boolean => this.#gate.phase(rawOf(req) as IncomingMessage) !== undefined
    this.#routes.push({ path: server.path, route: this.#routeTo(server), isHandshake })
    return server
  }

  bindClientConnect(server: GatewayServer, listener: (client: WebSocket, req: IncomingMessage) => void): void {
    server.on('connection', listener)
  }

  bindClientDisconnect(client: WebSocket, listener: (code: number) => void): void {
    client.once('close', listener)
  }

  bindMessageHandlers(client: WebSocket, handlers: readonly MessageHandler[], transform: Transform): void {
    bindMessages(client, handlers, transform)
  }

  /** Called by Nest for a client that came before the app was ready. */
  closeClient(client: WebSocket): void {
    client.terminate()
  }

  async close(server: GatewayServer): Promise<void> {
    await server.end()
  }

  async dispose(): Promise<void> {
    // The HTTP server is the app's.
  }

  #routeTo(server: GatewayServer): NestRoute {
    const { guards = [], ...options } = this.#options
    const found = findGuards(this.#app, guards)
    const handler: WebSocketHandler<Context, Claims> = (socket, context, connection) => {
      const client = Object.assign(socket, { identity: connection.identity, connection })
      server.serve(client, rawOf(context as object) as IncomingMessage)
    }
    const endpoint = onEither(
      this.#gate.websocket(handler, options),
      fastifyWebsocket(this.#gate as FastifyGate, handler as never, options),
    )
    return async (req: object, res: object, next) => {
      try {
        if (server.closed) throw httpError(res, { status: 503, message: 'This server is shutting down.' })
        if (!(await askGuards(found, [req, res, next])))
          throw httpError(res, { status: 403, message: 'Forbidden resource' })
        return endpoint(req, res)
      } catch (error) {
        // Nest's own exception filters answer, as they would for a controller.
        if (next === undefined) throw error
        return next(error)
      }
    }
  }
}
