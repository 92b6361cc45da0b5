import { createServer, type IncomingMessage, type Server } from 'node:http'
import fastifyCookie from '@fastify/cookie'
import fastifySession from '@fastify/session'
import express, { type RequestHandler } from 'express'
import session from 'express-session'
import fastify, { type FastifyRequest } from 'fastify'
import jsonwebtoken from 'jsonwebtoken'
import Koa, { type Context, type Middleware } from 'koa'
import koaSession from 'koa-session'
import morgan from 'morgan'
import { WebSocketServer, type WebSocket } from 'ws'
import { ticket as fastifyTicket, websocket as onFastify } from '../../../src/fastify.ts'
import { createGate, type Gate, type GateOptions } from '../../../src/index.ts'
import { ticket as koaTicket, websocket as onKoa } from '../../../src/koa.ts'
import { apiKey } from '../../../src/schemes.ts'
import { patientClock } from '../../support/beats.ts'

/** Small apps with real logins, which tell a client what they saw of its request. */

export const COOKIE_KEY = 'a cookie key that is only for tests, and 32 bytes long at least'
const SIGNING_KEY = 'a signing key that is only for tests, and 32 bytes long at least'

export function jwtFor(subject: string, id = 'one'): string {
  return jsonwebtoken.sign({ sub: subject, jti: id }, SIGNING_KEY, { algorithm: 'HS256', expiresIn: '1h' })
}

export const API_KEYS = { alice: 'roads-api-key-alice-2f81', bob: 'roads-api-key-bob-90ac' } as const

export type Options = Omit<GateOptions, 'identify' | 'authenticate'>

export interface MadeApp {
  readonly server: Server
  readonly gate: Pick<Gate, 'on' | 'connections' | 'inject' | 'ticket'>
  /** Each request that the app was run with, handshakes too. */
  readonly runs: Seen[]
  /** Lines of the request logger. */
  readonly log: string[]
  readonly close?: () => Promise<unknown>
}

/** What an app can see of a request. */
export interface Seen {
  readonly url: string | undefined
  readonly originalUrl: unknown
  readonly headers: IncomingMessage['headers']
  readonly rawHeaders: readonly string[]
  readonly query: unknown
}

export function seen(req: IncomingMessage, query?: unknown): Seen {
  return {
    url: req.url,
    originalUrl: (req as IncomingMessage & { originalUrl?: string }).originalUrl,
    headers: { ...req.headers },
    rawHeaders: [...req.rawHeaders],
    query,
  }
}

function subjectOfBearer(authorization: string | undefined): string | undefined {
  const token = /^Bearer (\S+)$/i.exec(authorization ?? '')?.[1]
  if (token === undefined) return undefined
  try {
    return jsonwebtoken.verify(token, SIGNING_KEY, { algorithms: ['HS256'] }).sub as string
  } catch {
    return undefined
  }
}

/** Who a request is from: a bearer token, a key, or the login session. A wrong token is nobody, whatever else there is. */
function subjectOf(headers: IncomingMessage['headers'], fromSession: string | undefined): string | undefined {
  if (headers.authorization !== undefined) return subjectOfBearer(headers.authorization)
  if (headers['x-api-key'] === API_KEYS.alice) return 'alice'
  if (headers['x-api-key'] === API_KEYS.bob) return 'bob'
  return fromSession
}

type Login = { user?: string }
type Known = IncomingMessage & { user?: string; sessionID?: string; session?: Login }

function tell(socket: WebSocket, req: IncomingMessage, subject: string, query?: unknown): void {
  socket.send(JSON.stringify({ subject, ...seen(req, query) }))
}

/** `/login?user=…` logs in; `/logout` logs out; `/live` and `/rooms/:room/live` are endpoints, with ticket routes. */
export type Build = (options?: Options) => Promise<MadeApp>

/** What an Express app of a test adds to the common one. */
export type Add = (app: express.Express, gate: Gate, requireLogin: RequestHandler) => void

export async function expressApp(options: Options = {}, add: Add = () => undefined): Promise<MadeApp> {
  const gate = createGate({
    identify: (req: Known) => (req.user === undefined ? null : { subject: req.user, session: sessionOf(req) }),
    clock: patientClock,
    ...options,
  })
  const app = express()
  app.set('env', 'test')
  app.disable('x-powered-by')
  const [runs, log]: [Seen[], string[]] = [[], []]
  app.use((req, _res, next) => {
    runs.push(seen(req, req.query))
    next()
  })
  app.use(morgan('combined', { stream: { write: (line) => log.push(line) } }) as RequestHandler)
  app.use(session({ name: 'sid', secret: COOKIE_KEY, resave: false, saveUninitialized: false, rolling: true }))
  const requireLogin: RequestHandler = (req, res, next) => {
    const user = subjectOf(req.headers, (req.session as Login).user)
    if (user === undefined) return void res.status(401).set('WWW-Authenticate', 'Bearer').json({ app: 'who are you?' })
    Object.assign(req, { user })
    return next()
  }
  const live = gate.websocket((socket, req, connection) => {
    tell(socket, req, connection.identity.subject, (req as IncomingMessage & { query?: unknown }).query)
  }) as RequestHandler
  app.post('/login', (req, res) => {
    Object.assign(req.session, { user: String(req.query['user']) })
    res.end()
  })
  app.post('/logout', (req, res) => void req.session.destroy(() => res.end()))
  app.get('/live', requireLogin, live)
  app.get('/other', requireLogin, live)
  app.get('/rooms/:room/live', requireLogin, live)
  app.all('/live/ticket', requireLogin, gate.ticket('/live') as RequestHandler)
  app.all('/open/ticket', gate.ticket('/live') as RequestHandler)
  app.post(
    '/rooms/:room/ticket',
    requireLogin,
    gate.ticket(
      (req) => `/rooms/${(req as unknown as { params: { room: string } }).params.room}/live`,
    ) as RequestHandler,
  )
  add(app, gate as unknown as Gate, requireLogin)
  const server = createServer(app)
  gate.attach(server)
  return { server, gate: gate as unknown as Gate, runs, log }
}

