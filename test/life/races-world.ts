import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocketServer, type WebSocket } from 'ws'
import {
  createGate,
  memoryTicketStore,
  type Connection,
  type Gate,
  type GateOptions,
  type IdentityInput,
} from '../../src/index.ts'
import { stateOf, type GateState } from '../../src/gate/state.ts'
import { HeldClock } from '../unit/credentials/helpers.ts'
import type { Points } from './races-explorer.ts'
import { dialWire, postWire, quiet, type Client } from './races-wire.ts'

/** A login of the app, by its name: its cookie, token and session id in one. */
export type Logins = Map<string, IdentityInput>

export interface World {
  readonly clock: HeldClock
  readonly server: Server
  readonly gate: Gate
  readonly state: GateState
  readonly logins: Logins
  /** Whom the app answers with this status, whatever their login. */
  readonly statuses: Map<string, number>
  readonly store: { destroy(id: string, done?: (error?: unknown) => void): void }
  /** Connections that were handed to the app, whatever became of them. */
  readonly served: Served[]
  /** What a library has been given, and has not opened yet. */
  opening: Connection | undefined
  /** Called where a question takes its place in the order of things: before the app for a message, behind it for a request. */
  onBegin: (name: string) => void
  /** Called when the app has said who a request is from, before the gate has heard it. */
  onIdentified: (phase: string) => void
  dial(path: string, name?: string): Client
  /** By bearer token, or by these headers. */
  renew(name: string, token?: string, headers?: Readonly<Record<string, string>>): Promise<Answer>
  dispose(): Promise<void>
}

export interface Served {
  readonly connection: Connection
  readonly socket: WebSocket
  readonly messages: string[]
  /** It had ended before the app got it: a library may do with its socket what it likes. */
  readonly wasOver: boolean
}

export interface Answer {
  readonly status: number
  readonly body: Record<string, unknown>
}

const SECRET = 'a-secret-for-tests-that-is-long-enough-0123456789'

type Asked = IncomingMessage & { login?: IdentityInput }

/** Who a request says it is from: the middleware of an app with sessions and tokens. */
function nameOf({ headers }: IncomingMessage): string {
  return (
    /sid=([^;]+)/.exec(headers.cookie ?? '')?.[1] ??
    /^Bearer (.+)$/.exec(headers.authorization ?? '')?.[1] ??
    String(headers['x-login'] ?? '')
  )
}

/** An app, a gate and a store of which every wait is a point of the schedule. */
export function makeWorld(points: Points, logins: Logins, options: Partial<GateOptions<IncomingMessage>> = {}): World {
  const clock = new HeldClock()
  const statuses = new Map<string, number>()
  const store: World['store'] = {
    destroy(id, done): void {
      void (async () => {
        await points.at('store: before it is gone')
        logins.delete(id)
        await points.at('store: after it is gone')
        done?.()
      })()
    },
  }
  const tickets = memoryTicketStore(clock)
  const gate = createGate({
    clock,
    secret: SECRET,
    identify: async (req: IncomingMessage) => {
      if (phaseOf(req) === 'request') world.onBegin(nameOf(req))
      await points.at(`${phaseOf(req)}: identify`)
      world.onIdentified(phaseOf(req))
      return (req as Asked).login
    },
    sessionStore: store,
    recheck: { every: '60s', jitter: 0 },
    tickets: {
      store: {
        add: (record) => tickets.add(record),
        take: async (id) => {
          await points.at('ticket: before it is taken')
          const taken = await tickets.take(id)
          await points.at('ticket: after it is taken')
          return taken
        },
      },
    },
    firstMessage: { paths: ['/wait'] },
    ...options,
  } as GateOptions<IncomingMessage>)
  const phaseOf = (req: IncomingMessage): string => gate.phase(req) ?? 'request'
  const served: Served[] = []
  const onOpening = (connection: Connection | undefined): void => {
    world.opening = connection
  }
  const routes = makeRoutes(gate, points, served, onOpening)
  const app = async (req: Asked, res: ServerResponse): Promise<void> => {
    const phase = phaseOf(req)
    if (phase === 'message') world.onBegin(nameOf(req))
    await points.at(`${phase}: before the login is read`)
    const login = logins.get(nameOf(req))
    await points.at(`${phase}: after the login is read`)
    const status = login === undefined ? 401 : statuses.get(nameOf(req))
    if (status !== undefined) {
      res.statusCode = status
      res.end()
      return
    }
    if (login !== undefined) req.login = login
    routes.get((req.url ?? '').split('?')[0] ?? '')?.(req, res)
  }
  const server = createServer((req, res) => void app(req, res))
  const detach = gate.attach(server)
  const world: World = {
    clock,
    server,
    gate,
    state: stateOf(gate),
    logins,
    statuses,
    store,
    served,
    opening: undefined,
    onBegin: () => undefined,
    onIdentified: () => undefined,
    dial: (path, name) =>
      dialWire(server, path, name === undefined ? {} : { Cookie: `sid=${name}`, Origin: 'http://localhost' }),
    renew: async (name, token, headers = { Authorization: `Bearer ${name}` }) =>
      await postWire(server, '/renew', {
        ...headers,
        ...(token === undefined ? {} : { 'Gate101-Connection': token }),
      }),
    async dispose(): Promise<void> {
      const closed = gate.close()
      await quiet()
      clock.pass(1000)
      await closed
      clock.pass(60_000)
      detach()
    },
  }
  return world
}

type Route = (req: IncomingMessage, res: ServerResponse) => void

function makeRoutes(
  gate: Gate,
  points: Points,
  served: Served[],
  onOpening: (connection: Connection | undefined) => void,
): ReadonlyMap<string, Route> {
  const serve = (socket: WebSocket, connection: Connection): void => {
    const one: Served = { connection, socket, messages: [], wasOver: connection.signal.aborted }
    served.push(one)
    socket.on('message', (data) => one.messages.push(String(data)))
  }
  const wss = new WebSocketServer({ noServer: true, clientTracking: false })
  // A library that asks somebody else before it opens, and knows its connection meanwhile.
  const library = async (req: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> => {
    onOpening(gate.connection(req))
    await points.at('library')
    wss.handleUpgrade(req, socket, head, (ws) => {
      const connection = gate.connection(req, ws)
      if (connection !== undefined) serve(ws, connection)
    })
  }
  return new Map<string, Route>([
    ['/ws', gate.websocket((socket, _req, connection) => serve(socket, connection))],
    ['/wait', gate.websocket((socket, _req, connection) => serve(socket, connection))],
    ['/library', gate.accept(library)],
    ['/renew', gate.renew()],
    ['/ticket', gate.ticket('/ws')],
  ])
}

/** A ticket's path, made before the schedule counts. */
export async function mint(world: World, name: string): Promise<string> {
  const { body } = await postWire(world.server, '/ticket', { Authorization: `Bearer ${name}` })
  return String(body['url'])
}
