import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import {
  Controller,
  ForbiddenException,
  Get,
  HttpException,
  Module,
  Req,
  Res,
  UnauthorizedException,
  UseGuards,
  type CanActivate,
  type ExecutionContext,
  type INestApplication,
} from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { ExpressAdapter } from '@nestjs/platform-express'
import { FastifyAdapter } from '@nestjs/platform-fastify'
import type { Express } from 'express'
import type { FastifyInstance } from 'fastify'
import { createGate, type Gate } from '../../../src/index.ts'
import { websocket } from '../../../src/nest.ts'
import { method, parameters } from '../../adapters/nest-app.ts'
import { addLogin as addExpressLogin, commonMiddlewares, makePassport } from './express.ts'
import { addLogin as addFastifyLogin, addPlugins } from './fastify.ts'
import { API_KEY, LONG_REFUSAL, userOfBasic, userOfBearer, type Stack } from './shared.ts'

/** Where each platform's session keeps its user. */
interface AppRequest {
  readonly headers: IncomingMessage['headers']
  readonly user?: { readonly id: string }
  readonly session: { user?: string; seen?: boolean }
}

interface AppResponse {
  header(name: string, value: string): unknown
  code?(status: number): unknown
}

const userOf = (req: AppRequest): string | undefined => req.user?.id ?? req.session.user

function guard(lets: (req: AppRequest, res: AppResponse) => boolean): CanActivate {
  return {
    canActivate(context: ExecutionContext): boolean {
      const http = context.switchToHttp()
      return lets(http.getRequest(), http.getResponse())
    },
  }
}

const requireLogin = guard((req) => {
  if (userOf(req) === undefined) throw new UnauthorizedException('log in first')
  return true
})
const requireBasic = guard((req, res) => {
  if (userOfBasic(req.headers.authorization) !== undefined) return true
  res.header('WWW-Authenticate', 'Basic realm="app"')
  throw new UnauthorizedException()
})
const requireBearer = guard((req, res) => {
  if (userOfBearer(req.headers.authorization) !== undefined) return true
  res.header('WWW-Authenticate', 'Bearer')
  throw new UnauthorizedException({ app: 'which token?' })
})
const requireKey = guard((req) => {
  if (req.headers['x-api-key'] === API_KEY) return true
  throw new UnauthorizedException()
})
const limit = guard((req, res) => {
  if (req.headers['x-tier'] !== 'none') return true
  res.header('Retry-After', '60')
  throw new HttpException('slow down', 429)
})
const redirectWithoutLogin = guard((req, res) => {
  if (userOf(req) !== undefined) return true
  res.header('Location', '/login')
  throw new HttpException('', 302)
})

const forbid = (): never => {
  throw new ForbiddenException(LONG_REFUSAL)
}

function controllerOf(gate: Gate<AppRequest>): new () => object {
  const live = websocket(gate, (socket) => {
    socket.send('open')
  })
  const setsCookies = (req: AppRequest, res: AppResponse): unknown => {
    req.session.seen = true
    res.header('Set-Cookie', 'theme=dark')
    return live(req, res)
  }
  const routes: ReadonlyArray<readonly [path: string, action: (req: never, res: never) => unknown, ...CanActivate[]]> =
    [
      ['/ws', live, requireLogin],
      ['/basic', live, requireBasic],
      ['/bearer', live, requireBearer],
      ['/key', live, requireKey],
      ['/open', live],
      ['/redirect', live, redirectWithoutLogin],
      ['/cookies', setsCookies, requireLogin],
      ['/limited', live, limit, requireKey],
      ['/long', forbid],
      ['/rooms/:room/ws', live, requireLogin],
    ]
  const Live = class {
    page(): string {
      return 'a page'
    }
  }
  method(Live, 'page', Get('/page'))
  for (const [index, [path, action, ...guards]] of routes.entries()) {
    const name = `route${index}`
    Object.defineProperty(Live.prototype, name, {
      value: (req: never, res: never) => action(req, res),
      configurable: true,
      writable: true,
    })
    method(Live, name, Get(path), UseGuards(...guards))
    parameters(Live, name, Req(), Res())
  }
  Controller()(Live)
  return Live
}

function logRequests(app: INestApplication, log: string[]): void {
  app.use((req: IncomingMessage, res: ServerResponse, next: () => void) => {
    res.once('finish', () => log.push(`${req.method} ${req.url}`))
    next()
  })
}

async function build(platform: 'express' | 'fastify'): ReturnType<Stack['build']> {
  const gate = createGate({ identify: (req: AppRequest) => ({ subject: userOf(req) ?? 'somebody' }) })
  const controllers = [controllerOf(gate)]
  const App = class {
    readonly controllers = controllers
  }
  Module({ controllers })(App)
  const adapter = platform === 'express' ? new ExpressAdapter() : new FastifyAdapter()
  const app = await NestFactory.create(App, adapter, { logger: false, abortOnError: false, bodyParser: false })
  const instance: unknown = app.getHttpAdapter().getInstance()
  const log: string[] = []
  if (platform === 'express') {
    const auth = makePassport()
    app.use(...commonMiddlewares(auth, log))
    addExpressLogin(instance as Express, auth)
  } else {
    logRequests(app, log)
    await addPlugins(instance as FastifyInstance)
    addFastifyLogin(instance as FastifyInstance)
  }
  await app.init()
  if (platform === 'fastify') await (instance as FastifyInstance).ready()
  const server = app.getHttpServer() as Server
  gate.attach(server)
  return { server, gate, log, close: async () => await app.close() }
}

export const nestExpressStack: Stack = { name: 'NestJS on Express', build: async () => await build('express') }
export const nestFastifyStack: Stack = { name: 'NestJS on Fastify', build: async () => await build('fastify') }
