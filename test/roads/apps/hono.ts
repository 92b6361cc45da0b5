import type { Server } from 'node:http'
import { createAdaptorServer, type HttpBindings } from '@hono/node-server'
import { Hono, type Context as HonoContext, type MiddlewareHandler } from 'hono'
import { basicAuth } from 'hono/basic-auth'
import { bearerAuth } from 'hono/bearer-auth'
import { every } from 'hono/combine'
import { getSignedCookie, setSignedCookie } from 'hono/cookie'
import { HTTPException } from 'hono/http-exception'
import { jwt } from 'hono/jwt'
import { ticket, websocket } from '../../../src/hono.ts'
import { createGate } from '../../../src/index.ts'
import { COOKIE_KEY, People, SIGNING_KEY } from '../people.ts'
import { GuardLog, gateOptions, hello, loginOf, pathOf, ROUTES, type Guard, type RoadsAdapter } from './types.ts'

interface Env {
  Bindings: HttpBindings
  Variables: { user?: string; jwtPayload: { sub: string } }
}
type Context = HonoContext<Env>
type Middleware = MiddlewareHandler<Env>

/** Known by an id in a signed cookie. */
async function logIn(c: Context, records: Map<string, string>, user: string): Promise<void> {
  const id = crypto.randomUUID()
  records.set(id, JSON.stringify({ user }))
  await setSignedCookie(c, 'sid', id, COOKIE_KEY, { httpOnly: true })
}

function readSessions(people: People, records: Map<string, string>): Middleware {
  return async (c, next) => {
    const id = await getSignedCookie(c, COOKIE_KEY, 'sid')
    const record = typeof id === 'string' ? records.get(id) : undefined
    const user = record === undefined ? undefined : people.known((JSON.parse(record) as { user: string }).user)
    if (user !== undefined) c.set('user', user)
    await next()
  }
}

function guardsFor(people: People, records: Map<string, string>): Record<Guard, Middleware> {
  const found = (c: Context, user: string | undefined): boolean => {
    if (user !== undefined) c.set('user', user)
    return user !== undefined
  }
  const requireUser: Middleware = async (c, next) => {
    if (c.get('user') === undefined) throw new HTTPException(401, { message: 'who are you?' })
    await next()
  }
  const basic = basicAuth({ verifyUser: (name, password, c) => found(c as Context, people.byPassword(name, password)) })
  const sessionOr =
    (other: Middleware): Middleware =>
    (c, next) =>
      c.get('user') === undefined ? other(c, next) : next()
  const token = every(
    jwt({ secret: SIGNING_KEY, alg: 'HS256' }) as Middleware,
    (async (c, next) => {
      if (!found(c, people.known(c.get('jwtPayload').sub))) throw new HTTPException(401)
      await next()
    }) as Middleware,
  )
  const logsIn: Middleware = every(basic, async (c: Context, next: () => Promise<void>) => {
    await logIn(c, records, c.get('user') ?? '')
    await next()
  })
  return {
    session: requireUser,
    jwt: token,
    key: bearerAuth({
      headerName: 'X-Api-Key',
      prefix: '',
      verifyToken: (key, c) => found(c as Context, people.byKey(key)),
    }),
    basic,
    either: sessionOr((c, next) => (c.req.header('authorization')?.startsWith('Bearer ') ? token : basic)(c, next)),
    writes: logsIn,
    both: sessionOr(logsIn),
  }
}

export const honoApp: RoadsAdapter = {
  name: 'Hono',
  middleware: {
    session: 'a signed cookie of hono/cookie',
    jwt: 'hono/jwt',
    key: 'hono/bearer-auth',
    basic: 'hono/basic-auth',
  },
  async build(options = {}) {
    const identify = (c: Context): { subject: string } | null => {
      const subject = c.get('user')
      return subject === undefined ? null : { subject }
    }
    const gate = createGate<Context>({ ...gateOptions(options), identify })
    const [people, log, records] = [new People(), new GuardLog(), new Map<string, string>()]
    log.phaseOf = (req) => gate.phase(req)
    const app = new Hono<Env>()
    app.use(readSessions(people, records))
    app.post('/login', async (c) => {
      await logIn(c, records, loginOf(c.req.url))
      return c.text('welcome')
    })
    const guards = guardsFor(people, records)
    for (const guard of Object.keys(guards) as Guard[])
      guards[guard] = log.watched(guard, guards[guard], ([c]) => c.env.incoming)
    const live = websocket(gate, (socket, c, { identity }) => log.greet(socket, identity.subject, c.get('user')))
    const me: Middleware = async (c) => c.body(hello(c.get('user') ?? '', c.get('user')))
    for (const { method, path, guard, end } of ROUTES) {
      const last = end === 'ticket' ? ticket(gate, pathOf(guard, 'live')) : end === 'me' ? me : live
      app.on(method, [path], guards[guard], last as Middleware)
    }
    const server = createAdaptorServer({ fetch: app.fetch }) as Server
    gate.attach(server)
    return { server, gate, log, people, sessions: () => Object.fromEntries(records) }
  },
}
