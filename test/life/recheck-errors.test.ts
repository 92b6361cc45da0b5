import assert from 'node:assert/strict'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { after, describe, test } from 'node:test'
import { createAdaptorServer, type HttpBindings } from '@hono/node-server'
import express, { type RequestHandler } from 'express'
import { rateLimit } from 'express-rate-limit'
import fastify, { type FastifyRequest } from 'fastify'
import { Hono, type Context as HonoContext, type MiddlewareHandler } from 'hono'
import Koa, { type ParameterizedContext } from 'koa'
import { websocket as fastifyWebsocket } from '../../src/fastify.ts'
import { websocket as honoWebsocket } from '../../src/hono.ts'
import { createGate, type GateOptions } from '../../src/index.ts'
import { websocket as koaWebsocket } from '../../src/koa.ts'
import { trapFaults } from '../support/trap.ts'
import {
  gateOptions,
  MINUTE,
  SECOND,
  start,
  turns,
  type AppOptions,
  type Built,
  type Opened,
  type SessionStack,
  type Site,
  type World,
} from './recheck-world.ts'
import { EXPRESS } from './session-apps.ts'

const trap = trapFaults()
after(async () => await trap.assertNone())

const isOpen = ({ ws }: Opened): boolean => ws.readyState === ws.OPEN
const FAILED = { code: 1013, reason: 'recheck_failed' }
const outcomes = ({ events }: Site): string[] =>
  events.flatMap((event) => (event.type === 'rechecked' ? [event.outcome] : []))

type How = 'fine' | 'throws' | 'rejects' | 'hangs' | '503' | '500' | '429' | 'destroys'
type Ask = () => How

/** The app is away in this way; its answer where it has one. */
async function fail(how: How): Promise<number | undefined> {
  if (how === 'throws') throw new Error('the database is away')
  if (how === 'hangs') return await new Promise(() => undefined)
  await turns(1)
  if (how === 'rejects') throw new Error('the database has gone away')
  return how === 'fine' || how === 'destroys' ? undefined : Number(how)
}

type Away = (world: World, options: AppOptions, ask: Ask) => Promise<Built>

const subject = (): { subject: string } => ({ subject: 'alice' })

const onExpress: Away = async (world, options, ask) => {
  const gate = createGate({ ...gateOptions(world, options), identify: subject })
  const app = express()
  app.set('env', 'test')
  app.get(
    '/ws',
    async (_req, res, next) => {
      const how = ask()
      if (how === 'destroys') return void res.destroy()
      const status = await fail(how)
      return status === undefined ? next() : void res.sendStatus(status)
    },
    gate.websocket(() => undefined) as RequestHandler,
  )
  return { server: createServer(app), gate }
}

const onKoa: Away = async (world, options, ask) => {
  const gate = createGate<ParameterizedContext>({ ...gateOptions(world, options), identify: subject })
  const live = koaWebsocket(gate, () => undefined)
  const app = new Koa()
  app.silent = true
  app.use(async (ctx) => {
    const how = ask()
    if (how === 'destroys') return void ctx.res.destroy()
    const status = await fail(how)
    if (status === undefined) await live(ctx, async () => undefined)
    else ctx.throw(status)
  })
  const listener = app.callback()
  return { server: createServer((req, res) => void listener(req, res)), gate }
}

const onFastify: Away = async (world, options, ask) => {
  const gate = createGate<FastifyRequest>({ ...gateOptions(world, options), identify: subject })
  const app = fastify()
  app.addHook('preHandler', async (_request, reply) => {
    const how = ask()
    if (how === 'destroys') return void reply.raw.destroy()
    const status = await fail(how)
    return status === undefined ? undefined : reply.code(status).send('away')
  })
  app.get(
    '/ws',
    fastifyWebsocket(gate, () => undefined),
  )
  await app.ready()
  return { server: app.server, gate, close: async () => await app.close() }
}

const onHono: Away = async (world, options, ask) => {
  const gate = createGate<HonoContext<{ Bindings: HttpBindings }>>({
    ...gateOptions(world, options),
    identify: subject,
  })
  const app = new Hono<{ Bindings: HttpBindings }>()
  app.onError((_error, c) => c.text('broken', 500))
  app.use(async (c, next) => {
    const how = ask()
    if (how === 'destroys') c.env.outgoing.destroy()
    const status = await fail(how)
    if (status !== undefined) return c.text('away', status as 503)
    await next()
    return undefined
  })
  app.get('/ws', honoWebsocket(gate, () => undefined) as MiddlewareHandler)
  return { server: createAdaptorServer({ fetch: app.fetch }) as Server, gate }
}

