import type { IncomingMessage } from 'node:http'
import type { Server } from 'node:http'
import {
  Controller,
  Get,
  HttpException,
  Module,
  Req,
  Res,
  UseGuards,
  type CanActivate,
  type ExecutionContext,
} from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { ExpressAdapter } from '@nestjs/platform-express'
import { FastifyAdapter } from '@nestjs/platform-fastify'
import type { Express } from 'express'
import type { FastifyRequest } from 'fastify'
import { createGate, type Gate } from '../../src/index.ts'
import { websocket } from '../../src/nest.ts'
import { method, parameters } from '../adapters/nest-app.ts'
import { TtlStore } from './recheck-rows.ts'
import { gateOptions, type AppOptions, type Built, type SessionStack, type World } from './recheck-world.ts'
import {
  addExpressPages,
  addFastifyPages,
  addFastifySession,
  expressSession,
  identifyFastify,
  notesIt,
  passportSession,
  type Login,
} from './session-apps.ts'

type Platform = 'express' | 'fastify'
type NestRequest = IncomingMessage & {
  session: Login & { cookie: { expires?: Date | null } }
  sessionID: string
  user?: { id: string }
}

function guardOf({ people }: World): CanActivate {
  return {
    async canActivate(context: ExecutionContext): Promise<boolean> {
      const http = context.switchToHttp()
      const { session, user } = http.getRequest<NestRequest>()
      const name = user?.id ?? session.user
      const status = name === undefined ? 401 : await people.statusOf(name)
      if (status === 302)
        http.getResponse<{ header(name: string, value: string): unknown }>().header('Location', '/login')
      if (status !== 200) throw new HttpException('not you', status)
      return true
    },
  }
}

function controllerOf(gate: Gate<never>, world: World): new () => object {
  const live = websocket(gate, () => undefined)
  const Live = class {
    ws(req: object, res: object): unknown {
      return live(req, res)
    }
  }
  method(Live, 'ws', Get('/ws'), UseGuards(guardOf(world)))
  parameters(Live, 'ws', Req(), Res())
  Controller()(Live)
  return Live
}

function gateOf(platform: Platform, world: World, options: AppOptions, store: TtlStore): Gate<never> {
  const common = { ...gateOptions(world, options), ...(options.watched === true ? { sessionStore: store } : {}) }
  if (platform === 'fastify') {
    const identify = async (request: FastifyRequest): ReturnType<typeof identifyFastify> =>
      await identifyFastify(world, request)
    return createGate<FastifyRequest>({ ...common, identify }) as unknown as Gate<never>
  }
  const identify = async ({
    session,
    sessionID,
    user,
  }: NestRequest): Promise<{ subject: string; session: string; expiresAt: Date | null }> => {
    await world.points.at('identify')
    return { subject: String(user?.id ?? session.user), session: sessionID, expiresAt: session.cookie.expires ?? null }
  }
  return createGate<NestRequest>({ ...common, identify }) as unknown as Gate<never>
}

async function build(platform: Platform, world: World, options: AppOptions): Promise<Built> {
  const store = new TtlStore(world.rows)
  const gate = gateOf(platform, world, options, store)
  const controllers = [controllerOf(gate, world)]
  const App = class {}
  Module({ controllers })(App)
  const adapter = platform === 'express' ? new ExpressAdapter() : new FastifyAdapter()
  const app = await NestFactory.create(App, adapter, { logger: false, abortOnError: false, bodyParser: false })
  const instance: unknown = app.getHttpAdapter().getInstance()
  if (platform === 'express') {
    app.use((req: object, res: { once(event: 'close', listener: () => void): void }, next: () => void) => {
      world.resources.taken++
      world.seen(req, res)
      res.once('close', () => world.resources.released++)
      next()
    })
    app.use(expressSession(store, { rolling: true }), ...passportSession(world))
    if (options.notes === true) app.use(notesIt)
    addExpressPages(instance as Express, world)
  } else {
    await addFastifySession(instance as object, store, true)
    addFastifyPages(instance as object, world, options)
  }
  await app.init()
  if (platform === 'fastify') await (instance as { ready(): Promise<void> }).ready()
  const server = app.getHttpServer() as Server
  return { server, gate: gate as unknown as Built['gate'], store, close: async () => await app.close() }
}

function nestStack(platform: Platform): SessionStack {
  const middleware = platform === 'express' ? 'express-session, passport' : '@fastify/session'
  return {
    name: `NestJS, ${middleware}`,
    keeps: 'store',
    moves: true,
    build: async (world, options) => await build(platform, world, options),
  }
}

export const NEST: readonly SessionStack[] = [nestStack('express'), nestStack('fastify')]
