import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener } from 'node:http'
import { after, describe, test } from 'node:test'
import fastifyCookie from '@fastify/cookie'
import fastifySession from '@fastify/session'
import cookieSession from 'cookie-session'
import express, { type RequestHandler } from 'express'
import session, { MemoryStore, type SessionData, type SessionOptions } from 'express-session'
import fastify, { type FastifyRequest } from 'fastify'
import Koa, { type Context } from 'koa'
import koaSession from 'koa-session'
import { websocket as fastifyWebsocket } from '../../src/fastify.ts'
import { createGate, type Gate } from '../../src/index.ts'
import { websocket as koaWebsocket } from '../../src/koa.ts'
import { connectRaw, handshake, handshakeText, rawRequest, type RawResponse } from '../support/raw.ts'
import { listen } from '../support/servers.ts'
import { trapFaults } from '../support/trap.ts'
import { askPort, cookiesOf, ORIGIN, PLAIN, SECRET, serve, type Headers, type Served } from './served.ts'

const trap = trapFaults()
after(async () => await trap.assertNone())

interface Login {
  user?: string
  seen?: number
}

type Call = 'get' | 'set' | 'touch'

/** A store that notes its calls, waits where it is told to, and fails where it is told to. */
class WatchedStore extends MemoryStore {
  readonly calls: Call[] = []
  readonly events = new EventEmitter()
  readonly failing = new Set<Call>()
  readonly held = new Set<Call>()

  async #pass(call: Call): Promise<Error | undefined> {
    this.calls.push(call)
    if (this.held.has(call)) {
      setImmediate(() => this.events.emit('held'))
      await once(this.events, 'go')
    }
    return this.failing.has(call) ? new Error('the store is away') : undefined
  }
  override get(id: string, done: (error: unknown, data?: SessionData | null) => void): void {
    void this.#pass('get').then((error) => (error === undefined ? super.get(id, done) : done(error)))
  }
  override set(id: string, data: SessionData, done?: (error?: unknown) => void): void {
    void this.#pass('set').then((error) => (error === undefined ? super.set(id, data, done) : done?.(error)))
  }
  override touch(id: string, data: SessionData, done?: (error?: unknown) => void): void {
    void this.#pass('touch').then((error) =>
      error === undefined ? super.touch(id, data, done as () => void) : done?.(error),
    )
  }
}

const loginOf = (req: unknown): Login => (req as { session: Login }).session

const requireLogin: RequestHandler = (req, res, next) => {
  if (loginOf(req).user === undefined) res.status(401).send('log in first')
  else next()
}

const note: RequestHandler = (req, _res, next) => {
  loginOf(req).seen = Date.now()
  next()
}

const identify = (req: IncomingMessage): { subject: string; expiresAt?: Date } => ({
  subject: String(loginOf(req).user),
})

/** `/ws` only reads the session, `/noted` changes it, `/login` begins it. */
function appWith(sessions: RequestHandler) {
  return (gate: Gate): RequestListener => {
    const app = express()
    app.set('env', 'test')
    app.use((_req, res, next) => {
      res.cookie('first', '1')
      next()
    }, sessions)
    app.post('/login', (req, res) => {
      loginOf(req).user = 'alice'
      res.send('welcome')
    })
    const live = gate.websocket((socket) => socket.send('open')) as RequestHandler
    app.get('/ws', requireLogin, live)
    app.get('/noted', requireLogin, note, live)
    return app
  }
}

async function login(port: number): Promise<string> {
  const headers = { ...PLAIN, 'Content-Length': '0' }
  return cookiesOf(await rawRequest({ port, lines: handshake({ method: 'POST', target: '/login', headers }) }))
}

const withCookie = (cookie: string): Headers => ({ 'X-Api-Key': null, Cookie: cookie, Origin: ORIGIN })

