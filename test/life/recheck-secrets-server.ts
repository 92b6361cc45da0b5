// A server process of its own: its heap holds nothing of a client, and it knows secrets by their digest alone.
import { createHash } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import { setFlagsFromString, writeHeapSnapshot } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createAdaptorServer, type HttpBindings } from '@hono/node-server'
import express, { type RequestHandler } from 'express'
import fastify from 'fastify'
import { Hono, type MiddlewareHandler } from 'hono'
import Koa from 'koa'
import { websocket as onFastify } from '../../src/fastify.ts'
import { websocket as onHono } from '../../src/hono.ts'
import { createGate, type Gate, type GateOptions } from '../../src/index.ts'
import { websocket as onKoa } from '../../src/koa.ts'
import { basic, bearer } from '../../src/schemes.ts'
import { listen } from '../support/servers.ts'

const digests = new Set((process.env['DIGESTS'] ?? '').split(','))
const isKnown = (secret: string): boolean => digests.has(createHash('sha256').update(secret).digest('hex'))

interface Headers {
  readonly authorization?: string | undefined
  readonly cookie?: string | undefined
}

function lets({ authorization = '', cookie = '' }: Headers): boolean {
  const [scheme, value = ''] = authorization.split(' ')
  if (scheme === 'Basic') return isKnown(Buffer.from(value, 'base64').toString().split(':')[1] ?? '')
  return isKnown(scheme === 'Bearer' ? value : cookie.slice('sid='.length))
}

type Recheck = NonNullable<GateOptions<never>['recheck']>
const identify = (): { subject: string } => ({ subject: 'alice' })
const OFTEN: Recheck = { every: 100, jitter: 0 }

function express_(recheck: Recheck): Server {
  const gate = createGate({ identify, recheck })
  const app = express()
  app.use((req, res, next) => (lets(req.headers) ? next() : void res.sendStatus(401)))
  app.get('/ws', gate.websocket(() => undefined) as RequestHandler)
  return attached(gate, createServer(app))
}

function koa_(): Server {
  const gate = createGate<Koa.ParameterizedContext>({ identify, recheck: OFTEN })
  const live = onKoa(gate, () => undefined)
  const app = new Koa()
  app.use(async (ctx) =>
    lets(ctx.headers as Headers) ? void (await live(ctx, async () => undefined)) : ctx.throw(401),
  )
  const listener = app.callback()
  return attached(
    gate,
    createServer((req, res) => void listener(req, res)),
  )
}

async function fastify_(): Promise<Server> {
  const gate = createGate<{ raw: never }>({ identify, recheck: OFTEN })
  const app = fastify()
  app.addHook('preHandler', async (request, reply) => (lets(request.headers) ? undefined : reply.code(401).send()))
  app.get(
    '/ws',
    onFastify(gate as never, () => undefined),
  )
  await app.ready()
  return attached(gate, app.server)
}

function hono_(): Server {
  const gate = createGate({ identify, recheck: OFTEN })
  const app = new Hono<{ Bindings: HttpBindings }>()
  app.use(async (c, next) => {
    if (!lets(c.env.incoming.headers)) return c.text('no', 401)
    await next()
    return undefined
  })
  app.get('/ws', onHono(gate as never, () => undefined) as MiddlewareHandler)
  return attached(gate, createAdaptorServer({ fetch: app.fetch }) as Server)
}

function schemes_(): Server {
  const who = (secret: string): { subject: string } | null => (isKnown(secret) ? { subject: 'alice' } : null)
  const gate = createGate({
    authenticate: [basic({ verify: (_name, password) => who(password) }), bearer({ verify: who })],
    recheck: OFTEN,
  })
  const live = gate.websocket(() => undefined)
  return attached(
    gate,
    createServer((req, res) => live(req, res)),
  )
}

let rechecked = 0

function attached(gate: Pick<Gate<never>, 'attach' | 'on'>, server: Server): Server {
  gate.on('rechecked', () => rechecked++)
  gate.attach(server)
  return server
}

const servers: Readonly<Record<string, Server>> = {
  Express: express_(OFTEN),
  Koa: koa_(),
  Fastify: await fastify_(),
  Hono: hono_(),
  schemes: schemes_(),
  off: express_(false),
  check: express_({ every: 100, jitter: 0, check: () => true }),
}
const ports: Record<string, number> = {}
for (const [name, server] of Object.entries(servers)) ports[name] = (await listen(server)).port

process.on('message', async (file: string) => {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as () => void
  for (let n = 0; n < 5; n++) {
    gc()
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  process.send?.({ file: writeHeapSnapshot(file), rechecked })
})
process.send?.(ports)
