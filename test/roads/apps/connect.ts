import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import connect from 'connect'
import express from 'express'
import express4 from 'express4'
import session, { MemoryStore } from 'express-session'
import passport from 'passport'
import { BasicStrategy } from 'passport-http'
import { ExtractJwt, Strategy as JwtStrategy } from 'passport-jwt'
import { createGate, type Gate } from '../../../src/index.ts'
import type { NodeMiddleware } from '../../conformance/adapters/types.ts'
import { COOKIE_KEY, People, SIGNING_KEY } from '../people.ts'
import {
  GuardLog,
  gateOptions,
  GUARDS,
  hello,
  loginOf,
  pathOf,
  ROUTES,
  type Guard,
  type Options,
  type RoadsAdapter,
  type RoadsApp,
  type RouteRow,
} from './types.ts'

export type Request = IncomingMessage & {
  user?: { id: string }
  isAuthenticated(): boolean
  logIn(user: object, done: (error?: unknown) => void): void
}

export const userOf = (req: IncomingMessage): string | undefined => (req as Request).user?.id

export function makePassport(people: People): passport.PassportStatic {
  const made = new passport.Passport() as unknown as passport.PassportStatic
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

function refuse(res: ServerResponse): void {
  res.statusCode = 401
  res.setHeader('WWW-Authenticate', 'App')
  res.end('who are you?')
}

/** What a server with a login by session runs before each route. */
export function sessionMiddlewares(store: MemoryStore, auth: passport.PassportStatic): NodeMiddleware[] {
  return [
    session({ name: 'sid', secret: COOKIE_KEY, resave: false, saveUninitialized: false, store }),
    auth.initialize(),
    auth.session(),
  ] as unknown as NodeMiddleware[]
}

export const recordsOf = (store: MemoryStore): Record<string, string> => ({
  ...(store as unknown as { sessions: Record<string, string> }).sessions,
})

function guardsFor(people: People, auth: passport.PassportStatic): Record<Guard, NodeMiddleware> {
  const of = (name: string | string[], options?: passport.AuthenticateOptions): NodeMiddleware =>
    auth.authenticate(name, options ?? {}) as unknown as NodeMiddleware
  const sessionOr =
    (other: NodeMiddleware): NodeMiddleware =>
    (req, res, next) =>
      (req as Request).isAuthenticated() ? next() : other(req, res, next)
  return {
    session: sessionOr((_req, res) => refuse(res)),
    jwt: of('jwt', { session: false }),
    basic: of('basic', { session: false }),
    either: sessionOr(of(['basic', 'jwt'], { session: false })),
    writes: of('basic'),
    both: sessionOr(of('basic')),
    key(req, res, next) {
      const id = people.byKey(req.headers['x-api-key'])
      if (id === undefined) return refuse(res)
      Object.assign(req, { user: { id } })
      return next()
    },
  }
}

export const login: NodeMiddleware = (req, res, next) => {
  // In a mounted route Connect has taken the path off `url`.
  ;(req as Request).logIn({ id: loginOf(req.url) }, (error) => (error === undefined ? res.end('welcome') : next(error)))
}

const me: NodeMiddleware = (req, res) => {
  res.setHeader('Content-Type', 'application/json')
  res.end(hello(userOf(req) ?? '', userOf(req)))
}

type Place = (row: Pick<RouteRow, 'method' | 'path'>, chain: readonly NodeMiddleware[]) => void

/** Puts the common middlewares before everything (`use`), and each route in its place. */
function assemble(
  options: Options | undefined,
  server: (gate: Gate) => { use: (middlewares: readonly NodeMiddleware[]) => void; place: Place; app: RequestListener },
): RoadsApp {
  const gate = createGate({ ...gateOptions(options ?? {}), identify: (req) => identify(req) })
  const [people, log, store] = [new People(), new GuardLog(), new MemoryStore()]
  log.phaseOf = (req) => gate.phase(req)
  const auth = makePassport(people)
  const { use, place, app } = server(gate)
  use(sessionMiddlewares(store, auth))
  const guards = guardsFor(people, auth)
  const watched = Object.fromEntries(
    GUARDS.map((guard) => [guard, log.watched(guard, guards[guard], ([req]) => req)]),
  ) as Record<Guard, NodeMiddleware>
  const live = gate.websocket((socket, req, { identity }) => log.greet(socket, identity.subject, userOf(req)))
  place({ method: 'POST', path: '/login' }, [login])
  for (const row of ROUTES) {
    const end = row.end === 'ticket' ? gate.ticket(pathOf(row.guard, 'live')) : row.end === 'me' ? me : live
    place(row, [watched[row.guard], end as NodeMiddleware])
  }
  const http = createServer(app)
  gate.attach(http)
  return { server: http, gate, log, people, sessions: () => recordsOf(store) }
}

export function identify(req: IncomingMessage): { subject: string } | null {
  const subject = userOf(req)
  return subject === undefined ? null : { subject }
}

const MIDDLEWARE = {
  session: 'express-session, passport',
  jwt: 'passport-jwt',
  key: 'own middleware',
  basic: 'passport-http',
}

export const connectApp: RoadsAdapter = {
  name: 'Connect',
  middleware: MIDDLEWARE,
  build: async (options) =>
    assemble(options, () => {
      const app = connect()
      const use = (path: string, chain: readonly NodeMiddleware[]): void => chain.forEach((one) => app.use(path, one))
      return { use: (chain) => use('/', chain), place: (row, chain) => use(row.path, chain), app }
    }),
}

/** No framework: a table of paths. */
export const nodeHttp: RoadsAdapter = {
  name: 'node:http',
  middleware: MIDDLEWARE,
  build: async (options) =>
    assemble(options, () => {
      const first: NodeMiddleware[] = []
      const routes = new Map<string, readonly NodeMiddleware[]>()
      return {
        use: (chain) => void first.push(...chain),
        place: ({ method, path }, chain) => void routes.set(`${method} ${path}`, chain),
        app: (req, res) => {
          const chain = routes.get(`${req.method} ${(req.url ?? '').split('?')[0]}`)
          if (chain === undefined) res.writeHead(404).end()
          else run([...first, ...chain], req, res)
        },
      }
    }),
}

function run([first, ...rest]: readonly NodeMiddleware[], req: IncomingMessage, res: ServerResponse): void {
  first?.(req, res, (error) => (error === undefined || error === null ? run(rest, req, res) : res.destroy()))
}

function expressAdapter(name: string, make: () => express.Express): RoadsAdapter {
  return {
    name,
    middleware: MIDDLEWARE,
    build: async (options) =>
      assemble(options, () => {
        const app = make()
        app.set('env', 'test')
        return {
          use: (chain) => void app.use(...chain),
          place: ({ method, path }, chain) => void app[method === 'GET' ? 'get' : 'post'](path, ...chain),
          app,
        }
      }),
  }
}

export const express5 = expressAdapter('Express 5', () => express())
export const express4App = expressAdapter('Express 4', () => express4() as unknown as express.Express)