const APPS: ReadonlyArray<readonly [string, Away]> = [
  ['Express', onExpress],
  ['Koa', onKoa],
  ['Fastify', onFastify],
  ['Hono', onHono],
]
const WAYS: readonly How[] = ['throws', 'rejects', 'hangs', '503', '500', '429', 'destroys']

interface Failing extends AsyncDisposable {
  readonly site: Site
  readonly opened: readonly Opened[]
  set(how: How): void
}

async function failing(
  away: Away,
  onError: NonNullable<Exclude<GateOptions<never>['recheck'], false | undefined>>['onError'],
): Promise<Failing> {
  let how: How = 'fine'
  const stack: Pick<SessionStack, 'build'> = { build: (world, options) => away(world, options, () => how) }
  const site = await start(stack, {
    gate: { recheck: { every: '60s', jitter: 0, onError: onError ?? {} }, limits: { deadline: 2000 } },
  })
  const headers = { 'X-Api-Key': 'k' }
  const opened = [await site.open(headers), await site.open(headers)]
  return { site, opened, set: (next) => void (how = next), [Symbol.asyncDispose]: () => site[Symbol.asyncDispose]() }
}

for (const [name, away] of APPS) {
  describe(`an app on ${name} that is away`, () => {
    for (const how of WAYS) {
      test(`it ${how}: ends nobody before the grace, all after it`, async () => {
        await using t = await failing(away, { after: '2m' })
        t.set(how)
        const first = t.site.nextRecheck()
        await t.site.live(MINUTE + 3 * SECOND)
        assert.equal((await first).outcome, 'error')
        await t.site.live(2 * MINUTE - 6 * SECOND)
        assert.ok(t.opened.every(isOpen), 'before the grace')
        await t.site.live(40 * SECOND)
        for (const one of t.opened) assert.deepEqual(await one.closed, FAILED)
        assert.deepEqual(new Set(outcomes(t.site)), new Set(['error']))
      })
    }

    test('one answer in between, and the grace begins anew', async () => {
      await using t = await failing(away, { after: '2m' })
      t.set('503')
      await t.site.live(MINUTE + 110 * SECOND)
      t.set('fine')
      await t.site.live(MINUTE)
      assert.equal(outcomes(t.site).at(-1), 'accepted')
      t.set('rejects')
      // Up to a minute until it is asked, and then not yet two.
      await t.site.live(MINUTE + 30 * SECOND)
      assert.ok(t.opened.every(isOpen))
      assert.equal(outcomes(t.site).at(-1), 'error')
      await t.site.live(2 * MINUTE)
      for (const one of t.opened) assert.deepEqual(await one.closed, FAILED)
    })

    test('`keep` ends nobody; what the app then says holds', async () => {
      // oxlint-disable-next-line unicorn/no-thenable -- the name of the option
      await using t = await failing(away, { after: '2m', then: 'keep' })
      t.set('503')
      await t.site.live(10 * MINUTE)
      assert.ok(t.opened.every(isOpen))
      assert.ok(outcomes(t.site).length >= 10)
      t.set('fine')
      await t.site.live(MINUTE)
      assert.equal(outcomes(t.site).at(-1), 'accepted')
    })
  })
}

describe('a session store that is away', () => {
  for (const stack of EXPRESS.slice(2, 5)) {
    test(`${stack.name}: its get fails`, async () => {
      await using site = await start(stack, {
        gate: { recheck: { every: '60s', jitter: 0, onError: { after: '2m' } } },
      })
      const opened = await site.openBy(await site.login())
      site.rows.failing.add('get')
      await site.live(2 * MINUTE)
      assert.ok(isOpen(opened))
      site.rows.failing.clear()
      await site.live(MINUTE)
      assert.equal(outcomes(site).at(-1), 'accepted')
      site.rows.failing.add('get')
      await site.live(4 * MINUTE)
      assert.deepEqual(await opened.closed, FAILED)
    })
  }

  test('express-session, passport: it says that it is disconnected', async () => {
    await using site = await start(EXPRESS[4]!)
    const opened = await site.openBy(await site.login())
    const store = site.store as unknown as { emit(event: string): void }
    store.emit('disconnect')
    assert.equal((await site.recheck()).outcome, 'error')
    store.emit('connect')
    assert.equal((await site.recheck(SECOND)).outcome, 'accepted')
    assert.ok(isOpen(opened))
  })
})

