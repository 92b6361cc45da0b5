import { Readable } from 'node:stream'
import fastify, {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type onRequestHookHandler,
} from 'fastify'
import { authenticate, ticket, websocket } from '../../../src/fastify.ts'
import type { Gate } from '../../../src/index.ts'
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
  type RouteSpec,
} from '../app.ts'
import { makeGate, type Adapter, type Setup } from './types.ts'

function answer(reply: FastifyReply, { status, headers, body }: Answer): FastifyReply {
  reply.code(status)
  // A second value would take the place of the first.
  for (const [name] of headers) {
    const values = valuesOf(headers, name)
    reply.removeHeader(name)
    reply.header(name, values.length === 1 ? values[0] : values)
  }
  return reply.send(body === '' ? undefined : body)
}

const guard: onRequestHookHandler = (request, reply, done) => {
  const refusal = judge(request.raw)
  if (refusal === undefined) asyncContext.run('alice', done)
  else answer(reply, refusal)
}

type FastifyRoute = (request: FastifyRequest, reply: FastifyReply) => unknown

function endOf(gate: Gate<FastifyRequest>, end: End): FastifyRoute {
  if (end.type === 'websocket') {
    return websocket(
      gate,
      handlerFor(end.handler, (request: FastifyRequest) => request.raw),
      end.options,
    )
  }
  if (end.type === 'ticket') return ticket(gate, end.path)
  if (end.type === 'throws') {
    return () => {
      throw failure()
    }
  }
  return (_request, reply) => writeEnd(reply, end)
}

export function writeEnd(reply: FastifyReply, end: Exclude<End, { type: 'websocket' | 'ticket' | 'throws' }>): unknown {
  switch (end.type) {
    case 'rejects':
      return Promise.resolve().then(() => {
        throw failure()
      })
    case 'answer':
      return answer(reply, { headers: [], body: '', ...end })
    case 'hangs':
      return new Promise(() => undefined)
    case 'drips': {
      const body = new Readable({ read: () => undefined })
      body.push(`data: ${PRIVATE_TEXT}\n\n`)
      return reply.code(end.status).type(end.contentType).send(body)
    }
    case 'big':
      return reply.code(end.status).send(Readable.from(chunks(end.kib), { objectMode: false }))
    case 'hints':
      reply.raw.writeEarlyHints({ link: '</style.css>; rel=preload; as=style' })
      return answer(reply, { status: end.status, headers: [], body: 'no' })
    case 'bare101':
  }
  return reply.code(101).send()
}

/** Each with hooks, in a scope of its own. */
const OUTERS: Record<Outer, (scope: FastifyInstance) => void> = {
  'throws-after'(scope) {
    scope.addHook('onSend', async () => {
      throw failure()
    })
  },
  'forbids-after'(scope) {
    scope.addHook('onSend', async (_request, reply) => {
      reply.code(LATE_REFUSAL.status)
      return LATE_REFUSAL.body
    })
  },
  'replaces-after'(scope) {
    scope.addHook('onSend', async (_request, reply) => {
      reply.code(REPLACEMENT.status)
      return REPLACEMENT.body
    })
  },
  'sets-after'(scope) {
    scope.addHook('onSend', async (_request, reply) => {
      reply.header('X-After', 'yes')
    })
  },
  'sets-before'(scope) {
    scope.addHook('onRequest', async (_request, reply) => {
      for (const [name, value] of BEFORE) reply.header(name, value)
    })
  },
  'sets-forbidden'(scope) {
    scope.addHook('onRequest', async (_request, reply) => {
      for (const [name, value] of FORBIDDEN) reply.header(name, value)
    })
  },
}

async function addRoute(
  app: FastifyInstance,
  gate: Gate<FastifyRequest>,
  setup: Setup,
  route: RouteSpec,
): Promise<void> {
  await app.register(async (scope) => {
    if (route.outer !== undefined) OUTERS[route.outer](scope)
    if (route.guarded !== false) scope.addHook('onRequest', setup.door === 'schemes' ? authenticate(gate) : guard)
    scope.route({ method: methodOf(route), url: route.path, handler: endOf(gate, route.end) })
  })
}

export const fastifyApp: Adapter = {
  framework: 'fastify',
  async build(setup) {
    const gate = makeGate(setup, (request: FastifyRequest) => request.raw)
    const app = (setup.tls === undefined ? fastify() : fastify({ https: setup.tls })) as FastifyInstance
    app.addHook('onRequest', async (request, reply) => {
      setup.observer.watch(request.raw, reply.raw)
    })
    for (const route of ROUTES) await addRoute(app, gate, setup, route)
    await app.ready()
    gate.attach(app.server)
    return { server: app.server, gate, close: async () => await app.close() }
  },
}
