import type { IncomingMessage, Server } from 'node:http'
import {
  Controller,
  Get,
  Module,
  Post,
  Req,
  Res,
  UnauthorizedException,
  UseGuards,
  type CanActivate,
  type ExecutionContext,
} from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { ExpressAdapter } from '@nestjs/platform-express'
import { FastifyAdapter } from '@nestjs/platform-fastify'
import type { Express } from 'express'
import { MemoryStore } from 'express-session'
import type { FastifyInstance } from 'fastify'
import type passport from 'passport'
import { createGate, type Gate } from '../../../src/index.ts'
import { ticket, websocket } from '../../../src/nest.ts'
import { method, parameters } from '../../adapters/nest-app.ts'
import { People } from '../people.ts'
import { login, makePassport, recordsOf, sessionMiddlewares } from './connect.ts'
import { addSessions, sessionUser } from './fastify.ts'
import { GuardLog, gateOptions, hello, pathOf, ROUTES, type Guard, type Options, type RoadsAdapter } from './types.ts'

/** Of either platform. */
interface AppRequest {
  readonly raw?: IncomingMessage
  readonly headers: IncomingMessage['headers']
  readonly session: { user?: string }
  user?: { id: string }
  isAuthenticated?(): boolean
}

type Activate = (context: ExecutionContext) => boolean | Promise<boolean>

const requestOf = (context: ExecutionContext): AppRequest => context.switchToHttp().getRequest()

function lets(find: (req: AppRequest) => string | undefined): Activate {
  return (context) => {
    const req = requestOf(context)
    const id = find(req)
    if (id === undefined) throw new UnauthorizedException()
    req.user = { id }
    return true
  }
}

/** A strategy of passport as a guard. */
function strategy(auth: passport.PassportStatic, ...names: string[]): Activate {
  const authenticate = auth.authenticate as unknown as (
    names: string[],
    options: object,
    done: (error: unknown, user: { id: string } | false) => void,
  ) => (req: object, res: object, next: () => void) => void
  return async (context) => {
    const [req, res] = [requestOf(context), context.switchToHttp().getResponse<object>()]
    const user = await new Promise<{ id: string } | false>((resolve, reject) => {
      const done = (error: unknown, found: { id: string } | false): void =>
        error === null ? resolve(found) : reject(error as Error)
      authenticate.call(auth, names, { session: false }, done)(req, res, () => resolve(false))
    })
    if (user === false) throw new UnauthorizedException()
    req.user = user
    return true
  }
}

const byKey = (people: People): Activate => lets(({ headers }) => people.byKey(headers['x-api-key']))

function expressGuards(people: People, auth: passport.PassportStatic): Record<Guard, Activate> {
  const session = lets((req) => req.user?.id)
  const basic = strategy(auth, 'basic')
  const sessionOr =
    (other: Activate): Activate =>
    (context) =>
      requestOf(context).isAuthenticated?.() === true || other(context)
  const logsIn: Activate = async (context) => {
    await basic(context)
    const req = requestOf(context) as AppRequest & { logIn(user: object, done: (error?: unknown) => void): void }
    await new Promise<void>((resolve, reject) =>
      req.logIn(req.user ?? {}, (error) => (error === undefined ? resolve() : reject(error as Error))),
    )
    return true
  }
  return {
    session,
    jwt: strategy(auth, 'jwt'),
    key: byKey(people),
    basic,
    either: sessionOr(strategy(auth, 'basic', 'jwt')),
    writes: logsIn,
    both: sessionOr(logsIn),
  }
}

