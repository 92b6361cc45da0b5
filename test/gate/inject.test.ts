import assert from 'node:assert/strict'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { describe, it } from 'node:test'
import express from 'express'
import Fastify from 'fastify'
import Koa from 'koa'
import { websocket as onFastify } from '../../src/fastify.ts'
import { createGate, type Gate, type GateOptions } from '../../src/index.ts'
import { websocket as onKoa } from '../../src/koa.ts'
import { apiKey } from '../../src/schemes.ts'

const KEY = 'test_api_key'
const peer = { address: '192.0.2.7' }
const headers = { 'X-Api-Key': KEY }
const phases: Array<string | undefined> = []

interface Made {
  readonly gate: Gate
  readonly server: Server
}

function onExpress(options: Omit<GateOptions<IncomingMessage>, 'authenticate'> = {}): Made {
  const app = express()
  const gate = createGate({ identify: () => ({ subject: 'ann' }), ...options })
  app.use((req, res, next) => {
    phases.push(gate.phase(req))
    res.cookie('seen', '1')
    if (req.get('x-api-key') === KEY) next()
    else res.status(401).set('WWW-Authenticate', 'ApiKey').json({ error: 'no key', ip: req.ip })
  })
  app.get(
    '/live',
    gate.websocket(() => assert.fail('inject() opens nothing')),
  )
  const server = createServer(app)
  gate.attach(server)
  return { gate, server }
}

describe('gate.inject()', () => {
  it('accepts as data: identity, the headers of the 101, the trace', async () => {
    const { gate } = onExpress()
    const decision = await gate.inject({ url: '/live?room=1', headers, peer })
    assert.equal(decision.type, 'accept')
    assert.equal(decision.type === 'accept' && decision.identity.subject, 'ann')
    assert.ok(decision.headers.some(([name, value]) => name === 'Set-Cookie' && value.startsWith('seen=1')))
    assert.deepEqual(
      decision.trace.map(({ step, outcome }) => `${step}: ${outcome}`),
      ['handshake: passed', 'app: let in', 'identify: subject'],
    )
    assert.equal(phases.at(-1), 'inject')
    assert.equal(gate.connections.size, 0)
  })

  it("refuses as data: the app's own answer, with its body", async () => {
    const { gate } = onExpress()
    const decision = await gate.inject({ url: '/live', peer })
    assert.equal(decision.type, 'refuse')
    assert.ok(decision.type === 'refuse')
    assert.equal(decision.status, 401)
    assert.equal(decision.code, 'app')
    assert.deepEqual(JSON.parse(Buffer.from(decision.body).toString()), { error: 'no key', ip: '192.0.2.7' })
    assert.ok(decision.headers.some(([name, value]) => name === 'WWW-Authenticate' && value === 'ApiKey'))
  })

  it("refuses as data: the gate's own rules, before the app", async () => {
    const { gate } = onExpress()
    const before = phases.length
    const cases = [
      [{ url: '/x/../live', headers }, 'bad_target'],
      [{ url: '/live', headers: { ...headers, Origin: 'https://evil.example' } }, 'bad_origin'],
      [{ url: '/live', headers: { ...headers, Host: 'evil.example' } }, 'host_not_allowed'],
      [{ url: '/live', headers: { 'X-Api-Key': [KEY, KEY] } }, 'duplicate_header'],
    ] as const
    for (const [request, code] of cases) {
      const decision = await gate.inject({ ...request, peer })
      assert.equal(decision.type === 'refuse' && decision.code, code)
    }
    assert.equal(phases.length, before)
  })

  it('never takes its peer for a trusted proxy', async () => {
    const { gate } = onExpress({ trustedProxies: ['192.0.2.0/24'] })
    const forwarded = {
      ...headers,
      Origin: 'https://app.example',
      'X-Forwarded-Host': 'app.example',
      'X-Forwarded-Proto': 'https',
    }
    const decision = await gate.inject({ url: '/live', headers: forwarded, peer })
    assert.equal(decision.type === 'refuse' && decision.code, 'bad_origin')
  })

  it('consumes nothing: neither caps nor events', async () => {
    const { gate } = onExpress({ limits: { handshakes: 1, handshakesPerAddress: 1 } })
    let events = 0
    for (const name of ['accepted', 'refused', 'aborted', 'ended'] as const) gate.on(name, () => events++)
    const decisions = await Promise.all(Array.from({ length: 5 }, () => gate.inject({ url: '/live', headers, peer })))
    assert.deepEqual(
      decisions.map(({ type }) => type),
      ['accept', 'accept', 'accept', 'accept', 'accept'],
    )
    assert.equal(events, 0)
  })

  it('asks Koa, Fastify and schemes too', async () => {
    const koa = new Koa()
    const koaGate = createGate<Koa.Context>({ identify: () => ({ subject: 'koa' }) })
    const route = onKoa(koaGate, () => undefined)
    koa.use(async (ctx, next) => (ctx.get('x-api-key') === KEY ? route(ctx, next) : ctx.throw(401)))
    koaGate.attach(createServer(koa.callback()))

    const fastify = Fastify()
    const fastifyGate = createGate<{ raw: IncomingMessage }>({ identify: () => ({ subject: 'fastify' }) })
    fastify.addHook('onRequest', async (request, reply) => {
      if (request.headers['x-api-key'] !== KEY) await reply.code(401).send({ error: 'no key' })
    })
    fastify.get(
      '/live',
      onFastify(fastifyGate, () => undefined),
    )
    await fastify.ready()
    fastifyGate.attach(fastify.server)

    const schemes = createGate({ authenticate: apiKey({ keys: [{ key: KEY, subject: 'schemes' }] }) })
    schemes.attach(createServer())

    for (const [name, gate] of Object.entries({ koa: koaGate, fastify: fastifyGate, schemes })) {
      const accepted = await gate.inject({ url: '/live', headers, peer })
      assert.equal(accepted.type === 'accept' && accepted.identity.subject, name)
      const refused = await gate.inject({ url: '/live', headers: { 'X-Api-Key': 'wrong_api_key' }, peer })
      assert.equal(refused.type === 'refuse' && refused.status, 401, name)
    }
  })

  it('needs a peer, and a server that the gate is attached to', async () => {
    const alone = createGate({ identify: () => null })
    await assert.rejects(alone.inject({ url: '/live', peer }), { code: 'GATE101_NOT_ATTACHED' })
    const { gate } = onExpress()
    await assert.rejects(gate.inject({ url: '/live' } as never), { code: 'GATE101_CONFIG' })
  })
})
