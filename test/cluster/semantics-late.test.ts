import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { rejected, resolved, trio, unheard } from './semantics-helpers.ts'
import { ClusterWorld, NEW, OLD, type NodeOptions } from './semantics-world.ts'

const HOUR = 3_600_000

describe('a secret that is exchanged node by node', () => {
  const LISTS = [
    ['at once', [OLD], [NEW, OLD]],
    ['behind the old one first', [OLD, NEW], [NEW, OLD]],
    ['and the old one taken away', [NEW, OLD], [NEW]],
  ] as const

  for (const [what, one, other] of LISTS) {
    for (const [from, to] of [
      [one, other],
      [other, one],
    ] as const) {
      const name = (secrets: readonly string[]): string => secrets.map((it) => (it === OLD ? 'old' : 'new')).join(' ')

      async function two(options: NodeOptions = {}): Promise<ClusterWorld> {
        const world = new ClusterWorld()
        world.add({ secret: from, ...options })
        world.add({ secret: to, ...options })
        await world.pass(4000)
        return world
      }

      it(`${what}: [${name(from)}] revokes at [${name(to)}]`, async () => {
        const world = await two()
        const [a, b] = world.nodes
        assert.ok(a && b)
        world.login('ann')
        await world.pass(2000)
        for (const node of [a, b]) assert.equal((await node.dial('ann')).status, 101)
        world.login('anna', { subject: 'ann', session: 's-anna' })
        assert.equal((await b.dial('anna')).status, 101)
        const revoked = await resolved(
          world,
          6000,
          a.gate.revoke({ subject: 'ann' }, { except: { session: 's-anna' } }),
        )
        assert.deepEqual([unheard(revoked), revoked.closed], [[], 2])
        assert.deepEqual([a.open(), b.open()], [[], ['ann']])
        assert.deepEqual([(await b.dial('ann')).status, (await b.dial('anna')).status], [401, 101])
        assert.deepEqual(
          [a, b].flatMap((node) => node.said().filter((text) => text.startsWith('forged'))),
          [],
        )
        await world.stop()
      })

      it(`${what}: what [${name(from)}] remembers holds at [${name(to)}] when the log is lost`, async () => {
        const world = await two()
        const [a, b] = world.nodes
        assert.ok(a && b)
        b.engine.cut()
        await world.pass(6000)
        await resolved(world, 6000, a.gate.revoke({ session: 's-ann' }))
        await world.memory.flush()
        b.engine.heal()
        await world.pass(10_000)
        assert.deepEqual([(await b.dial('ann')).status, (await b.dial('bob')).status], [401, 101])
        await world.stop()
      })

      it(`${what}: [${name(from)}] and [${name(to)}] count the same places`, async () => {
        const world = await two({ limits: { connectionsPerSubject: 2 } })
        const [a, b] = world.nodes
        assert.ok(a && b)
        for (const node of [a, b]) assert.equal((await node.dial('ann')).status, 101)
        for (const node of [a, b]) assert.equal((await node.dial('ann')).status, 429)
        await world.stop()
      })
    }
  }
})

describe('what comes late', () => {
  it(
    'an entry that the network delivers after it was given up ends nobody who has logged in since',
    trio(async (world, [a, b]) => {
      const before = await b.dial('ann')
      const deliver = a.engine.hold('append')
      await rejected(world, 4000, a.gate.revoke({ subject: 'ann' }))
      await world.pass(30_000)
      world.login('ann')
      const since = await b.dial('ann')
      assert.deepEqual([before.closed, since.status], [undefined, 101])
      deliver()
      await world.pass(3000)
      assert.deepEqual([before.closed?.code, since.closed], [4401, undefined])
    }),
  )

  for (const [what, login] of [
    ['a login', { issuedAt: true }],
    ['what has no issuedAt', { issuedAt: false }],
  ] as const) {
    it(
      `an entry that somebody puts into the log again ends nobody: ${what}`,
      trio(async (world, [a, b]) => {
        const until = new Date(world.clock.now() + 60_000)
        await resolved(world, 6000, a.gate.revoke({ subject: 'ann' }, { until }))
        const { generation, entries } = world.memory.page
        await world.pass(30_000)
        // Nobody knows it by its id any more.
        for (const { clock } of world.nodes) clock.skew += 5 * HOUR
        await world.pass(10_000)
        const issuedAt = login.issuedAt ? { issuedAt: new Date(b.clock.now()) } : { issuedAt: undefined }
        world.login('ann', issuedAt)
        assert.equal((await b.dial('ann')).status, 101)
        await world.pass(1000)
        for (const { data } of entries) world.memory.append(generation, data)
        await world.pass(5000)
        assert.deepEqual(b.open(), ['ann'])
      }),
    )
  }
})

describe('the door looks again', () => {
  it(
    'whether it is stale, after it has waited for a place',
    trio(
      async (world, [a]) => {
        const go = a.engine.holdAnswers('enter')
        const client = await a.dial('ann')
        a.engine.before = async (op) => (op === 'enter' ? undefined : await new Promise(() => undefined))
        await world.pass(2750)
        a.clock.skew = 4000
        go()
        await world.pass(1)
        assert.equal(client.status, 503)
        assert.deepEqual(a.open(), [])
      },
      { limits: { connectionsPerSubject: 5 } },
    ),
  )

  it('lets in without a place where it may, and the engine is away', async () => {
    const world = await ClusterWorld.of(1, { limits: { connectionsPerSubject: 1 }, dangerouslyAcceptWhenStale: true })
    const [a] = world.nodes
    assert.ok(a)
    a.engine.hang()
    await world.pass(6000)
    assert.deepEqual([(await a.dial('ann')).status, (await a.dial('ann')).status], [101, 429])
    await world.stop()
  })
})

describe('a logout that was lost with the log it was in', () => {
  it('is asked about by the nodes that have not heard of it', async () => {
    const world = new ClusterWorld()
    const stores = [0, 1, 2].map(() => ({ destroy: (_id: string, done: () => void) => setImmediate(done) }))
    for (const sessionStore of stores) world.add({ recheck: { every: '10h' }, sessionStore })
    await world.pass(4000)
    const [a, b] = world.nodes
    assert.ok(a && b)
    const [client, other] = [await b.dial('ann'), await b.dial('bob')]
    b.engine.cut()
    stores[0]?.destroy('s-ann', () => undefined)
    world.logins.delete('ann')
    await world.pass(2000)
    await world.memory.flush()
    b.engine.heal()
    await world.pass(9000)
    assert.deepEqual([client.closed?.code, other.closed], [4401, undefined])
    await world.stop()
  })
})

describe('an engine that never opens', () => {
  it('is said so, and closes', async () => {
    const world = new ClusterWorld()
    const a = world.add({ prepare: (engine) => engine.hang('open') })
    await world.pass(6000)
    const said = a.events.flatMap((event) => (event.type === 'cluster' ? [String(event.cause)] : []))
    assert.ok(
      said.some((text) => text.includes('has not opened')),
      said.join(),
    )
    assert.equal((await a.dial('ann')).status, 503)
    assert.notEqual(await world.within(20_000, a.close()), 'open')
    assert.equal(world.clock.timers, 0)
  })
})
