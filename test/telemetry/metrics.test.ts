import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import { metrics } from '@opentelemetry/api'
import { createGate, type Gate } from '../../src/index.ts'
import { instrument } from '../../src/opentelemetry.ts'
import { createSdk } from './recorded.ts'
import { abandon, createWorld, heard, heardTimes, openByMessage } from './world.ts'

describe('metrics: the numbers are those of what was done', () => {
  it('handshakes: accepted, refused by the app, the gate and the library, aborted', async () => {
    await using world = await createWorld()
    await using sdk = createSdk()
    instrument(world.gate, sdk.providers)
    world.meet('t1', { subject: 'ann' })
    world.meet('t2', { subject: 'bob' }).status = 451
    world.delay = 250
    await world.open('t1')
    await world.open('t1', '/live/2')
    assert.equal((await world.dial('t2')).status, 451)
    assert.equal((await world.dial('nobody')).status, 401)
    assert.equal((await world.dial('t1', '/live//')).status, 400)
    assert.equal((await world.dial('t1', '/live/library')).status, 401)
    await abandon(world)
    assert.deepEqual(await sdk.numbers(), {
      'ws_auth_handshakes{outcome=accepted}': 2,
      'ws_auth_handshakes{outcome=refused,reason=app}': 2,
      'ws_auth_handshakes{outcome=refused,reason=bad_target}': 1,
      'ws_auth_handshakes{outcome=refused,reason=library}': 1,
      'ws_auth_handshakes{outcome=aborted}': 1,
      'ws_auth_duration{outcome=accepted}': [2, 0.5],
      'ws_auth_duration{outcome=refused}': [4, 0.75],
      'ws_auth_duration{outcome=aborted}': [1, 0],
      ws_connections: 2,
    })
  })

  it('handshakes: what is refused to a ticket or renewal is none', async () => {
    await using world = await createWorld()
    await using sdk = createSdk()
    instrument(world.gate, sdk.providers)
    world.meet('t1', { subject: 'ann' })
    assert.equal((await world.post('t1', '/live/renew')).status, 400)
    world.meet('t1', { subject: '' })
    assert.equal((await world.post('t1', '/live/ticket')).status, 500)
    assert.deepEqual(only(await sdk.numbers(), 'ws_auth'), {})
    assert.deepEqual(sdk.spans(), [])
  })

  it('connections: how many are open, how long they were, and why they ended', async () => {
    await using world = await createWorld()
    await using sdk = createSdk()
    world.meet('t1', { subject: 'ann' })
    const before = await world.open('t1')
    const stop = instrument(world.gate, sdk.providers)
    assert.equal((await sdk.numbers())['ws_connections'], 1, 'what was open before is counted')
    world.clock.pass(1000)
    const [closing, told, revoked] = [await world.open('t1'), await world.open('t1'), await world.open('t1')]
    assert.equal((await sdk.numbers())['ws_connections'], 4)
    world.clock.pass(4000)
    const ended = heard(world.gate, 'ended')
    closing.close()
    await ended
    const [, second] = [...world.gate.connections]
    second?.end('your invoice 4711 is overdue')
    await once(told, 'close')
    assert.deepEqual(life(await sdk.numbers()), {
      'ws_connection_duration{close=closed}': [1, 4],
      'ws_connection_duration{close=other}': [1, 4],
      ws_connections: 2,
    })
    const gone = [once(before, 'close'), once(revoked, 'close')]
    await world.gate.revoke({ subject: 'ann' })
    await Promise.all(gone)
    assert.deepEqual(life(await sdk.numbers()), {
      'ws_connection_duration{close=closed}': [1, 4],
      'ws_connection_duration{close=other}': [1, 4],
      'ws_connection_duration{close=revoked}': [2, 9],
      ws_connections: 0,
    })
    stop()
  })

  it('two gates share the number of connections, and each takes back its own', async () => {
    await using one = await createWorld()
    await using other = await createWorld()
    await using sdk = createSdk()
    const stops = [one, other].map(({ gate }) => instrument(gate, sdk.providers))
    for (const world of [one, other, other]) {
      world.meet('t1', { subject: 'ann' })
      await world.open('t1')
    }
    assert.equal((await sdk.numbers())['ws_connections'], 3)
    stops[1]?.()
    assert.equal((await sdk.numbers())['ws_connections'], 1)
    stops[1]?.()
    assert.equal((await sdk.numbers())['ws_connections'], 1, 'once')
  })

  it('tickets: minted, redeemed, refused', async () => {
    await using world = await createWorld()
    await using sdk = createSdk()
    instrument(world.gate, sdk.providers)
    world.meet('t1', { subject: 'ann' })
    for (let n = 0; n < 3; n++) {
      const { url } = (await (await world.post('t1', '/live/ticket')).json()) as { url: string }
      if (n > 0) continue
      await world.open('', url)
      assert.equal((await world.dial('', url)).status, 401, 'used up')
    }
    assert.deepEqual(only(await sdk.numbers(), 'ws_tickets'), {
      'ws_tickets{event=minted}': 3,
      'ws_tickets{event=redeemed}': 1,
      'ws_tickets{event=refused}': 1,
    })
  })

  it('revocations, by what, and how long they took', async () => {
    await using world = await createWorld()
    await using sdk = createSdk()
    instrument(world.gate, sdk.providers)
    world.meet('t1', { subject: 'ann', session: 's1' })
    await world.open('t1')
    const lags: number[] = []
    world.gate.on('revoked', ({ ms }) => lags.push(ms / 1000))
    await world.gate.revoke({ session: 's1' })
    await world.gate.revoke({ session: 's2' })
    await world.gate.revoke({ subject: 'ann' })
    await world.gate.revoke({ tag: 'staff' })
    const { ws_revocation_lag: lag, ...numbers } = only(await sdk.numbers(), 'ws_revocation')
    assert.deepEqual(numbers, {
      'ws_revocations{scope=session}': 2,
      'ws_revocations{scope=subject}': 1,
      'ws_revocations{scope=tag}': 1,
    })
    assert.deepEqual(lag, [4, lags.reduce((sum, one) => sum + one, 0)])
  })

  it('re-checks: what was answered, and why it was asked', async () => {
    await using world = await createWorld()
    await using sdk = createSdk()
    instrument(world.gate, sdk.providers)
    const ann = world.meet('t1', { subject: 'ann' })
    await world.open('t1')
    const minute = async (status: number): Promise<void> => {
      ann.status = status
      const asked = heard(world.gate, 'rechecked')
      world.clock.pass(60_000)
      await asked
    }
    await minute(200)
    await minute(200)
    await minute(503)
    await minute(401)
    assert.deepEqual(only(await sdk.numbers(), 'ws_rechecks'), {
      'ws_rechecks{outcome=accepted,why=schedule}': 2,
      'ws_rechecks{outcome=error,why=schedule}': 1,
      'ws_rechecks{outcome=refused,why=schedule}': 1,
    })
  })

  it('the cluster: whether this node knows all, also where it has not since before it was listened to', async () => {
    await using world = await createWorld()
    await using sdk = createSdk()
    const stale = async (): Promise<unknown> => (await sdk.numbers())['ws_cluster_stale']
    const isReady = (): boolean => world.gate.ready
    world.isCut = true
    await world.until(() => !isReady())
    const stop = instrument(world.gate, sdk.providers)
    assert.equal(await stale(), 1)
    for (const isCut of [false, true, false]) {
      world.isCut = isCut
      await world.until(() => isReady() !== isCut)
      assert.equal(await stale(), isCut ? 1 : 0)
    }
    world.isCut = true
    await world.until(() => !isReady())
    stop()
    assert.equal(await stale(), 0)
  })

  it('renewals: by HTTP, by a message, by a re-check', async () => {
    await using world = await createWorld()
    await using sdk = createSdk()
    instrument(world.gate, sdk.providers)
    const later = (seconds: number): Date => new Date(world.clock.now() + seconds * 1000)
    const ann = world.meet('t1', { subject: 'ann', session: 's1', expiresAt: later(600) })
    await world.open('t1')
    await world.open('t1')
    assert.equal((await world.post('t1', '/live/renew')).status, 200)
    const { send } = await openByMessage(world)
    await send('t1')
    assert.deepEqual(only(await sdk.numbers(), 'ws_renewals'), { 'ws_renewals{by=http}': 2 })
    await send('t1')
    ann.identity = { ...ann.identity, expiresAt: later(1200) }
    const renewed = heardTimes(world.gate, 'renewed', 3)
    world.clock.pass(60_000)
    await renewed
    assert.deepEqual(only(await sdk.numbers(), 'ws_renewals'), {
      'ws_renewals{by=http}': 2,
      'ws_renewals{by=message}': 1,
      'ws_renewals{by=recheck}': 3,
    })
  })
})