function fastifyGuards(people: People): Record<Guard, Activate> {
  const bySession = (req: AppRequest): string | undefined => people.known(sessionUser(req))
  const byBasic = (req: AppRequest): string | undefined => people.byBasic(req.headers.authorization)
  const logIn = (req: AppRequest, user: string | undefined): string | undefined => {
    if (user !== undefined) Object.assign(req.session, { user })
    return user
  }
  return {
    session: lets(bySession),
    jwt: lets(({ headers }) => people.byBearer(headers.authorization)),
    key: byKey(people),
    basic: lets(byBasic),
    either: lets((req) => bySession(req) ?? byBasic(req) ?? people.byBearer(req.headers.authorization)),
    writes: lets((req) => logIn(req, byBasic(req))),
    both: lets((req) => bySession(req) ?? logIn(req, byBasic(req))),
  }
}

function controllerOf(
  gate: Gate<AppRequest>,
  log: GuardLog,
  guards: Readonly<Record<Guard, Activate>>,
): new () => object {
  const live = websocket(gate, (socket, req, { identity }) => log.greet(socket, identity.subject, req.user?.id))
  const me = (req: AppRequest, res: { send(body: string): unknown }): unknown =>
    res.send(hello(req.user?.id ?? '', req.user?.id))
  const Live = class {
    readonly routes = ROUTES
  }
  for (const [index, { method: verb, path, guard, end }] of ROUTES.entries()) {
    const action = end === 'ticket' ? ticket(gate, pathOf(guard, 'live')) : end === 'me' ? me : live
    const name = `route${index}`
    Object.defineProperty(Live.prototype, name, {
      value: (req: never, res: never) => action(req, res),
      configurable: true,
      writable: true,
    })
    const canActivate: CanActivate = { canActivate: guards[guard] }
    method(Live, name, verb === 'GET' ? Get(path) : Post(path), UseGuards(canActivate))
    parameters(Live, name, Req(), Res())
  }
  Controller()(Live)
  return Live
}

async function build(platform: 'express' | 'fastify', options: Options): ReturnType<RoadsAdapter['build']> {
  const identify = ({ user }: AppRequest): { subject: string } | null => (user ? { subject: user.id } : null)
  const gate = createGate<AppRequest>({ ...gateOptions(options), identify })
  const [people, log, store, records] = [new People(), new GuardLog(), new MemoryStore(), new Map<string, string>()]
  log.phaseOf = (req) => gate.phase(req)
  const auth = makePassport(people)
  const guards = platform === 'express' ? expressGuards(people, auth) : fastifyGuards(people)
  for (const guard of Object.keys(guards) as Guard[]) {
    guards[guard] = log.watched(guard, guards[guard], ([context]) => {
      const req = requestOf(context)
      return req.raw ?? (req as unknown as IncomingMessage)
    })
  }
  const controllers = [controllerOf(gate, log, guards)]
  const App = class {
    readonly controllers = controllers
  }
  Module({ controllers })(App)
  const adapter = platform === 'express' ? new ExpressAdapter() : new FastifyAdapter()
  const app = await NestFactory.create(App, adapter, { logger: false, abortOnError: false })
  const instance: unknown = app.getHttpAdapter().getInstance()
  if (platform === 'express') {
    app.use(...sessionMiddlewares(store, auth))
    ;(instance as Express).post('/login', login)
  } else await addSessions(instance as FastifyInstance, records)
  await app.init()
  if (platform === 'fastify') await (instance as FastifyInstance).ready()
  const server = app.getHttpServer() as Server
  gate.attach(server)
  const sessions = (): Record<string, string> =>
    platform === 'express' ? recordsOf(store) : Object.fromEntries(records)
  return { server, gate, log, people, sessions, close: async () => await app.close() }
}

export const nestOnExpress: RoadsAdapter = {
  name: 'NestJS on Express',
  middleware: {
    session: 'express-session, passport',
    jwt: 'a guard with passport-jwt',
    key: 'own guard',
    basic: 'a guard with passport-http',
  },
  build: async (options = {}) => await build('express', options),
}

export const nestOnFastify: RoadsAdapter = {
  name: 'NestJS on Fastify',
  middleware: {
    session: '@fastify/session',
    jwt: 'a guard with jsonwebtoken',
    key: 'own guard',
    basic: 'own guard',
  },
  build: async (options = {}) => await build('fastify', options),
}
