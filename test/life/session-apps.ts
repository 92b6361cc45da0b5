import { createServer, type IncomingMessage } from 'node:http'
import fastifyCookie from '@fastify/cookie'
import fastifySession from '@fastify/session'
import cookieSession from 'cookie-session'
import express, { type RequestHandler } from 'express'
import session, { type SessionOptions } from 'express-session'
import fastify, { type FastifyReply, type FastifyRequest } from 'fastify'
import Koa, { type ParameterizedContext } from 'koa'
import koaSession, { type CreateSessionOptions } from 'koa-session'
import passport from 'passport'
import { websocket as fastifyWebsocket } from '../../src/fastify.ts'
import { createGate } from '../../src/index.ts'
import { websocket as koaWebsocket } from '../../src/koa.ts'
import { PromiseStore, NotedMemoryStore, TtlStore } from './recheck-rows.ts'
import { gateOptions, IDLE, type AppOptions, type Built, type SessionStack, type World } from './recheck-world.ts'

// The same app in each framework: POST /login, /logout, /regenerate, GET /page and the WebSocket at /ws, behind one guard.

export const SECRET = 'a secret that is only for tests, and 32 bytes long at least'

/** What the apps keep of a login. */
export interface Login {
  user?: string | undefined
  seen?: number
  /** Where nothing else says when the session ends. */
  until?: number
}

type Session = session.Session & session.SessionData & Login
type ExpressRequest = IncomingMessage & { session: Session; sessionID: string; user?: { id: string } }

const sessionOf = (req: IncomingMessage): Session => (req as ExpressRequest).session
const userOf = (req: IncomingMessage): string | undefined => (req as ExpressRequest).user?.id

/** Answers as the people say; lets in whom they let in. */
export function expressGuard({ people }: World): RequestHandler {
  return async (req, res, next) => {
    const user = userOf(req) ?? sessionOf(req)?.user
    const status = user === undefined ? 401 : await people.statusOf(user)
    if (status === 200) next()
    else if (status === 302) res.redirect('/login')
    else res.status(status).send('not you')
  }
}

/** Login and logout over plain HTTP. */
export function addExpressPages(app: express.Express, world: World): void {
  app.post('/login', (req, res) => {
    Object.assign(sessionOf(req), { user: String(req.query['name']), until: Date.now() + IDLE })
    res.send('welcome')
  })
  app.post('/logout', (req, res) => {
    sessionOf(req).destroy((error: unknown) => void res.status(error ? 500 : 200).send('bye'))
  })
  app.post('/regenerate', (req, res) => {
    const { user } = sessionOf(req)
    sessionOf(req).regenerate((error: unknown) => {
      Object.assign(sessionOf(req), { user })
      res.status(error ? 500 : 200).send('anew')
    })
  })
  app.get('/page', expressGuard(world), (_req, res) => void res.send('a page'))
}

export const notesIt: RequestHandler = (req, _res, next) => {
  Object.assign(sessionOf(req), { seen: Date.now() })
  next()
}

type Sessions = (world: World) => { middleware: RequestHandler[]; store?: session.Store }

function expressStack(name: string, sessions: Sessions, keeps: SessionStack['keeps'] = 'store'): SessionStack {
  return {
    name,
    keeps,
    moves: keeps === 'store',
    build: async (world, options) => buildExpress(world, options, sessions),
  }
}

function buildExpress(world: World, options: AppOptions, sessions: Sessions): Built {
  const { middleware, store } = sessions(world)
  const gate = createGate({
    ...gateOptions(world, options),
    identify: async (req) => {
      await world.points.at('identify')
      const { user, until, cookie } = sessionOf(req)
      const expiresAt = cookie?.expires ?? (keepsTime(until) ? new Date(until) : null)
      const { sessionID } = req as ExpressRequest
      return { subject: userOf(req) ?? user ?? '', session: sessionID, expiresAt }
    },
    ...(options.watched === true && store !== undefined ? { sessionStore: store } : {}),
  })
  const app = express()
  app.set('env', 'test')
  app.use(
    (req, res, next) => {
      world.resources.taken++
      world.seen(req, res)
      res.once('close', () => world.resources.released++)
      next()
    },
    ...middleware,
  )
  if (options.notes === true) app.use(notesIt)
  addExpressPages(app, world)
  app.get('/ws', expressGuard(world), gate.websocket(() => undefined) as RequestHandler)
  return { server: createServer(app), gate, store }
}