it('histograms tell a millisecond from two, and an hour from a day', async () => {
  await using world = await createWorld()
  await using sdk = createSdk()
  instrument(world.gate, sdk.providers)
  world.meet('t1', { subject: 'ann' })
  await world.open('t1')
  await world.gate.revoke({ subject: 'ann' })
  const ends = (await sdk.metrics()).flatMap(({ descriptor: { name }, dataPoints }) =>
    dataPoints.flatMap(({ value }) => {
      if (typeof value === 'number' || !('buckets' in value)) return []
      const { boundaries } = value.buckets as { boundaries: number[] }
      return [[name, boundaries[0], boundaries.at(-1)]]
    }),
  )
  assert.deepEqual(ends, [
    ['ws_auth_duration', 0.001, 10],
    ['ws_connection_duration', 1, 86_400],
    ['ws_revocation_lag', 0.001, 10],
  ])
})

describe('metrics: the provider', () => {
  it('is the global one unless another is given', async () => {
    await using world = await createWorld()
    await using sdk = createSdk()
    metrics.setGlobalMeterProvider(sdk.providers.meterProvider)
    const stop = instrument(world.gate)
    assert.equal((await world.dial('nobody')).status, 401)
    stop()
    metrics.disable()
    assert.equal((await sdk.numbers())['ws_auth_handshakes{outcome=refused,reason=app}'], 1)
    assert.deepEqual(sdk.spans(), [])
  })

  it('takes the gate of any framework', async () => {
    await using sdk = createSdk()
    const gate: Gate<{ readonly ctx: string }, { readonly role: string }> = createGate({
      identify: ({ ctx }) => ({ subject: ctx, claims: { role: 'user' } }),
    })
    instrument(gate, sdk.providers)
    assert.deepEqual(await sdk.numbers(), { ws_connections: 0 })
  })

  it('an unknown option is an error', async () => {
    await using world = await createWorld()
    const wrong = { meter: createSdk().providers.meterProvider } as object
    assert.throws(() => instrument(world.gate, wrong), { code: 'GATE101_CONFIG', message: /unknown option "meter"/ })
  })
})

type Numbers = Record<string, number | [count: number, sum: number]>

function only(numbers: Numbers, name: string): Numbers {
  return Object.fromEntries(Object.entries(numbers).filter(([key]) => key.startsWith(name)))
}

function life(numbers: Numbers): Numbers {
  return only(numbers, 'ws_connection')
}
