import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createAdaptorServer, type HttpBindings } from '@hono/node-server'
import Router from '@koa/router'
import {
  Controller,
  Get,
  HttpException,
  Module,
  Post,
  Req,
  Res,
  UseGuards,
  type CanActivate,
  type ExecutionContext,
} from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { ExpressAdapter } from '@nestjs/platform-express'
import { FastifyAdapter } from '@nestjs/platform-fastify'
import connect from 'connect'
import express from 'express'
import express4 from 'express4'
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { Hono, type Context as HonoContext, type MiddlewareHandler } from 'hono'
import Koa, { type Context as KoaContext } from 'koa'
import * as forFastify from '../../src/fastify.ts'
import * as forHono from '../../src/hono.ts'
import { createGate, type Connection, type Gate, type GateOptions, type IdentityInput } from '../../src/index.ts'
import * as forKoa from '../../src/koa.ts'
import * as forNest from '../../src/nest.ts'
import { apiKey, hashApiKey } from '../../src/schemes.ts'
import { method, parameters, type Platform } from '../adapters/nest-app.ts'
import { WebSocketServer, type WebSocket } from 'ws'

/** What an app knows of who comes with a key, and what it says to them. */
export interface Person {
  /** An error is thrown by `identify`. */
  identity: IdentityInput | null | Error
  /** 200 lets in; `hang` never answers. */
  status: number | 'hang'
}

export interface Served {
  readonly socket: WebSocket
  readonly connection: Connection
}

/** Everything that a guard can see of who is asking. */
export interface Seen {
  readonly phase: string | undefined
  readonly request: Readonly<Record<string, unknown>>
}

/** Who decides: the app's own guard and `identify`, or `authenticate()` and the schemes of the gate. */
export type Door = 'app' | 'schemes'

/** What the routes of every app share: `/live` of `websocket()`, `/library` of `accept()`, `/renew` and the page `/me`. */
export interface Shared {
  readonly door: Door
  readonly people: Map<string, Person>
  readonly served: Served[]
  /** What the guard saw, each time. */
  readonly seen: Seen[]
  /** Where `identify` waits. */
  hold: Promise<void> | undefined
}

export type Options = Omit<GateOptions, 'identify' | 'authenticate'>

export interface App {
  readonly server: Server
  readonly gate: Gate<never>
  readonly close?: () => Promise<unknown>
}

export interface LifeAdapter {
  readonly name: string
  build(shared: Shared, options: Options): Promise<App>
}

/** Who comes with nothing at all. */
export const NOBODY = 'nobody'

function personOf({ people }: Shared, { headers }: IncomingMessage): Person | undefined {
  const { authorization, cookie } = headers
  const token = authorization?.split(' ').at(-1) ?? cookie?.replace('sid=', '')
  return people.get(String(headers['x-api-key'] ?? token ?? NOBODY))
}

async function identityOf({ identity }: Person): Promise<IdentityInput | null> {
  if (identity instanceof Error) throw identity
  return identity
}

/** Of each handshake anew: they say nothing about who asks. */
const OF_ONE_HANDSHAKE = new Set(['sec-websocket-key', 'sec-websocket-extensions'])

function seenBy(phase: string | undefined, req: IncomingMessage): Seen {
  const { remoteAddress, remotePort, localAddress, localPort } = req.socket
  const { method: verb, httpVersion, rawHeaders } = req
  // What a router takes off in front of a mounted app is not the request's.
  const url = (req as { originalUrl?: string }).originalUrl ?? req.url
  const encrypted = (req.socket as { encrypted?: boolean }).encrypted ?? false
  const told = ([name]: readonly [string, unknown]): boolean => !OF_ONE_HANDSHAKE.has(name)
  const headers = Object.fromEntries(Object.entries(req.headers).filter(told))
  const distinct = Object.fromEntries(Object.entries(req.headersDistinct).filter(told))
  const names = rawHeaders.filter((name, n) => n % 2 === 0 && told([name.toLowerCase(), ''])).map(lower)
  const peer = { remoteAddress, remotePort, localAddress, localPort, encrypted }
  return { phase, request: structuredClone({ verb, url, httpVersion, headers, distinct, names, ...peer }) }
}

const lower = (name: string): string => name.toLowerCase()