describe('express-session', () => {
  const start = async (options: Partial<SessionOptions> = {}): Promise<{ served: Served; store: WatchedStore }> => {
    const store = new WatchedStore()
    const sessions = session({
      secret: SECRET,
      name: 'sid',
      resave: false,
      saveUninitialized: false,
      store,
      ...options,
    })
    return { store, served: await serve(appWith(sessions), { identify }) }
  }

  test('a login opens, without one it is refused', async () => {
    const { served } = await start()
    await using _ = served
    const cookie = await login(served.port)
    assert.equal((await served.ask(withCookie(cookie))).status, 101)
    assert.deepEqual((await served.ask(withCookie('theme=dark'))).status, 401)
    assert.deepEqual((await served.ask(withCookie(cookie.replace(/sid=s%3A./, 'sid=s%3A*')))).status, 401)
  })

  for (const [what, target, call] of [
    ['an unchanged session is touched', '/ws', 'touch'],
    ['a changed session is saved', '/noted', 'set'],
  ] as const) {
    test(`${what} before the 101`, async () => {
      const { served, store } = await start()
      await using _ = served
      const cookie = await login(served.port)
      store.calls.length = 0
      store.held.add(call)
      await using connection = await connectRaw(served)
      const held = once(store.events, 'held')
      connection.send(handshakeText({ target, headers: withCookie(cookie) }))
      await held
      assert.equal(connection.received().length, 0)
      assert.equal(served.gate.connections.size, 0)
      store.events.emit('go')
      assert.equal((await connection.response()).status, 101)
      assert.deepEqual(store.calls, ['get', call])
    })
  }

  test('rolling: the renewed cookie is on the 101, apart from other cookies', async () => {
    const { served } = await start({ rolling: true, cookie: { maxAge: 60_000 } })
    await using _ = served
    const cookie = await login(served.port)
    const accepted = await served.ask(withCookie(cookie))
    assert.equal(accepted.status, 101)
    const [first, rolled, ...others] = accepted.values('set-cookie')
    assert.match(first ?? '', /^first=1;/)
    assert.match(rolled ?? '', /^sid=.*Expires=/)
    assert.deepEqual(others, [])
  })

  test('not rolling: an unchanged session sets no cookie', async () => {
    const { served } = await start()
    await using _ = served
    const cookie = await login(served.port)
    assert.equal(cookiesOf(await served.ask(withCookie(cookie))), 'first=1')
  })

  test('saveUninitialized: a refusal begins a session, or does not, as over HTTP', async () => {
    for (const saveUninitialized of [true, false]) {
      const { served, store } = await start({ saveUninitialized })
      await using _ = served
      const refused = await served.ask(withCookie('theme=dark'))
      assert.equal(refused.status, 401)
      assert.equal(/sid=/.test(cookiesOf(refused)), saveUninitialized)
      assert.deepEqual(store.calls, saveUninitialized ? ['set'] : [])
    }
  })

  test('a store that fails while reading refuses', async () => {
    const { served, store } = await start()
    await using _ = served
    const cookie = await login(served.port)
    store.failing.add('get')
    assert.equal((await served.ask(withCookie(cookie))).status, 500)
    store.failing.clear()
    assert.equal((await served.ask(withCookie(cookie))).status, 101)
  })

  for (const [target, call] of [
    ['/ws', 'touch'],
    ['/noted', 'set'],
  ] as const) {
    test(`a store that fails while it should ${call}: what was answered is destroyed, as over HTTP`, async () => {
      const { served, store } = await start()
      await using _ = served
      const cookie = await login(served.port)
      store.failing.add(call)
      for (const headers of [withCookie(cookie), { ...withCookie(cookie), ...PLAIN, Connection: 'keep-alive' }]) {
        await using connection = await connectRaw(served)
        connection.send(handshakeText({ target, headers }))
        await connection.ended()
        assert.match(connection.received().toString('latin1'), /^HTTP\/1\.1 (101|426) /)
      }
      await served.listening.noneOpen()
      assert.equal(served.gate.connections.size, 0)
    })
  }

  test('a store that does not answer ends with the deadline', async () => {
    const store = new WatchedStore()
    const sessions = session({ secret: SECRET, name: 'sid', resave: false, saveUninitialized: false, store })
    await using served = await serve(appWith(sessions), { identify, limits: { deadline: 50 } })
    const cookie = await login(served.port)
    store.held.add('get')
    const refused = await served.ask(withCookie(cookie))
    assert.deepEqual([refused.status, JSON.parse(refused.text).error], [503, 'handshake_timeout'])
    store.events.emit('go')
  })

  test('its expiry is there for identify', async () => {
    let expires: unknown
    const sessions = session({
      secret: SECRET,
      name: 'sid',
      resave: false,
      saveUninitialized: false,
      cookie: { maxAge: 60_000 },
    })
    await using served = await serve(appWith(sessions), {
      identify(req) {
        const { cookie } = (req as IncomingMessage & { session: session.Session }).session
        expires = cookie.expires
        return { subject: 'alice', expiresAt: cookie.expires ?? null }
      },
    })
    assert.equal((await served.ask(withCookie(await login(served.port)))).status, 101)
    assert.ok(expires instanceof Date)
  })
})

