import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { after, before, describe, it } from 'node:test'
import { context, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace, type Context, type HrTime } from '@opentelemetry/api'
import type { RequestHandler } from 'express'
import type { ReadableSpan } from '@opentelemetry/sdk-trace-base'
import { instrument } from '../../src/opentelemetry.ts'
import { createSdk } from './recorded.ts'
import { abandon, createWorld, heard, heardTimes } from './world.ts'

const ms = ([seconds, nanos]: HrTime): number => Math.round(seconds * 1000 + nanos / 1e6)

function shown({ name, kind, attributes, status, startTime, endTime, events, links }: ReadableSpan) {
  assert.deepEqual([events, links], [[], []])
  return { name, kind, attributes, status: status.code, ms: ms(endTime) - ms(startTime) }
}

const HANDSHAKE = { name: 'websocket handshake', kind: SpanKind.SERVER, status: SpanStatusCode.UNSET }

describe('spans', () => {
  it('one for each handshake, from its arrival to its decision', async () => {
    await using world = await createWorld()
    await using sdk = createSdk()
    instrument(world.gate, sdk.providers)
    world.meet('t1', { subject: 'ann' })
    world.meet('t2', { subject: 'bob' }).status = 503
    world.delay = 250
    const beganAt = world.clock.now()
    await world.open('t1')
    const [first] = sdk.spans()
    assert.ok(first)
    assert.deepEqual([ms(first.startTime), ms(first.endTime)], [beganAt, beganAt + 250])
    await world.dial('t2')
    await world.dial('nobody')
    await world.dial('t1', '/live//')
    await abandon(world)
    assert.deepEqual(sdk.spans().map(shown), [
      { ...HANDSHAKE, attributes: { outcome: 'accepted', 'http.response.status_code': 101 }, ms: 250 },
      {
        ...HANDSHAKE,
        attributes: { outcome: 'refused', reason: 'app', 'http.response.status_code': 503 },
        status: SpanStatusCode.ERROR,
        ms: 250,
      },
      {
        ...HANDSHAKE,
        attributes: { outcome: 'refused', reason: 'app', 'http.response.status_code': 401 },
        ms: 250,
      },
      {
        ...HANDSHAKE,
        attributes: { outcome: 'refused', reason: 'bad_target', 'http.response.status_code': 400 },
        ms: 0,
      },
      { ...HANDSHAKE, attributes: { outcome: 'aborted' }, ms: 0 },
    ])
  })

  it('one for each re-check and each revocation', async () => {
    await using world = await createWorld()
    await using sdk = createSdk()
    const ann = world.meet('t1', { subject: 'ann' })
    await world.open('t1')
    await world.open('t1')
    instrument(world.gate, sdk.providers)
    const ended = heardTimes(world.gate, 'ended', 2)
    for (const status of [200, 500, 401]) {
      ann.status = status
      const asked = heard(world.gate, 'rechecked')
      world.clock.pass(60_000)
      await asked
    }
    await ended
    await world.gate.revoke({ subject: 'ann' })
    const spans = sdk.spans().map(shown)
    const recheck = { name: 'websocket re-check', kind: SpanKind.INTERNAL }
    assert.deepEqual(
      spans.map(({ ms: _ms, ...span }) => span),
      [
        {
          ...recheck,
          attributes: { outcome: 'accepted', why: 'schedule', connections: 2 },
          status: SpanStatusCode.UNSET,
        },
        { ...recheck, attributes: { outcome: 'error', why: 'schedule', connections: 2 }, status: SpanStatusCode.ERROR },
        {
          ...recheck,
          attributes: { outcome: 'refused', why: 'schedule', connections: 2 },
          status: SpanStatusCode.UNSET,
        },
        {
          ...recheck,
          name: 'websocket revocation',
          attributes: { scope: 'subject', matched: 0, closed: 0 },
          status: SpanStatusCode.UNSET,
        },
      ],
    )
  })
})

describe('spans: whose part they are', () => {
  const storage = new AsyncLocalStorage<Context>()
  before(() => {
    context.setGlobalContextManager({
      active: () => storage.getStore() ?? ROOT_CONTEXT,
      with: (active, call, self, ...args) => storage.run(active, () => call.apply(self as never, args)),
      bind: (_active, target) => target,
      enable() {
        return this
      },
      disable() {
        return this
      },
    })
  })
  after(() => {
    context.disable()
    trace.disable()
  })

  it('handshakes and re-checks start a trace, a revocation is part of the logout; from the global provider', async () => {
    await using sdk = createSdk()
    trace.setGlobalTracerProvider(sdk.providers.tracerProvider)
    const tracer = trace.getTracer('app')
    const within = async (name: string, call: () => Promise<void>): Promise<void> =>
      await tracer.startActiveSpan(name, async (span) => await call().finally(() => span.end()))
    const request: RequestHandler = (req, _res, next) => {
      void tracer.startActiveSpan(`request ${req.path}`, (span) => {
        span.end()
        next()
      })
    }
    // Whatever timers were made in is active when they call; where a library takes over, so is the app's own span.
    await within('start', async () => {
      await using world = await createWorld(request)
      const stop = instrument(world.gate)
      world.meet('t1', { subject: 'ann' })
      await world.open('t1')
      await world.dial('nobody')
      await world.dial('t1', '/live/library')
      await abandon(world)
      const asked = heard(world.gate, 'rechecked')
      world.clock.pass(60_000)
      await asked
      await within('logout', async () => void (await world.gate.revoke({ subject: 'ann' })))
      stop()
    })
    const spans = sdk.spans()
    const own = spans.filter(({ name }) => !name.startsWith('request'))
    assert.equal(spans.length - own.length, 5)
    assert.deepEqual(
      own.map(({ name, parentSpanContext: parent }) => [
        name,
        spans.find((span) => span.spanContext().spanId === parent?.spanId)?.name,
      ]),
      [
        ['websocket handshake', undefined],
        ['websocket handshake', undefined],
        ['websocket handshake', undefined],
        ['websocket handshake', undefined],
        ['websocket re-check', undefined],
        ['websocket revocation', 'logout'],
        ['logout', 'start'],
        ['start', undefined],
      ],
    )
  })
})
