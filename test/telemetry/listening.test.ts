import assert from 'node:assert/strict'
import { once } from 'node:events'
import { it } from 'node:test'
import { metrics, trace } from '@opentelemetry/api'
import type { Gate } from '../../src/index.ts'
import { instrument } from '../../src/opentelemetry.ts'
import { createSdk } from './recorded.ts'
import { abandon, createWorld, heard, type World } from './world.ts'

/** The gate, and how many of its listeners are there that were added through this. */
function counting(gate: Gate): { gate: Gate; listeners(): number } {
  let listeners = 0
  const on: Gate['on'] = (type, listener) => {
    const off = gate.on(type, listener)
    listeners += 1
    return () => {
      listeners -= 1
      off()
    }
  }
  return { gate: { ...gate, on }, listeners: () => listeners }
}

async function doAll(world: World): Promise<void> {
  const ann = world.meet('t1', { subject: 'ann', session: 's1' })
  const ws = await world.open('t1')
  await world.post('t1', '/live/ticket')
  await world.post('t1', '/live/renew')
  await abandon(world)
  const asked = heard(world.gate, 'rechecked')
  world.clock.pass(60_000)
  await asked
  const closed = once(ws, 'close')
  await world.gate.revoke({ tag: 'nobody' })
  ann.status = 401
  assert.equal((await world.dial('t1')).status, 401)
  for (const connection of world.gate.connections) connection.end()
  await closed
}

it('no listener is left, and nothing more is recorded, after the returned function', async () => {
  await using world = await createWorld()
  await using sdk = createSdk()
  const { gate, listeners } = counting(world.gate)
  const stop = instrument(gate, sdk.providers)
  assert.ok(listeners() > 0)
  await doAll(world)
  const numbers = await sdk.numbers()
  const spans = sdk.spans().length
  assert.ok(spans > 0)
  stop()
  assert.equal(listeners(), 0)
  await doAll(world)
  assert.deepEqual(await sdk.numbers(), numbers)
  assert.equal(sdk.spans().length, spans)
})

it('only what has an SDK is listened to', async () => {
  await using world = await createWorld()
  await using sdk = createSdk()
  const { meterProvider, tracerProvider } = sdk.providers
  const both = counting(world.gate)
  const stops = [
    instrument(both.gate, { meterProvider }),
    instrument(both.gate, { tracerProvider }),
    instrument(both.gate, { meterProvider, tracerProvider }),
  ]
  const [metered, traced] = [counting(world.gate), counting(world.gate)]
  stops.push(instrument(metered.gate, { meterProvider }), instrument(traced.gate, { tracerProvider }))
  assert.equal(both.listeners(), 2 * (metered.listeners() + traced.listeners()))
  for (const stop of stops) stop()
})

it('without an SDK nothing is listened to, recorded or thrown, then and later', async () => {
  await using world = await createWorld()
  const { gate, listeners } = counting(world.gate)
  const stop = instrument(gate)
  assert.equal(listeners(), 0)
  await doAll(world)
  await using sdk = createSdk()
  metrics.setGlobalMeterProvider(sdk.providers.meterProvider)
  trace.setGlobalTracerProvider(sdk.providers.tracerProvider)
  await doAll(world)
  stop()
  stop()
  metrics.disable()
  trace.disable()
  assert.deepEqual([await sdk.numbers(), sdk.spans()], [{}, []])
  const again = instrument(gate)
  assert.equal(listeners(), 0, 'the SDK is gone again')
  again()
})