test('cookie-session: a login opens, a forged one does not; a changed session is on the 101', async () => {
  const sessions = cookieSession({ name: 'sid', keys: [SECRET] })
  await using served = await serve(appWith(sessions), { identify })
  const cookie = await login(served.port)
  const read = await served.ask(withCookie(cookie))
  assert.deepEqual([read.status, cookiesOf(read)], [101, 'first=1'])
  const changed = await served.ask(withCookie(cookie), '/noted')
  assert.equal(changed.status, 101)
  assert.deepEqual(
    changed.values('set-cookie').map((value) => value.split('=')[0]),
    ['first', 'sid', 'sid.sig'],
  )
  const forged = Buffer.from('{"user":"admin"}').toString('base64')
  assert.equal((await served.ask(withCookie(cookie.replace(/sid=[^;]+/, `sid=${forged}`)))).status, 401)
  assert.equal((await served.ask(withCookie('theme=dark'))).status, 401)
})

test('@fastify/session: a login opens, with the rolling cookie on the 101; without one it is refused', async () => {
  const gate = createGate({
    identify: (request: FastifyRequest) => ({ subject: String((request.session as Login).user) }),
  })
  const app = fastify()
  const store = new WatchedStore()
  await app.register(fastifyCookie)
  await app.register(fastifySession, {
    secret: SECRET,
    cookieName: 'sid',
    cookie: { secure: false, maxAge: 60_000 },
    saveUninitialized: false,
    rolling: true,
    store: store as unknown as fastifySession.SessionStore,
  })
  app.post('/login', async (request) => {
    Object.assign(request.session, { user: 'alice' })
    return 'welcome'
  })
  const preHandler = async (request: FastifyRequest, reply: { code(status: number): { send(): unknown } }) =>
    (request.session as Login).user === undefined ? reply.code(401).send() : undefined
  app.get(
    '/ws',
    { preHandler },
    fastifyWebsocket(gate, (socket) => socket.send('open')),
  )
  await app.ready()
  gate.attach(app.server)
  await using listening = await listen(app.server)
  const cookie = await login(listening.port)
  const accepted = await askPort(listening.port, withCookie(cookie))
  assert.deepEqual([accepted.status, accepted.values('set-cookie').length], [101, 1])
  assert.match(accepted.header('set-cookie') ?? '', /^sid=/)
  assert.equal((await askPort(listening.port, withCookie('theme=dark'))).status, 401)

  store.held.add('set')
  await using connection = await connectRaw(listening)
  const held = once(store.events, 'held')
  connection.send(handshakeText({ headers: withCookie(cookie) }))
  await held
  assert.equal(connection.received().length, 0)
  store.events.emit('go')
  assert.equal((await connection.response()).status, 101)
  store.held.clear()
  store.failing.add('get')
  assert.equal((await askPort(listening.port, withCookie(cookie))).status, 500)
})

test('koa-session: a login opens, with the rolling cookie on the 101; without one it is refused', async () => {
  const gate = createGate({ identify: (ctx: Context) => ({ subject: String((ctx['session'] as Login).user) }) })
  const app = new Koa()
  app.silent = true
  app.keys = [SECRET]
  const live = koaWebsocket(gate, (socket) => socket.send('open'))
  app.use(koaSession({ key: 'sid', rolling: true }, app))
  app.use(async (ctx, next) => {
    const known = ctx['session'] as Login
    if (ctx.path === '/login' && ctx.method === 'POST') {
      known.user = 'alice'
      ctx.body = 'welcome'
      return undefined
    }
    if (known.user === undefined) return ctx.throw(401)
    return await (live as Koa.Middleware)(ctx, next)
  })
  const listener = app.callback()
  const server = createServer((req, res) => void listener(req, res))
  gate.attach(server)
  await using listening = await listen(server)
  const cookie = await login(listening.port)
  const accepted: RawResponse = await askPort(listening.port, withCookie(cookie))
  assert.equal(accepted.status, 101)
  assert.deepEqual(
    accepted.values('set-cookie').map((value) => value.split('=')[0]),
    ['sid', 'sid.sig'],
  )
  assert.equal((await askPort(listening.port, withCookie('theme=dark'))).status, 401)
  assert.equal((await askPort(listening.port, withCookie(cookie.replace('sid.sig=', 'sid.sig=x')))).status, 401)
})
