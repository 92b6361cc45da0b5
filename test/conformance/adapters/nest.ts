import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import {
  Controller,
  Get,
  HttpException,
  Module,
  Post,
  Req,
  Res,
  UseGuards,
  UseInterceptors,
  type CallHandler,
  type CanActivate,
  type ExecutionContext,
  type INestApplication,
  type NestInterceptor,
} from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { ExpressAdapter } from '@nestjs/platform-express'
import { FastifyAdapter } from '@nestjs/platform-fastify'
import type { FastifyInstance, FastifyReply } from 'fastify'
import onHeaders from 'on-headers'
import { tap } from 'rxjs'
import type { Gate } from '../../../src/index.ts'
import { authenticate, ticket, websocket } from '../../../src/nest.ts'
import { method, parameters } from '../../adapters/nest-app.ts'
import {
  asyncContext,
  BEFORE,
  failure,
  FORBIDDEN,
  handlerFor,
  judge,
  LATE_REFUSAL,
  methodOf,
  REPLACEMENT,
  ROUTES,
  writeAnswer,
  writeEnd,
  type End,
  type Outer,
  type RouteSpec,
} from '../app.ts'
import { writeEnd as writeEndByReply } from './fastify.ts'
import { makeGate, type Adapter, type NodeMiddleware, type Setup } from './types.ts'

/** `@Req()`: Express's own is Node's, Fastify's has it. */
type NestRequest = IncomingMessage & { readonly raw?: IncomingMessage }

const requestOf = (req: NestRequest): IncomingMessage => req.raw ?? req

/** Refuses as Nest's guards do: by an exception, with what the header is to say set before. */
const keyGuard: CanActivate = {
  canActivate(context: ExecutionContext): boolean {
    const refusal = judge(requestOf(context.switchToHttp().getRequest()))
    if (refusal === undefined) return true
    const response = context.switchToHttp().getResponse<{ header(name: string, value: string): unknown }>()
    for (const [name, value] of refusal.headers) response.header(name, value)
    throw new HttpException(JSON.parse(refusal.body) as object, refusal.status)
  },
}

type Action = (req: object, res: object) => unknown

function endOf(gate: Gate<NestRequest>, end: End): Action {
  if (end.type === 'websocket') return websocket(gate, handlerFor(end.handler, requestOf), end.options)
  if (end.type === 'ticket') return ticket(gate, end.path)
  if (end.type === 'throws') {
    return () => {
      throw failure()
    }
  }
  if (end.type === 'rejects') {
    return async () => {
      await Promise.resolve()
      throw failure()
    }
  }
  return (_req, res) =>
    'raw' in res ? writeEndByReply(res as FastifyReply, end) : writeEnd(res as ServerResponse, end)
}

/** What an interceptor does once the method has returned. */
type Response = ServerResponse | FastifyReply

const AFTER: Partial<Record<Outer, (res: Response) => unknown>> = {
  'throws-after': () => {
    throw failure()
  },
  'forbids-after': (res) => answerInstead(res, LATE_REFUSAL),
  'replaces-after': (res) => answerInstead(res, REPLACEMENT),
}

function answerInstead(res: Response, { status, body }: { status: number; body: string }): unknown {
  return 'raw' in res ? res.code(status).send(body) : writeAnswer(res, status, [], body)
}

function interceptor(after: (res: Response) => unknown): NestInterceptor {
  return {
    intercept: (context: ExecutionContext, next: CallHandler) =>
      next.handle().pipe(tap(() => void after(context.switchToHttp().getResponse<Response>()))),
  }
}

/** What stands before Nest itself, as Express middleware. */
const BEFORE_NEST: Partial<Record<Outer, NodeMiddleware>> = {
  'sets-after': (_req, res, next) => {
    onHeaders(res, () => {
      res.setHeader('X-After', 'yes')
    })
    next()
  },
  'sets-before': (_req, res, next) => {
    for (const [name, value] of BEFORE) res.appendHeader(name, value)
    next()
  },
  'sets-forbidden': (_req, res, next) => {
    for (const [name, value] of FORBIDDEN) res.setHeader(name, value)
    next()
  },
}

function controllerOf(gate: Gate<NestRequest>, setup: Setup): new () => object {
  const guard = setup.door === 'schemes' ? authenticate(gate) : keyGuard
  const Controlled = class {
    readonly routes = ROUTES
  }
  for (const [index, route] of ROUTES.entries()) {
    const action = endOf(gate, route.end)
    const name = `route${index}`
    Object.defineProperty(Controlled.prototype, name, {
      value: function act(req: object, res: object): unknown {
        return action(req, res)
      },
      configurable: true,
      writable: true,
    })
    const verb = methodOf(route) === 'GET' ? Get(route.path) : Post(route.path)
    method(Controlled, name, verb, ...aroundOf(route, guard))
    parameters(Controlled, name, Req(), Res())
  }
  Controller()(Controlled)
  return Controlled
}

function aroundOf(route: RouteSpec, guard: CanActivate): MethodDecorator[] {
  const after = route.outer === undefined ? undefined : AFTER[route.outer]
  return [
    ...(route.guarded === false ? [] : [UseGuards(guard)]),
    ...(after === undefined ? [] : [UseInterceptors(interceptor(after))]),
  ]
}

function addMiddlewares(app: INestApplication, setup: Setup): void {
  app.use((req: IncomingMessage, res: ServerResponse, next: () => void) => {
    setup.observer.watch(req, res)
    asyncContext.run('alice', next)
  })
  for (const { path, outer } of ROUTES) {
    const middleware = outer === undefined ? undefined : BEFORE_NEST[outer]
    if (middleware !== undefined) app.use(path, middleware)
  }
}

function nestApp(platform: 'express' | 'fastify'): Adapter {
  return {
    framework: `nest-${platform}`,
    async build(setup) {
      const gate = makeGate(setup, requestOf)
      const controllers = [controllerOf(gate, setup)]
      const App = class {
        readonly controllers = controllers
      }
      Module({ controllers })(App)
      const adapter = platform === 'express' ? new ExpressAdapter() : new FastifyAdapter()
      const app = await NestFactory.create(App, adapter, { logger: false, abortOnError: false })
      const instance: unknown = app.getHttpAdapter().getInstance()
      addMiddlewares(app, setup)
      await app.init()
      if (platform === 'fastify') await (instance as FastifyInstance).ready()
      const server = app.getHttpServer() as Server
      gate.attach(server)
      return { server, gate, close: async () => await app.close() }
    },
  }
}

export const nestOnExpress = nestApp('express')
export const nestOnFastify = nestApp('fastify')
