import type { Server } from 'node:http'
import { createAdaptorServer, type HttpBindings } from '@hono/node-server'
import { Hono, type Context as HonoContext, type MiddlewareHandler } from 'hono'
import { basicAuth } from 'hono/basic-auth'
import { bearerAuth } from 'hono/bearer-auth'
import { compress } from 'hono/compress'
import { deleteCookie, getSignedCookie, setCookie, setSignedCookie } from 'hono/cookie'
import { cors } from 'hono/cors'
import { HTTPException } from 'hono/http-exception'
import { logger } from 'hono/logger'
import { secureHeaders } from 'hono/secure-headers'
import { websocket } from '../../../src/hono.ts'
import { createGate, type Gate } from '../../../src/index.ts'
import { ALLOWED_ORIGIN, API_KEY, COOKIE_KEY, isUser, LONG_REFUSAL, USER, userOfBearer, type Stack } from './shared.ts'

interface Env {
  Bindings: HttpBindings
  Variables: { user?: string }
}
type Context = HonoContext<Env>
type Middleware = MiddlewareHandler<Env>

/** Sessions are known by an id in a signed cookie, and are rolled on each use. */
class Sessions {
  readonly #users = new Map<string, string>()

  async login(c: Context, user: string): Promise<void> {
    const id = crypto.randomUUID()
    this.#users.set(id, user)
    await setSignedCookie(c, 'sid', id, COOKIE_KEY, { httpOnly: true })
  }

  async logout(c: Context): Promise<void> {
    const id = await getSignedCookie(c, COOKIE_KEY, 'sid')
    if (typeof id === 'string') this.#users.delete(id)
    deleteCookie(c, 'sid')
  }

  middleware(): Middleware {
    return async (c, next) => {
      const id = await getSignedCookie(c, COOKIE_KEY, 'sid')
      const user = typeof id === 'string' ? this.#users.get(id) : undefined
      if (typeof id === 'string' && user !== undefined) {
        c.set('user', user)
        await setSignedCookie(c, 'sid', id, COOKIE_KEY, { httpOnly: true })
      }
      await next()
    }
  }
}

const requireLogin: Middleware = async (c, next) => {
  if (c.get('user') === undefined) return c.json({ app: 'log in first' }, 401)
  await next()
  return undefined
}

const requireLoginOrRedirect: Middleware = async (c, next) => {
  if (c.get('user') === undefined) return c.redirect('/login')
  await next()
  return undefined
}

/** Throws, as Hono's own middlewares do it. */
const requireKey: Middleware = async (c, next) => {
  if (c.req.header('X-Api-Key') !== API_KEY) throw new HTTPException(401, { message: 'which key?' })
  await next()
}

const limit: Middleware = async (c, next) => {
  if (c.req.header('X-Tier') === 'none') return c.text('slow down', 429, { 'Retry-After': '60' })
  await next()
  return undefined
}

const setsCookies: Middleware = async (c, next) => {
  setCookie(c, 'theme', 'dark')
  await next()
  setCookie(c, 'late', 'yes')
}

function addRoutes(app: Hono<Env>, gate: Gate<Context>, sessions: Sessions): void {
  const live = websocket(gate, (socket) => {
    socket.send('open')
  }) as Middleware
  app.post('/login', async (c) => {
    const form = await c.req.parseBody()
    if (!isUser(form['username'], form['password'])) return c.text('no', 401)
    await sessions.login(c, USER.id)
    return c.text('welcome')
  })
  app.post('/logout', async (c) => {
    await sessions.logout(c)
    return c.text('bye')
  })
  app.get('/ws', requireLogin, live)
  app.get('/basic', basicAuth({ username: USER.name, password: USER.password }), live)
  app.get('/bearer', bearerAuth({ verifyToken: (token) => userOfBearer(`Bearer ${token}`) !== undefined }), live)
  app.get('/key', requireKey, live)
  app.get('/open', live)
  app.get('/redirect', requireLoginOrRedirect, live)
  app.get('/cookies', requireLogin, setsCookies, live)
  app.get('/limited', limit, requireKey, live)
  app.get('/long', (c) => c.text(LONG_REFUSAL, 403))
  app.get('/page', (c) => c.text('a page'))
  app.get('/rooms/:room/ws', requireLogin, live)
}

export const honoStack: Stack = {
  name: 'Hono',
  async build() {
    const gate = createGate({ identify: (c: Context) => ({ subject: c.get('user') ?? 'somebody' }) })
    const sessions = new Sessions()
    const app = new Hono<Env>()
    const log: string[] = []
    app.use(
      logger((line) => {
        if (line.startsWith('-->')) log.push(line)
      }),
    )
    app.use(secureHeaders())
    app.use(cors({ origin: ALLOWED_ORIGIN, credentials: true }))
    app.use(compress())
    app.use(sessions.middleware())
    addRoutes(app, gate, sessions)
    const server = createAdaptorServer({ fetch: app.fetch }) as Server
    gate.attach(server)
    return { server, gate, log }
  },
}
