import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { getRequestListener, type HttpBindings } from '@hono/node-server'
import express, { type RequestHandler } from 'express'
import fastify from 'fastify'
import { Hono } from 'hono'
import Koa from 'koa'
import { websocket as onFastify } from '../../src/fastify.ts'
import { websocket as onHono } from '../../src/hono.ts'
import { createGate, type Gate, type GateOptions } from '../../src/index.ts'
import { websocket as onKoa } from '../../src/koa.ts'
import { patientClock } from '../support/beats.ts'

export const KEY = 'secret-key-7f3a'

/** When the app of a test decides: at once, or when the test says so. */
export interface Decider {
  /** Resolves once a handshake is being decided. */
  readonly asked: Promise<void>
  decide(): void
}

export function pendingDecision(): Decider & { readonly wait: () => Promise<void> } {
  let onAsked: () => void = () => undefined
  let onDecide: () => void = () => undefined
  const asked = new Promise<void>((resolve) => {
    onAsked = resolve
  })
  const decided = new Promise<void>((resolve) => {
    onDecide = resolve
  })
  return {
    asked,
    decide: onDecide,
    wait: async () => {
      onAsked()
      await decided
    },
  }
}

export interface MadeApp {
  readonly server: Server
  readonly gate: Gate<never>
}

/** Runs before the key is looked at, with Node's own objects whatever the framework. */
export type Before = (req: IncomingMessage, res: ServerResponse) => Promise<void>
type Options = Omit<GateOptions, 'identify' | 'authenticate'> & {
  readonly identify?: () => { subject: string } | Promise<{ subject: string }>
}
type Echo = (socket: {
  on(event: 'message', listener: (data: Buffer) => void): unknown
  send(text: string): void
}) => void

const echo: Echo = (socket) => {
  socket.on('message', (data) => socket.send(String(data)))
}
const identify = (): { subject: string } => ({ subject: 'ann' })

/** The same app on each framework: `before`, then the key, then the echo on /ws. */
export const APPS: Readonly<Record<string, (before: Before, options?: Options) => Promise<MadeApp>>> = {
  async Express(before, options = {}) {
    const app = express()
    const gate = createGate({ identify, clock: patientClock, ...options })
    app.use(async (req, res, next) => {
      await before(req, res)
      if (req.headers['x-api-key'] === KEY) next()
      else res.status(401).json({ error: 'no key' })
    })
    app.get('/ws', gate.websocket(echo as never))
    const server = createServer(app)
    gate.attach(server)
    return { server, gate: gate as Gate<never> }
  },
  async Koa(before, options = {}) {
    const app = new Koa()
    const gate = createGate<Koa.Context>({ identify, clock: patientClock, ...options })
    app.use(async (ctx, next) => {
      await before(ctx.req, ctx.res)
      if (ctx.get('x-api-key') !== KEY) ctx.throw(401, 'no key')
      await next()
    })
    const route = onKoa(gate, echo as never)
    app.use(async (ctx, next) => (ctx.path === '/ws' ? route(ctx, next) : next()))
    const server = createServer(app.callback())
    gate.attach(server)
    return { server, gate: gate as unknown as Gate<never> }
  },
  async Fastify(before, options = {}) {
    const app = fastify()
    const gate = createGate<{ raw: IncomingMessage }>({ identify, clock: patientClock, ...options })
    app.addHook('onRequest', async (request, reply) => {
      await before(request.raw, reply.raw)
      if (request.headers['x-api-key'] !== KEY) await reply.code(401).send({ error: 'no key' })
    })
    app.get('/ws', onFastify(gate, echo as never))
    await app.ready()
    gate.attach(app.server)
    return { server: app.server, gate: gate as unknown as Gate<never> }
  },
  async Hono(before, options = {}) {
    const app = new Hono<{ Bindings: HttpBindings }>()
    const gate = createGate<{ env: unknown }>({ identify, clock: patientClock, ...options })
    app.use(async (c, next) => {
      await before(c.env.incoming, c.env.outgoing)
      if (c.req.header('x-api-key') !== KEY) return c.json({ error: 'no key' }, 401)
      return next()
    })
    app.get('/ws', onHono(gate as never, echo as never) as never)
    const server = createServer(getRequestListener(app.fetch))
    gate.attach(server)
    return { server, gate: gate as unknown as Gate<never> }
  },
}

/** An Express app with one guard and whatever the test adds. */
export function expressApp(
  add: (app: express.Express, gate: Gate) => void,
  options: Omit<GateOptions, 'authenticate'> = {},
): MadeApp & { readonly requireKey: RequestHandler } {
  const app = express()
  const gate = createGate({ identify, clock: patientClock, ...options }) as unknown as Gate
  const requireKey: RequestHandler = (req, res, next) =>
    req.headers['x-api-key'] === KEY ? next() : void res.status(401).json({ error: 'no key' })
  add(app, gate)
  const server = createServer(app)
  gate.attach(server)
  return { server, gate: gate as unknown as Gate<never>, requireKey }
}
