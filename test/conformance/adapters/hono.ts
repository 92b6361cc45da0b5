import type { Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { createAdaptorServer, type HttpBindings } from '@hono/node-server'
import { Hono, type Context as HonoContext, type MiddlewareHandler } from 'hono'
import type { StatusCode } from 'hono/utils/http-status'
import { authenticate, ticket, websocket } from '../../../src/hono.ts'
import type { Gate } from '../../../src/index.ts'
import {
  asyncContext,
  BEFORE,
  CHUNK,
  failure,
  FORBIDDEN,
  handlerFor,
  judge,
  LATE_REFUSAL,
  methodOf,
  PRIVATE_TEXT,
  REPLACEMENT,
  ROUTES,
  type Answer,
  type End,
  type Outer,
} from '../app.ts'
import { makeGate, type Adapter, type Setup } from './types.ts'

interface Env {
  Bindings: HttpBindings
}
type Context = HonoContext<Env>
type Middleware = MiddlewareHandler<Env>

function answer(c: Context, { status, headers, body }: Answer): Response {
  const fields: Record<string, string[]> = {}
  for (const [name, value] of headers) (fields[name] ??= []).push(value)
  return c.newResponse(body === '' ? null : body, status as StatusCode, fields)
}

const guard: Middleware = async (c, next) => {
  const refusal = judge(c.env.incoming)
  if (refusal !== undefined) return answer(c, refusal)
  await asyncContext.run('alice', next)
  return undefined
}

function endOf(gate: Gate<Context>, end: End): Middleware {
  if (end.type === 'websocket') {
    return websocket(
      gate,
      handlerFor(end.handler, (c: Context) => c.env.incoming),
      end.options,
    ) as Middleware
  }
  if (end.type === 'ticket') return ticket(gate, end.path) as Middleware
  if (end.type === 'throws') {
    return () => {
      throw failure()
    }
  }
  return async (c) => await writeEnd(c, end)
}

async function writeEnd(c: Context, end: Exclude<End, { type: 'websocket' | 'ticket' | 'throws' }>): Promise<Response> {
  switch (end.type) {
    case 'rejects':
      await Promise.resolve()
      throw failure()
    case 'answer':
      return answer(c, { headers: [], body: '', ...end })
    case 'hangs':
      return await new Promise(() => undefined)
    case 'drips':
      return new Response(dripping(), { status: end.status, headers: { 'Content-Type': end.contentType } })
    case 'big':
      return new Response(bigBody(end.kib), { status: end.status })
    case 'hints':
      c.env.outgoing.writeEarlyHints({ link: '</style.css>; rel=preload; as=style' })
      return answer(c, { status: end.status, headers: [], body: 'no' })
    case 'bare101':
  }
  return c.body(null, 101 as StatusCode)
}

function dripping(): ReadableStream {
  return new ReadableStream({
    start(controller) {
      controller.enqueue(Buffer.from(`data: ${PRIVATE_TEXT}\n\n`))
    },
  })
}

function bigBody(kib: number): ReadableStream {
  let left = kib / 64
  return new ReadableStream({
    pull(controller) {
      if (left-- > 0) controller.enqueue(CHUNK)
      else controller.close()
    },
  })
}

const OUTERS: Record<Outer, Middleware> = {
  'throws-after': async (_c, next) => {
    await next()
    throw failure()
  },
  'forbids-after': async (c, next) => {
    await next()
    c.res = new Response(LATE_REFUSAL.body, { status: LATE_REFUSAL.status })
  },
  'replaces-after': async (c, next) => {
    await next()
    c.res = new Response(REPLACEMENT.body, { status: REPLACEMENT.status })
  },
  'sets-after': async (c, next) => {
    await next()
    c.header('X-After', 'yes')
  },
  'sets-before': async (c, next) => {
    for (const [name, value] of BEFORE) c.header(name, value, { append: true })
    await next()
  },
  'sets-forbidden': async (c, next) => {
    for (const [name, value] of FORBIDDEN) c.header(name, value)
    await next()
  },
}

function serverFor(setup: Setup, app: Hono<Env>): Server {
  const tls = setup.tls === undefined ? {} : { createServer: createTlsServer, serverOptions: setup.tls }
  return createAdaptorServer({ fetch: app.fetch, ...tls }) as Server
}

export const honoApp: Adapter = {
  framework: 'hono',
  async build(setup) {
    const gate = makeGate(setup, (c: Context) => c.env.incoming)
    const app = new Hono<Env>()
    app.onError((_error, c) => c.text('the app failed', 500))
    app.use(async (c, next) => {
      setup.observer.watch(c.env.incoming, c.env.outgoing)
      await next()
    })
    for (const route of ROUTES) {
      const chain: Middleware[] = []
      if (route.outer !== undefined) chain.push(OUTERS[route.outer])
      if (route.guarded !== false) chain.push(setup.door === 'schemes' ? (authenticate(gate) as Middleware) : guard)
      app.on(methodOf(route), [route.path], ...chain, endOf(gate, route.end))
    }
    const server = serverFor(setup, app)
    gate.attach(server)
    return { server, gate }
  },
}