/** A limit of questions by the gate, and who has passed it. */
function limited(limit: number, windowMs: number, passed: Map<string, number>): Pick<SessionStack, 'build'> {
  return {
    async build(world, options) {
      const gate = createGate({
        ...gateOptions(world, options),
        identify: (req: IncomingMessage) => ({ subject: String(req.headers['x-api-key']) }),
      })
      const app = express()
      app.set('env', 'test')
      app.use(rateLimit({ windowMs, limit, skip: (req) => gate.phase(req) !== 'recheck' }))
      app.use((req, _res, next) => {
        const key = String(req.headers['x-api-key'])
        if (gate.phase(req) === 'recheck') passed.set(key, (passed.get(key) ?? 0) + 1)
        next()
      })
      app.get('/ws', gate.websocket(() => undefined) as RequestHandler)
      return { server: createServer(app), gate }
    },
  }
}

describe('express-rate-limit', () => {
  test('150 credentials, 100 questions a minute: nobody is closed, everybody is asked about', async () => {
    const passed = new Map<string, number>()
    await using site = await start(limited(100, MINUTE, passed))
    const opened: Opened[] = []
    for (let n = 0; n < 150; n++) opened.push(await site.open({ 'X-Api-Key': `k${n}` }))
    await site.live(15 * MINUTE)
    assert.ok(opened.every(isOpen))
    const refused = outcomes(site).filter((outcome) => outcome === 'error').length
    assert.ok(refused >= 50, `${refused} were refused`)
    assert.equal(passed.size, 150)
    assert.ok(Math.min(...passed.values()) >= 2, 'somebody was hardly asked about')
  })

  test('where its gate.phase() is left out of the count, nobody is refused', async () => {
    await using site = await start({
      async build(world, options) {
        const gate = createGate({ ...gateOptions(world, options), identify: subject })
        const app = express()
        app.use(rateLimit({ windowMs: MINUTE, limit: 5, skip: (req) => gate.phase(req) === 'recheck' }))
        app.get('/ws', gate.websocket(() => undefined) as RequestHandler)
        return { server: createServer(app), gate }
      },
    })
    const opened = await site.open({ 'X-Api-Key': 'k' })
    for (let n = 0; n < 150; n++) assert.equal((await site.recheck()).outcome, 'accepted')
    assert.ok(isOpen(opened))
  })
})

describe('how soon it is asked again', () => {
  /** Seconds between the questions, while the app answers with this. */
  async function waits(
    headers: Readonly<Record<string, string>>,
    count: number,
    every = '60s' as const,
    after = '10m' as '10m' | '1h',
  ): Promise<number[]> {
    const times: number[] = []
    await using site = await start(
      {
        async build(world, options) {
          const gate = createGate({ ...gateOptions(world, options), identify: subject })
          const live = gate.websocket(() => undefined)
          const server = createServer((req, res) => {
            if (gate.phase(req) !== 'recheck') return live(req, res)
            times.push(world.clock.now())
            res.writeHead(429, headers).end()
          })
          return { server, gate }
        },
      },
      { gate: { recheck: { every, jitter: 0, onError: { after } } } },
    )
    await site.open({ 'X-Api-Key': 'k' })
    while (times.length <= count) await site.live(SECOND)
    return times.slice(1).map((time, n) => (time - (times[n] ?? 0)) / SECOND)
  }

  test('after a second, and twice as long each time, up to half a minute', async () => {
    assert.deepEqual(await waits({}, 8), [1, 2, 4, 8, 16, 30, 30, 30])
  })

  test('not before Retry-After has passed', async () => {
    assert.deepEqual(await waits({ 'Retry-After': '120' }, 3), [120, 120, 120])
  })

  test('a Retry-After that is sooner does not make it ask sooner', async () => {
    assert.deepEqual(await waits({ 'Retry-After': '0' }, 3), [1, 2, 4])
  })

  test('a Retry-After beyond the grace waits for the grace, and no longer', async () => {
    assert.deepEqual(await waits({ 'Retry-After': '86400' }, 1), [600])
  })

  test('one that is no number of seconds is none', async () => {
    for (const value of ['soon', '-5', '1e9', 'Mon, 23 Nov 2026 00:05:00 GMT'])
      assert.deepEqual(await waits({ 'Retry-After': value }, 2), [1, 2])
  })
})
