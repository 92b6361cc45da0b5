import { createServer } from 'node:http'
import Router from '@koa/router'
import Koa, { type Middleware, type ParameterizedContext } from 'koa'
import { KoaPassport } from 'koa-passport'
import koaSession from 'koa-session'
import { BasicStrategy } from 'passport-http'
import { ExtractJwt, Strategy as JwtStrategy } from 'passport-jwt'
import { createGate } from '../../../src/index.ts'
import { ticket, websocket } from '../../../src/koa.ts'
import { COOKIE_KEY, People, SIGNING_KEY } from '../people.ts'
import { GuardLog, gateOptions, hello, loginOf, pathOf, ROUTES, type Guard, type RoadsAdapter } from './types.ts'

type Context = ParameterizedContext

const userOf = (ctx: Context): string | undefined => (ctx.state['user'] as { id: string } | undefined)?.id

function makePassport(people: People): InstanceType<typeof KoaPassport> {
  const made = new KoaPassport()
  const userFor = (id: string | undefined): { id: string } | false => (id === undefined ? false : { id })
  made.use(new BasicStrategy((name, password, done) => done(null, userFor(people.byPassword(name, password)))))
  const options = {
    jwtFromRequest: ExtractJwt.fromAuthHeaderAsBearerToken(),
    secretOrKey: SIGNING_KEY,
    algorithms: ['HS256' as const],
  }
  made.use(new JwtStrategy(options, ({ sub }: { sub: string }, done) => done(null, userFor(people.known(sub)))))
  made.serializeUser((user, done) => done(null, (user as { id: string }).id))
  made.deserializeUser((id, done) => done(null, userFor(people.known(id))))
  return made
}

function guardsFor(people: People, passport: InstanceType<typeof KoaPassport>): Record<Guard, Middleware> {
  const sessionOr =
    (other: Middleware): Middleware =>
    (ctx, next) =>
      ctx.isAuthenticated() ? next() : other(ctx, next)
  return {
    session: sessionOr(async (ctx) => ctx.throw(401, 'log in first')),
    jwt: passport.authenticate('jwt', { session: false }),
    basic: passport.authenticate('basic', { session: false }),
    either: sessionOr(passport.authenticate(['basic', 'jwt'], { session: false })),
    writes: passport.authenticate('basic'),
    both: sessionOr(passport.authenticate('basic')),
    async key(ctx, next) {
      const id = people.byKey(ctx.get('X-Api-Key'))
      if (id === undefined) ctx.throw(401, 'which key?')
      ctx.state['user'] = { id }
      await next()
    },
  }
}

/** Where the app keeps its sessions: the cookie holds a key. */
function storeIn(records: Map<string, string>): object {
  return {
    get: async (key: string) => JSON.parse(records.get(key) ?? 'null'),
    set: async (key: string, record: object) => void records.set(key, JSON.stringify(record)),
    destroy: async (key: string) => void records.delete(key),
  }
}

export const koaApp: RoadsAdapter = {
  name: 'Koa',
  middleware: {
    session: 'koa-session, koa-passport',
    jwt: 'passport-jwt',
    key: 'own middleware',
    basic: 'passport-http',
  },
  async build(options = {}) {
    const identify = (ctx: Context): { subject: string } | null => {
      const subject = userOf(ctx)
      return subject === undefined ? null : { subject }
    }
    const gate = createGate<Context>({ ...gateOptions(options), identify })
    const [people, log, records] = [new People(), new GuardLog(), new Map<string, string>()]
    log.phaseOf = (req) => gate.phase(req)
    const passport = makePassport(people)
    const app = new Koa()
    app.silent = true
    app.keys = [COOKIE_KEY]
    app.use(koaSession({ key: 'sid', store: storeIn(records) } as never, app))
    app.use(passport.initialize())
    app.use(passport.session())
    const router = new Router()
    router.post('/login', async (ctx) => {
      await ctx.login({ id: loginOf(ctx.url) })
      ctx.body = 'welcome'
    })
    const guards = guardsFor(people, passport)
    for (const guard of Object.keys(guards) as Guard[])
      guards[guard] = log.watched(guard, guards[guard], ([ctx]) => ctx.req)
    const live = websocket(gate, (socket, ctx, { identity }) => log.greet(socket, identity.subject, userOf(ctx)))
    const me: Middleware = (ctx) => {
      ctx.body = JSON.parse(hello(userOf(ctx) ?? '', userOf(ctx)))
    }
    for (const { method, path, guard, end } of ROUTES) {
      const last = end === 'ticket' ? ticket(gate, pathOf(guard, 'live')) : end === 'me' ? me : live
      router.register(path, [method], [guards[guard], last as Middleware])
    }
    app.use(router.routes())
    const listener = app.callback()
    const server = createServer((req, res) => void listener(req, res))
    gate.attach(server)
    return { server, gate, log, people, sessions: () => Object.fromEntries(records) }
  },
}