/** One identify, one guard, one handler and one library for all. */
function partsOf<Context>(shared: Shared, requestOf: (context: Context) => IncomingMessage, options: Options) {
  const find = (hash: string): Person | undefined =>
    [...shared.people].find(([key]) => key.length >= MIN_KEY && hashApiKey(key) === hash)?.[1]
  const keys = apiKey({ name: 'app', lookup: async (hash) => await identityOf(find(hash) ?? UNKNOWN) })
  const gate: Gate<Context> = createGate<Context>({
    ...options,
    ...(shared.door === 'schemes'
      ? { authenticate: keys }
      : {
          async identify(context: Context) {
            const found = await identityOf(personOf(shared, requestOf(context)) ?? UNKNOWN)
            await shared.hold
            return found
          },
        }),
  })
  /** @returns undefined where the request goes on; a promise that never settles where the app hangs. */
  const judge = (req: IncomingMessage): number | Promise<never> | undefined => {
    shared.seen.push(seenBy(gate.phase(req), req))
    const status = personOf(shared, req)?.status ?? 401
    if (status === 'hang') return new Promise<never>(() => undefined)
    return status === 200 ? undefined : status
  }
  const serve = (socket: WebSocket, connection: Connection): void => {
    shared.served.push({ socket, connection })
    socket.on('message', (data) => socket.send(String(data)))
  }
  const handler = (socket: WebSocket, _context: Context, connection: Connection): void => serve(socket, connection)
  const library = new WebSocketServer({ noServer: true })
  library.on('connection', (socket, req) => serve(socket, gate.connection(req, socket) as Connection))
  return { gate, judge, handler, library }
}

const MIN_KEY = 8
const UNKNOWN: Person = { identity: null, status: 401 }

type Next = (error?: unknown) => void
type Middleware = (req: IncomingMessage, res: ServerResponse, next: Next) => unknown

const nodeParts = (shared: Shared, options: Options) => {
  const { gate, judge, handler, library } = partsOf(shared, (req: IncomingMessage) => req, options)
  const own: Middleware = (req, res, next) => {
    const refusal = judge(req)
    if (refusal === undefined) return next()
    if (typeof refusal === 'number') res.writeHead(refusal, refusal === 302 ? { Location: '/login' } : {}).end('{}')
    return undefined
  }
  const guard = shared.door === 'schemes' ? (gate.authenticate() as Middleware) : own
  const ends = new Map<string, Middleware>([
    ['/live', gate.websocket(handler) as Middleware],
    ['/library', gate.accept(library) as Middleware],
    ['/renew', gate.renew() as Middleware],
    ['/me', (_req, res) => res.end('me')],
  ])
  return { gate, guard, ends }
}

function expressLike(name: string, make: () => unknown): LifeAdapter {
  return {
    name,
    async build(shared, options) {
      const { gate, guard, ends } = nodeParts(shared, options)
      const app = make() as { use(path: string, ...all: Middleware[]): unknown } & ((...args: never[]) => void)
      for (const [path, end] of ends) for (const one of [guard, end]) app.use(path, one)
      const server = createServer(app as never)
      gate.attach(server)
      return { server, gate: gate as Gate<never> }
    },
  }
}

const missing: Middleware = (_req, res) => res.writeHead(404).end()

const plain: LifeAdapter = {
  name: 'node:http',
  async build(shared, options) {
    const { gate, guard, ends } = nodeParts(shared, options)
    const server = createServer((req, res) => {
      const end = ends.get(req.url?.split('?')[0] ?? '')
      guard(req, res, () => void (end ?? missing)(req, res, () => missing(req, res, () => undefined)))
    })
    gate.attach(server)
    return { server, gate: gate as Gate<never> }
  },
}

const koa: LifeAdapter = {
  name: 'Koa',
  async build(shared, options) {
    const { gate, judge, handler, library } = partsOf(shared, (ctx: KoaContext) => ctx.req, options)
    const app = new Koa()
    const router = new Router()
    const guard: Koa.Middleware = async (ctx, next) => {
      const refusal = await judge(ctx.req)
      if (refusal === undefined) return await next()
      ctx.status = refusal
      if (refusal === 302) ctx.set('Location', '/login')
      ctx.body = {}
      return undefined
    }
    app.silent = true
    app.use(shared.door === 'schemes' ? (forKoa.authenticate(gate) as never) : guard)
    router.get('/live', forKoa.websocket(gate, handler as never) as never)
    router.get('/library', forKoa.accept(gate, library) as never)
    router.all('/renew', forKoa.renew(gate) as never)
    router.get('/me', (ctx) => {
      ctx.body = 'me'
    })
    app.use(router.routes())
    const server = createServer(app.callback())
    gate.attach(server)
    return { server, gate: gate as Gate<never> }
  },
}