function sessionOf(req: Known): string | undefined {
  return req.session?.user === undefined ? undefined : req.sessionID
}

export async function koaApp(options: Options = {}): Promise<MadeApp> {
  const gate = createGate({
    identify: (ctx: Context) => (ctx.state['user'] === undefined ? null : { subject: ctx.state['user'] as string }),
    clock: patientClock,
    ...options,
  })
  const app = new Koa()
  app.silent = true
  app.keys = [COOKIE_KEY]
  const [runs, log]: [Seen[], string[]] = [[], []]
  app.use(async (ctx, next) => {
    runs.push(seen(ctx.req, { ...ctx.query }))
    await next()
    log.push(`${ctx.method} ${ctx.originalUrl} ${ctx.href}`)
  })
  app.use(koaSession({ key: 'sid' }, app))
  const requireLogin: Middleware = async (ctx, next) => {
    const user = subjectOf(ctx.headers, (ctx['session'] as Login | null)?.user)
    if (user === undefined) return ctx.throw(401, 'who are you?')
    ctx.state['user'] = user
    return next()
  }
  const live = onKoa(gate, (socket, ctx: Context, connection) => {
    tell(socket, ctx.req, connection.identity.subject, ctx.query)
  })
  const mint = koaTicket(gate, '/live')
  const routes: Record<string, Middleware> = {
    '/login': (ctx) => {
      ctx['session'] = { user: ctx.query['user'] }
      ctx.body = 'welcome'
    },
    '/logout': (ctx) => {
      ctx['session'] = null
      ctx.body = 'bye'
    },
    '/live': (ctx) => requireLogin(ctx, () => live(ctx, async () => undefined)),
    '/live/ticket': (ctx) => requireLogin(ctx, () => mint(ctx, async () => undefined)),
  }
  app.use(async (ctx, next) => (routes[ctx.path] ?? (() => undefined))(ctx, next))
  const listener = app.callback()
  const server = createServer((req, res) => void listener(req, res))
  gate.attach(server)
  return { server, gate: gate as unknown as Gate, runs, log }
}

export async function fastifyApp(options: Options = {}): Promise<MadeApp> {
  type Request = FastifyRequest & { user?: string }
  const gate = createGate({
    identify: (request: Request) => (request.user === undefined ? null : { subject: request.user }),
    clock: patientClock,
    ...options,
  })
  const [runs, log]: [Seen[], string[]] = [[], []]
  const app = fastify({ logger: { level: 'info', stream: { write: (line: string) => void log.push(line) } } })
  // Fastify itself refuses bodies of types that it does not know; here the route is asked.
  app.addContentTypeParser('*', (_request, payload, done) => {
    payload.resume()
    done(null)
  })
  await app.register(fastifyCookie)
  await app.register(fastifySession, {
    secret: COOKIE_KEY,
    cookieName: 'sid',
    cookie: { secure: false },
    saveUninitialized: false,
  })
  app.addHook('onRequest', async (request) => {
    runs.push(seen(request.raw, request.query))
  })
  const requireLogin = async (request: Request, reply: { code(status: number): { send(body: object): unknown } }) => {
    const user = subjectOf(request.headers, (request.session as Login).user)
    if (user === undefined) return reply.code(401).send({ app: 'who are you?' })
    request.user = user
    return undefined
  }
  app.post('/login', async (request) => {
    Object.assign(request.session, { user: (request.query as { user: string }).user })
    return 'welcome'
  })
  app.post('/logout', async (request) => {
    await request.session.destroy()
    return 'bye'
  })
  const live = onFastify(gate, (socket, request: Request, connection) => {
    tell(socket, request.raw, connection.identity.subject, request.query)
  })
  app.get('/live', { preHandler: requireLogin }, live)
  app.post('/live/ticket', { preHandler: requireLogin }, fastifyTicket(gate, '/live'))
  await app.ready()
  gate.attach(app.server)
  return { server: app.server, gate: gate as unknown as Gate, runs, log, close: async () => app.close() }
}

/** No app that decides: a scheme and a WebSocket library. */
export async function schemesApp(options: Options = {}): Promise<MadeApp> {
  const keys = Object.entries(API_KEYS).map(([subject, key]) => ({ key, subject }))
  const gate = createGate({ authenticate: apiKey({ keys }), clock: patientClock, ...options })
  const runs: Seen[] = []
  const wss = new WebSocketServer({ noServer: true })
  wss.on('connection', (socket, req) => {
    runs.push(seen(req))
    tell(socket, req, gate.connection(req, socket)?.identity.subject ?? '')
  })
  const [guard, mint] = [gate.authenticate(), gate.ticket('/live')]
  const server = createServer((req, res) => {
    runs.push(seen(req))
    if (req.url === '/live/ticket') return guard(req, res, () => mint(req, res))
    res.statusCode = 404
    return res.end()
  })
  server.on('upgrade', (req, socket, head) => {
    wss.handleUpgrade(req, socket, head, (ws) => wss.emit('connection', ws, req))
  })
  gate.attach(server)
  return { server, gate: gate as unknown as Gate, runs, log: [] }
}

/** Frameworks whose login is a session cookie or a JWT. */
export const SESSION_APPS: Readonly<Record<string, Build>> = {
  Express: expressApp,
  Koa: koaApp,
  Fastify: fastifyApp,
}
