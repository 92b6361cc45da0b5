import type { Server } from 'node:http'
import { createAdaptorServer, type HttpBindings } from '@hono/node-server'
import { Hono, type Context as HonoContext, type MiddlewareHandler } from 'hono'
import { getCookie, setCookie } from 'hono/cookie'
import { websocket } from '../../src/hono.ts'
import { createGate, type Gate } from '../../src/index.ts'
import { PromiseStore } from './recheck-rows.ts'
import { gateOptions, IDLE, type AppOptions, type Built, type SessionStack, type World } from './recheck-world.ts'
import type { Login } from './session-apps.ts'

interface HonoEnv {
  Bindings: HttpBindings
  Variables: { id: string; login: Login & { expires?: number } }
}

/** @param careful - whether the session middleware leaves the session of a re-check as it is, as the guide advises. */
export function honoStack(name: string, careful: boolean): SessionStack {
  return { name, keeps: 'store', moves: true, build: async (world, options) => buildHono(world, options, careful) }
}

/** Reads the session, and saves it behind the route. */
function honoSessions(store: PromiseStore, gate: Pick<Gate, 'phase'>, careful: boolean): MiddlewareHandler<HonoEnv> {
  return async (c, next) => {
    const id = getCookie(c, 'sid') ?? crypto.randomUUID()
    c.set('id', id)
    c.set('login', (await store.get(id)) ?? {})
    await next()
    const login = c.get('login')
    if (login.user === undefined || (careful && gate.phase(c.env.incoming) === 'recheck')) return
    await store.set(c.get('id'), { ...login, expires: Date.now() + IDLE }, IDLE)
    setCookie(c, 'sid', c.get('id'), { httpOnly: true, maxAge: IDLE / 1000 })
  }
}

function buildHono(world: World, options: AppOptions, careful: boolean): Built {
  const { resources, points } = world
  const store = new PromiseStore(world.rows)
  const gate = createGate<HonoContext<HonoEnv>>({
    ...gateOptions(world, options),
    identify: async (c) => {
      await points.at('identify')
      const { user, expires } = c.get('login')
      return {
        subject: String(user),
        session: c.get('id'),
        expiresAt: expires === undefined ? null : new Date(expires),
      }
    },
    ...(options.watched === true ? { sessionStore: store } : {}),
  })
  const app = new Hono<HonoEnv>()
  app.use(async (c, next) => {
    resources.taken++
    world.seen(c, c.env.incoming, c.env.outgoing)
    try {
      await next()
      await points.at('after next()')
    } finally {
      resources.released++
    }
  })
  app.use(honoSessions(store, gate as unknown as Gate, careful))
  addHonoPages(app, world, options, store)
  app.get('/ws', honoGuard(world), websocket(gate, () => undefined) as MiddlewareHandler<HonoEnv>)
  return { server: createAdaptorServer({ fetch: app.fetch }) as Server, gate, store }
}

function addHonoPages(app: Hono<HonoEnv>, world: World, { notes }: AppOptions, store: PromiseStore): void {
  app.post('/login', (c) => {
    c.set('login', { user: c.req.query('name') })
    return c.text('welcome')
  })
  app.post('/logout', async (c) => {
    await store.destroy(c.get('id'))
    c.set('login', {})
    return c.text('bye')
  })
  app.post('/regenerate', async (c) => {
    await store.destroy(c.get('id'))
    c.set('id', crypto.randomUUID())
    return c.text('anew')
  })
  if (notes === true) {
    app.use(async (c, next) => {
      c.get('login').seen = Date.now()
      await next()
    })
  }
  app.get('/page', honoGuard(world), (c) => c.text('a page'))
}

function honoGuard({ people }: World): MiddlewareHandler<HonoEnv> {
  return async (c, next) => {
    const { user } = c.get('login')
    const status = user === undefined ? 401 : await people.statusOf(user)
    if (status === 302) return c.redirect('/login')
    if (status !== 200) return c.text('not you', status as 403)
    await next()
    return undefined
  }
}

export const HONO: readonly SessionStack[] = [honoStack('Hono, a session middleware that saves after next()', true)]