const fastifyApp: LifeAdapter = {
  name: 'Fastify',
  async build(shared, options) {
    const { gate, judge, handler, library } = partsOf(shared, (request: FastifyRequest) => request.raw, options)
    const app = fastify() as FastifyInstance
    const guard = async (request: FastifyRequest, reply: FastifyReply): Promise<unknown> => {
      const refusal = await judge(request.raw)
      if (refusal === undefined) return undefined
      if (refusal === 302) reply.header('Location', '/login')
      return await reply.code(refusal).send({})
    }
    app.addHook('onRequest', shared.door === 'schemes' ? forFastify.authenticate(gate) : guard)
    app.get('/live', forFastify.websocket(gate, handler))
    app.get('/library', forFastify.accept(gate, library))
    app.route({ method: ['GET', 'POST'], url: '/renew', handler: forFastify.renew(gate) })
    app.get('/me', async () => 'me')
    await app.ready()
    gate.attach(app.server)
    return { server: app.server, gate: gate as Gate<never>, close: async () => await app.close() }
  },
}

interface Env {
  Bindings: HttpBindings
}

const hono: LifeAdapter = {
  name: 'Hono',
  async build(shared, options) {
    const { gate, judge, handler, library } = partsOf(shared, (c: HonoContext<Env>) => c.env.incoming, options)
    const app = new Hono<Env>()
    const guard: MiddlewareHandler<Env> = async (c, next) => {
      const refusal = await judge(c.env.incoming)
      if (refusal === undefined) return await next()
      return c.body('{}', refusal as 401, refusal === 302 ? { Location: '/login' } : {})
    }
    app.use(shared.door === 'schemes' ? (forHono.authenticate(gate) as never) : guard)
    app.get('/live', forHono.websocket(gate, handler) as never)
    app.get('/library', forHono.accept(gate, library) as never)
    app.all('/renew', forHono.renew(gate) as never)
    app.get('/me', (c) => c.text('me'))
    const server = createAdaptorServer({ fetch: app.fetch }) as Server
    gate.attach(server)
    return { server, gate: gate as Gate<never> }
  },
}

type NestRequest = IncomingMessage & { readonly raw?: IncomingMessage }

function nestGuard(judge: (req: IncomingMessage) => number | Promise<never> | undefined): CanActivate {
  return {
    async canActivate(context: ExecutionContext): Promise<boolean> {
      const http = context.switchToHttp()
      const req = http.getRequest<NestRequest>()
      const refusal = await judge(req.raw ?? req)
      if (refusal === 302) http.getResponse<{ header(name: string, value: string): void }>().header('Location', '/')
      if (refusal !== undefined) throw new HttpException('no', refusal)
      return true
    },
  }
}

function nestRoutes(guard: CanActivate, ends: ReadonlyArray<readonly [MethodDecorator, forNest.NestEndpoint]>) {
  const Routes = class {
    me(): string {
      return 'me'
    }
  }
  method(Routes, 'me', Get('/me'), UseGuards(guard))
  for (const [n, [verb, end]] of ends.entries()) {
    const value = (req: object, res: object): unknown => end(req, res)
    Object.defineProperty(Routes.prototype, `end${n}`, { value, configurable: true, writable: true })
    method(Routes, `end${n}`, verb, UseGuards(guard))
    parameters(Routes, `end${n}`, Req(), Res())
  }
  Controller()(Routes)
  return Routes
}

function nest(platform: Platform): LifeAdapter {
  return {
    name: `NestJS on ${platform}`,
    async build(shared, options) {
      const { gate, judge, handler, library } = partsOf(shared, (req: NestRequest) => req.raw ?? req, options)
      const renew = forNest.renew(gate)
      const routes = nestRoutes(shared.door === 'schemes' ? forNest.authenticate(gate) : nestGuard(judge), [
        [Get('/live'), forNest.websocket(gate, handler)],
        [Get('/library'), forNest.accept(gate, library)],
        [Post('/renew'), renew],
        [Get('/renew'), renew],
      ])
      const Root = class {}
      Module({ controllers: [routes] })(Root)
      const adapter = platform === 'express' ? new ExpressAdapter() : new FastifyAdapter()
      const app = await NestFactory.create(Root, adapter, { logger: false, abortOnError: false })
      await app.init()
      const instance: unknown = app.getHttpAdapter().getInstance()
      if (platform === 'fastify') await (instance as FastifyInstance).ready()
      const server = app.getHttpServer() as Server
      gate.attach(server)
      return { server, gate: gate as Gate<never>, close: async () => await app.close() }
    },
  }
}

export const ADAPTERS: readonly LifeAdapter[] = [
  plain,
  expressLike('Connect', () => connect()),
  expressLike('Express 4', () => express4()),
  expressLike('Express 5', () => express()),
  koa,
  fastifyApp,
  hono,
  nest('express'),
  nest('fastify'),
]