const keepsTime = (until: number | undefined): until is number => until !== undefined

export function expressSession(store: session.Store, options: Partial<SessionOptions> = {}): RequestHandler {
  return session({
    name: 'sid',
    secret: SECRET,
    resave: false,
    saveUninitialized: false,
    store,
    cookie: { maxAge: IDLE },
    ...options,
  })
}

function withStore(make: (world: World) => session.Store, options: Partial<SessionOptions> = {}): Sessions {
  return (world) => {
    const store = make(world)
    return { store, middleware: [expressSession(store, options)] }
  }
}

/** The login of an app with passport: in the session is the id, the user comes from the database. */
export function passportSession({ people }: World): RequestHandler[] {
  const made = new passport.Passport()
  made.deserializeUser((id: string, done) => {
    void people.statusOf(id).then((status) => done(null, status === 401 ? false : { id }))
  })
  const login: RequestHandler = (req, _res, next) => {
    if (req.path === '/login') Object.assign(sessionOf(req), { passport: { user: String(req.query['name']) } })
    next()
  }
  return [login, made.session() as RequestHandler]
}

const ttl = (world: World): session.Store => new TtlStore(world.rows)
const noted = (world: World): session.Store => new NotedMemoryStore(world.rows)

export const EXPRESS: readonly SessionStack[] = [
  expressStack('express-session, MemoryStore', withStore(noted)),
  expressStack('express-session, MemoryStore, rolling', withStore(noted, { rolling: true })),
  expressStack('express-session, TTL store', withStore(ttl)),
  expressStack('express-session, TTL store, rolling, resave', withStore(ttl, { rolling: true, resave: true })),
  expressStack('express-session, passport', (world) => {
    const store = ttl(world)
    return { store, middleware: [expressSession(store), ...passportSession(world)] }
  }),
  expressStack(
    'cookie-session',
    () => ({ middleware: [cookieSession({ name: 'sid', keys: [SECRET], maxAge: IDLE }) as RequestHandler] }),
    'cookie',
  ),
]

type KoaContext = ParameterizedContext & {
  session: (Login & { _expire?: number; externalKey?: string; regenerate(): Promise<void> }) | null
}

function koaStack(name: string, sessions: CreateSessionOptions): SessionStack {
  return { name, keeps: 'store', moves: true, build: async (world, options) => buildKoa(world, options, sessions) }
}

function buildKoa(world: World, options: AppOptions, sessions: CreateSessionOptions): Built {
  const store = new PromiseStore(world.rows)
  const gate = createGate<KoaContext>({
    ...gateOptions(world, options),
    identify: async ({ session: known }) => {
      await world.points.at('identify')
      const expiresAt = known?._expire === undefined ? null : new Date(known._expire)
      return { subject: String(known?.user), session: known?.externalKey, expiresAt }
    },
    ...(options.watched === true ? { sessionStore: store } : {}),
  })
  const app = new Koa()
  app.silent = true
  app.keys = [SECRET]
  app.use(async (ctx, next) => {
    world.resources.taken++
    world.seen(ctx, ctx.req, ctx.res)
    try {
      await next()
      await world.points.at('after next()')
    } finally {
      world.resources.released++
    }
  })
  app.use(koaSession({ key: 'sid', maxAge: IDLE, store: store as never, ...sessions }, app))
  const live = koaWebsocket(gate, () => undefined)
  app.use(
    async (ctx) =>
      await koaRoutes(world, options, ctx as KoaContext, async (known) => await live(known, async () => undefined)),
  )
  const listener = app.callback()
  return { server: createServer((req, res) => void listener(req, res)), gate, store }
}

async function koaRoutes(
  { people }: World,
  { notes }: AppOptions,
  ctx: KoaContext,
  live: (ctx: KoaContext) => Promise<unknown>,
): Promise<void> {
  if (ctx.path === '/login') Object.assign(ctx.session ?? {}, { user: ctx.query['name'] })
  else if (ctx.path === '/logout') ctx.session = null
  else if (ctx.path === '/regenerate') await ctx.session?.regenerate()
  else {
    if (notes === true && ctx.session !== null) ctx.session.seen = Date.now()
    const user = ctx.session?.user
    const status = user === undefined ? 401 : await people.statusOf(user)
    if (status === 302) return ctx.redirect('/login')
    if (status !== 200) return ctx.throw(status)
    if (ctx.path === '/ws') return void (await live(ctx))
  }
  ctx.body = 'a page'
}

