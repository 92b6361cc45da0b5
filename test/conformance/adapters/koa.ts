import { Readable } from 'node:stream'
import Router from '@koa/router'
import Koa, { type Middleware, type ParameterizedContext } from 'koa'
import type { Gate } from '../../../src/index.ts'
import { authenticate, ticket, websocket } from '../../../src/koa.ts'
import { valuesOf } from '../../support/response.ts'
import {
  asyncContext,
  BEFORE,
  chunks,
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
import { makeGate, serve, type Adapter } from './types.ts'

type Context = ParameterizedContext

function answer(ctx: Context, { status, headers, body }: Answer): void {
  ctx.body = body === '' ? null : body
  ctx.status = status
  for (const [name] of headers) ctx.set(name, valuesOf(headers, name))
}

const guard: Middleware = async (ctx, next) => {
  const refusal = judge(ctx.req)
  if (refusal === undefined) await asyncContext.run('alice', next)
  else answer(ctx, refusal)
}

function endOf(gate: Gate<Context>, end: End): Middleware {
  if (end.type === 'websocket')
    return websocket(
      gate,
      handlerFor(end.handler, (ctx: Context) => ctx.req),
      end.options,
    )
  if (end.type === 'ticket') return ticket(gate, end.path)
  if (end.type === 'throws') {
    return () => {
      throw failure()
    }
  }
  return async (ctx) => {
    await writeEnd(ctx, end)
  }
}

async function writeEnd(ctx: Context, end: Exclude<End, { type: 'websocket' | 'ticket' | 'throws' }>): Promise<void> {
  switch (end.type) {
    case 'rejects':
      await Promise.resolve()
      throw failure()
    case 'answer':
      answer(ctx, { headers: [], body: '', ...end })
      return
    case 'hangs':
      await new Promise(() => undefined)
      return
    case 'drips': {
      const body = new Readable({ read: () => undefined })
      body.push(`data: ${PRIVATE_TEXT}\n\n`)
      ctx.status = end.status
      ctx.type = end.contentType
      ctx.body = body
      return
    }
    case 'big':
      ctx.status = end.status
      ctx.body = Readable.from(chunks(end.kib), { objectMode: false })
      return
    case 'hints':
      ctx.res.writeEarlyHints({ link: '</style.css>; rel=preload; as=style' })
      answer(ctx, { status: end.status, headers: [], body: 'no' })
      return
    case 'bare101':
      ctx.body = null
      ctx.status = 101
  }
}

const OUTERS: Record<Outer, Middleware> = {
  'throws-after': async (_ctx, next) => {
    await next()
    throw failure()
  },
  'forbids-after': async (ctx, next) => {
    await next()
    answer(ctx, { ...LATE_REFUSAL, headers: [] })
  },
  'replaces-after': async (ctx, next) => {
    await next()
    answer(ctx, { ...REPLACEMENT, headers: [] })
  },
  'sets-after': async (ctx, next) => {
    await next()
    ctx.set('X-After', 'yes')
  },
  'sets-before': async (ctx, next) => {
    for (const [name, value] of BEFORE) ctx.append(name, value)
    await next()
  },
  'sets-forbidden': async (ctx, next) => {
    for (const [name, value] of FORBIDDEN) ctx.set(name, value)
    await next()
  },
}

export const koaApp: Adapter = {
  framework: 'koa',
  async build(setup) {
    const gate = makeGate(setup, (ctx: Context) => ctx.req)
    const app = new Koa()
    app.silent = true
    app.use(async (ctx, next) => {
      setup.observer.watch(ctx.req, ctx.res)
      await next()
    })
    const router = new Router()
    for (const route of ROUTES) {
      const chain: Middleware[] = []
      if (route.outer !== undefined) chain.push(OUTERS[route.outer])
      if (route.guarded !== false) chain.push(setup.door === 'schemes' ? authenticate(gate) : guard)
      router.register(route.path, [methodOf(route)], [...chain, endOf(gate, route.end)])
    }
    app.use(router.routes())
    const listener = app.callback()
    const server = serve(setup, (req, res) => void listener(req, res))
    gate.attach(server)
    return { server, gate }
  },
}
