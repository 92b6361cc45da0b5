import fastifyCookie from '@fastify/cookie'
import fastifyCors from '@fastify/cors'
import fastifySession from '@fastify/session'
import fastify, { type FastifyInstance, type FastifyRequest, type preHandlerAsyncHookHandler } from 'fastify'
import { websocket } from '../../../src/fastify.ts'
import { createGate, type Gate } from '../../../src/index.ts'
import {
  ALLOWED_ORIGIN,
  API_KEY,
  COOKIE_KEY,
  isUser,
  LONG_REFUSAL,
  USER,
  userOfBasic,
  userOfBearer,
  type Stack,
} from './shared.ts'

interface Login {
  user?: string
}

const userOf = (request: FastifyRequest): string | undefined => (request.session as Login).user

const requireLogin: preHandlerAsyncHookHandler = async (request, reply) => {
  if (userOf(request) === undefined) return reply.code(401).send({ app: 'log in first' })
  return undefined
}

const requireLoginOrRedirect: preHandlerAsyncHookHandler = async (request, reply) =>
  userOf(request) === undefined ? reply.redirect('/login') : undefined

const requireBasic: preHandlerAsyncHookHandler = async (request, reply) => {
  if (userOfBasic(request.headers.authorization) !== undefined) return undefined
  return reply.code(401).header('WWW-Authenticate', 'Basic realm="app"').send('who?')
}

/** Throws, as plugins do it. */
const requireBearer: preHandlerAsyncHookHandler = async (request) => {
  if (userOfBearer(request.headers.authorization) !== undefined) return
  throw Object.assign(new Error('which token?'), { statusCode: 401, headers: { 'WWW-Authenticate': 'Bearer' } })
}

const requireKey: preHandlerAsyncHookHandler = async (request, reply) =>
  request.headers['x-api-key'] === API_KEY ? undefined : reply.code(401).header('WWW-Authenticate', 'ApiKey').send()

const limit: preHandlerAsyncHookHandler = async (request, reply) =>
  request.headers['x-tier'] === 'none' ? reply.code(429).header('Retry-After', 60).send('slow down') : undefined

export async function addPlugins(app: FastifyInstance): Promise<void> {
  await app.register(fastifyCors, { origin: [ALLOWED_ORIGIN], credentials: true })
  await app.register(fastifyCookie, { secret: COOKIE_KEY })
  await app.register(fastifySession, {
    secret: COOKIE_KEY,
    cookieName: 'sid',
    cookie: { secure: false },
    saveUninitialized: false,
  })
  app.addHook('onSend', async (_request, reply) => {
    reply.header('X-Response-Time', 'measured')
  })
}

export function addLogin(app: FastifyInstance): void {
  app.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, (_request, body, done) => {
    done(null, Object.fromEntries(new URLSearchParams(String(body))))
  })
  app.post('/login', async (request, reply) => {
    const { username, password } = request.body as Record<string, string>
    if (!isUser(username, password)) return reply.code(401).send('no')
    Object.assign(request.session, { user: USER.id })
    return 'welcome'
  })
  app.post('/logout', async (request) => {
    await request.session.destroy()
    return 'bye'
  })
}

function addRoutes(app: FastifyInstance, gate: Gate<FastifyRequest>): void {
  const live = websocket(gate, (socket) => {
    socket.send('open')
  })
  app.get('/ws', { preHandler: requireLogin }, live)
  app.get('/basic', { preHandler: requireBasic }, live)
  app.get('/bearer', { preHandler: requireBearer }, live)
  app.get('/key', { preHandler: requireKey }, live)
  app.get('/open', live)
  app.get('/redirect', { preHandler: requireLoginOrRedirect }, live)
  const setsCookies: preHandlerAsyncHookHandler = async (request, reply) => {
    Object.assign(request.session, { seen: Date.now() })
    reply.setCookie('theme', 'dark').setCookie('signed', 'yes', { signed: true })
  }
  app.get('/cookies', { preHandler: [requireLogin, setsCookies] }, live)
  app.get('/limited', { preHandler: [limit, requireKey] }, live)
  app.get('/long', async (_request, reply) => reply.code(403).send(LONG_REFUSAL))
  app.get('/page', async () => 'a page')
  app.get('/rooms/:room/ws', { preHandler: requireLogin }, live)
}

export const fastifyStack: Stack = {
  name: 'Fastify',
  async build() {
    const gate = createGate({ identify: (request: FastifyRequest) => ({ subject: userOf(request) ?? 'somebody' }) })
    const app: FastifyInstance = fastify()
    const log: string[] = []
    app.addHook('onResponse', async (request) => {
      log.push(`${request.method} ${request.url}`)
    })
    await addPlugins(app)
    addLogin(app)
    addRoutes(app, gate)
    await app.ready()
    gate.attach(app.server)
    return { server: app.server, gate, log, close: async () => await app.close() }
  },
}