export const KOA: readonly SessionStack[] = [
  koaStack('koa-session, rolling', { rolling: true }),
  koaStack('koa-session, renew', { renew: true }),
]

type FastifyLogin = fastifySession.FastifySessionObject & Login

function fastifyStack(name: string, rolling: boolean): SessionStack {
  return {
    name,
    keeps: 'store',
    moves: rolling,
    build: async (world, options) => await buildFastify(world, options, rolling),
  }
}

/** When the session of a request ends. `cookie.expires` says when it would end if this request were to prolong it. */
export function fastifyExpiry({ cookie }: fastifySession.FastifySessionObject): Date | null {
  const { originalExpires } = cookie as { originalExpires?: Date }
  return originalExpires ?? cookie.expires ?? null
}

/** Identity of a request of a Fastify app; what Nest's `req` is on it. */
export async function identifyFastify(
  { points }: World,
  { session: known }: FastifyRequest,
): Promise<{ subject: string; session: string; expiresAt: Date | null }> {
  await points.at('identify')
  return { subject: String((known as FastifyLogin).user), session: known.sessionId, expiresAt: fastifyExpiry(known) }
}

export async function addFastifySession(app: object, store: session.Store, rolling: boolean): Promise<void> {
  const made = app as ReturnType<typeof fastify>
  await made.register(fastifyCookie)
  await made.register(fastifySession, {
    secret: SECRET,
    cookieName: 'sid',
    cookie: { secure: false, maxAge: IDLE },
    saveUninitialized: false,
    rolling,
    store: store as unknown as fastifySession.SessionStore,
  })
}

export function addFastifyPages(
  app: object,
  world: World,
  { notes }: AppOptions,
): (request: FastifyRequest, reply: FastifyReply) => Promise<unknown> {
  const { people, resources } = world
  const made = app as ReturnType<typeof fastify>
  made.addHook('onRequest', async (request: FastifyRequest, reply: FastifyReply) => {
    resources.taken++
    world.seen(request, reply, request.raw, reply.raw)
  })
  made.addHook('onResponse', async () => void resources.released++)
  made.post('/login', async (request: FastifyRequest) => {
    Object.assign(request.session, { user: (request.query as { name: string }).name })
    return 'welcome'
  })
  made.post('/logout', async (request: FastifyRequest) => {
    await request.session.destroy()
    return 'bye'
  })
  made.post('/regenerate', async (request: FastifyRequest) => {
    await (request.session as unknown as { regenerate(keys: string[]): Promise<void> }).regenerate(['user'])
    return 'anew'
  })
  const guard = async (request: FastifyRequest, reply: FastifyReply): Promise<unknown> => {
    const known = request.session as FastifyLogin
    if (notes === true) known.seen = Date.now()
    const status = known.user === undefined ? 401 : await people.statusOf(known.user)
    if (status === 302) return reply.redirect('/login')
    return status === 200 ? undefined : reply.code(status).send('not you')
  }
  made.get('/page', { preHandler: guard }, async () => 'a page')
  return guard
}

async function buildFastify(world: World, options: AppOptions, rolling: boolean): Promise<Built> {
  const store = new TtlStore(world.rows)
  const gate = createGate<FastifyRequest>({
    ...gateOptions(world, options),
    identify: async (request) => await identifyFastify(world, request),
    ...(options.watched === true ? { sessionStore: store } : {}),
  })
  const app = fastify()
  await addFastifySession(app, store, rolling)
  const preHandler = addFastifyPages(app, world, options)
  app.get(
    '/ws',
    { preHandler },
    fastifyWebsocket(gate, () => undefined),
  )
  await app.ready()
  return { server: app.server, gate, store, close: async () => await app.close() }
}

export const FASTIFY: readonly SessionStack[] = [
  fastifyStack('@fastify/session, rolling', true),
  fastifyStack('@fastify/session, not rolling', false),
]
