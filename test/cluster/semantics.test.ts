import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { closedBy, rejected, resolved, trio, unheard, type Trio } from './semantics-helpers.ts'
import { ClusterWorld, type Node } from './semantics-world.ts'

describe('a revocation on every node', () => {
  it(
    'ends what is open everywhere, says so, and is refused everywhere',
    trio(async (world, [a, b, c]) => {
      for (const node of [a, b, c]) assert.equal((await node.dial('ann')).status, 101)
      assert.equal((await c.dial('bob')).status, 101)
      const revoked = await resolved(world, 5000, a.gate.revoke({ subject: 'ann' }))
      assert.deepEqual([revoked.matched, revoked.closed, closedBy(revoked)], [3, 3, [1, 1, 1]])
      assert.deepEqual([a.open(), b.open(), c.open()], [[], [], ['bob']])
      for (const node of [a, b, c]) assert.equal((await node.dial('ann')).status, 401)
    }),
  )

  it(
    'reaches a connection by its id, on whatever node it is',
    trio(async (world, [a, b]) => {
      const client = await b.dial('ann')
      await b.dial('ann')
      const [{ id } = { id: '' }] = [...b.gate.connections]
      const revoked = await resolved(world, 5000, a.gate.revoke({ connection: id }))
      await world.pass(250)
      assert.deepEqual([revoked.closed, client.closed?.code, b.open()], [1, 4401, ['ann']])
    }),
  )

  for (const [what, fault] of [
    ['hangs', (node: Node) => node.engine.hang()],
    ['is cut', (node: Node) => node.engine.cut()],
  ] as const) {
    it(
      `waits for a node that ${what} until that one is stale, and names it`,
      trio(async (world, [a, b]) => {
        const client = await b.dial('ann')
        fault(b)
        const revoking = a.gate.revoke({ session: 's-ann' })
        assert.equal(await world.within(4750, revoking), 'open')
        const revoked = await resolved(world, 250, revoking)
        assert.deepEqual(unheard(revoked), [b.state.node])
        for (const login of ['ann', 'bob']) assert.equal((await b.dial(login)).status, 503)
        assert.deepEqual(b.open(), ['ann'])
        b.engine.heal()
        await world.pass(4000)
        assert.equal(client.closed?.code, 4401)
        assert.equal((await b.dial('ann')).status, 401)
        assert.equal((await b.dial('bob')).status, 101)
      }),
    )
  }

  it(
    'takes a report for a lost acknowledgement',
    trio(async (world, [a, b]) => {
      await b.dial('ann')
      a.engine.network = () => undefined
      const revoked = await resolved(world, 2500, a.gate.revoke({ subject: 'ann' }))
      assert.deepEqual([unheard(revoked), b.open()], [[], []])
    }),
  )

  it(
    'is carried out once, however often messages and wakes come, and in whatever order',
    trio(async (world, [a, b]) => {
      const late: Array<() => void> = []
      for (const { engine } of [a, b]) {
        engine.network = (deliver) => {
          late.unshift(deliver)
          deliver()
          deliver()
        }
      }
      await b.dial('ann')
      const revoked = await resolved(world, 5000, a.gate.revoke({ subject: 'ann' }))
      assert.deepEqual([revoked.matched, revoked.closed], [1, 1])
      world.login('ann')
      assert.equal((await b.dial('ann')).status, 401, 'the same second')
      await world.pass(1500)
      world.login('ann')
      assert.equal((await b.dial('ann')).status, 101)
      for (const deliver of late) deliver()
      await world.pass(2000)
      assert.deepEqual(b.open(), ['ann'])
      assert.equal(b.events.filter(({ type }) => type === 'revoked').length, 1)
    }),
  )

  it(
    'may be one of a thousand at once: all are answered, and the reports are read for all together',
    trio(async (world, [a, b]) => {
      await b.dial('ann')
      const before = a.engine.asked.get('reports') ?? 0
      const sessions = [...Array.from({ length: 1000 }, (_, n) => `s-${n}`), 's-ann']
      const revoking = sessions.map((session) => a.gate.revoke({ session }))
      const all = await Promise.all(revoking.map((one) => resolved(world, 5000, one)))
      assert.deepEqual(
        all.filter((one) => unheard(one).length > 0 || one.nodes.length !== 3),
        [],
      )
      assert.equal(all.at(-1)?.closed, 1)
      assert.ok((a.engine.asked.get('reports') ?? 0) - before < 100)
    }),
  )

  it(
    'is seen within a second where nobody is woken',
    trio(async (world, [a, b]) => {
      await b.dial('ann')
      b.engine.wakes = false
      await resolved(world, 1500, a.gate.revoke({ subject: 'ann' }))
      assert.deepEqual(b.open(), [])
    }),
  )

  it(
    'names who is there where the reports cannot be read',
    trio(async (world, [a, b]) => {
      b.engine.cut()
      a.engine.cut('reports')
      const revoked = await resolved(world, 6000, a.gate.revoke({ subject: 'ann' }))
      assert.deepEqual([revoked.nodes.length, unheard(revoked)], [3, [b.state.node]])
    }),
  )

  it(
    'names who is there where the engine has forgotten the reports',
    trio(async (world, [a, b]) => {
      b.engine.cut()
      world.memory.forgetReports()
      const revoked = await resolved(world, 6000, a.gate.revoke({ subject: 'ann' }))
      assert.deepEqual(unheard(revoked), [b.state.node])
    }),
  )

  it(
    'reaches a connection of a node that was cut for two hours',
    trio(
      async (world, [a, b]) => {
        const client = await b.dial('ann')
        const [{ id } = { id: '' }] = [...b.gate.connections]
        b.engine.cut()
        await world.pass(11_000)
        await resolved(world, 6000, a.gate.revoke({ connection: id }))
        for (const { clock } of world.nodes) clock.skew = 7_200_000
        await world.pass(5000)
        await resolved(world, 6000, a.gate.revoke({ subject: 'nobody' }))
        await world.pass(120_000)
        b.engine.heal()
        await world.pass(10_000)
        assert.equal(client.closed?.code, 4401)
      },
      { onClusterLoss: { then: 'keep' } },
    ),
  )
})

describe('a revocation that is not surely written', () => {
  it(
    'ends the connections of its node, rejects, and is written when the engine is back',
    trio(async (world, [a, b]) => {
      const own = await a.dial('ann')
      const other = await b.dial('ann')
      a.engine.cut()
      await rejected(world, 4000, a.gate.revoke({ subject: 'ann' }))
      await world.pass(250)
      assert.deepEqual([own.closed?.code, other.closed], [4401, undefined])
      a.engine.heal()
      await world.pass(3000)
      assert.equal(other.closed?.code, 4401)
      assert.equal((await b.dial('ann')).status, 401)
    }),
  )

  it(
    'may be in the log twice, and is carried out once',
    trio(async (world, [a, b]) => {
      await b.dial('ann')
      a.engine.loseAnswers('append')
      await rejected(world, 4000, a.gate.revoke({ subject: 'ann' }))
      assert.deepEqual(b.open(), [])
      a.engine.heal()
      world.login('ann')
      const client = await b.dial('ann')
      await world.pass(5000)
      assert.equal(client.status, 101)
      assert.deepEqual(b.open(), ['ann'])
      assert.equal(b.events.filter(({ type }) => type === 'revoked').length, 1)
      assert.ok(world.memory.page.entries.length > 4)
    }),
  )

  it(
    'spares who has logged in before it reached the others',
    trio(async (world, [a, b]) => {
      await b.dial('ann')
      a.engine.cut()
      await rejected(world, 4000, a.gate.revoke({ subject: 'ann' }))
      await world.pass(3000)
      world.login('ann')
      await b.dial('ann')
      a.engine.heal()
      await world.pass(5000)
      assert.equal(b.open().length, 1)
    }),
  )
})

describe('clocks that differ', () => {
  for (const hours of [-1, 1, -25]) {
    it(`a revocation holds on nodes that are ${hours} h off`, async () => {
      const world = new ClusterWorld()
      const skew = hours * 3_600_000
      const all = [world.add({ skew }), world.add(), world.add({ skew: -skew })]
      await world.pass(4000)
      for (const [n, node] of all.entries()) {
        const login = world.login(`user${n}`)
        for (const other of all) assert.equal((await other.dial(login)).status, 101)
        const until = new Date(node.clock.now() + 60_000)
        await resolved(world, 6000, node.gate.revoke({ session: `s-${login}` }, { until }))
        assert.deepEqual(
          all.map((other) => other.open()),
          [[], [], []],
        )
        for (const other of all) assert.equal((await other.dial(login)).status, 401)
      }
      await world.stop()
    })

    it(`a clock that jumps by ${hours} h lets nobody in who is out`, async () => {
      const world = await ClusterWorld.of(3)
      const [a, b] = world.nodes as unknown as Trio
      await b.dial('ann')
      b.engine.hang()
      b.clock.skew = hours * 3_600_000
      await resolved(world, 6000, a.gate.revoke({ session: 's-ann' }))
      assert.equal((await b.dial('ann')).status, 503)
      b.engine.heal()
      await world.pass(5000)
      assert.deepEqual(b.open(), [])
      assert.equal((await b.dial('ann')).status, 401)
      assert.equal((await b.dial('bob')).status, 101)
      await world.stop()
    })
  }

  it('a clock that is set back a little does not make what is old new', async () => {
    const world = await ClusterWorld.of(3)
    const [a, b] = world.nodes as unknown as Trio
    b.engine.hang()
    const revoking = a.gate.revoke({ session: 's-ann' })
    await world.pass(3000)
    b.clock.skew = -2500
    await resolved(world, 3000, revoking)
    assert.equal((await b.dial('ann')).status, 503)
    await world.stop()
  })
})

describe('a node that stops', () => {
  it('leaves nothing running, and is not waited for', async () => {
    const world = await ClusterWorld.of(3)
    const [a, b] = world.nodes as unknown as Trio
    await b.dial('ann')
    await world.within(5000, b.close())
    const revoked = await resolved(world, 250, a.gate.revoke({ subject: 'ann' }))
    assert.equal(revoked.nodes.length, 2)
    await world.stop()
    await world.pass(11_000)
    assert.deepEqual(world.memory.hub.reports(), [])
    const asked = world.nodes.map(({ engine }) => new Map(engine.asked))
    await world.pass(60_000)
    for (const [n, { engine }] of world.nodes.entries()) {
      assert.deepEqual(engine.asked, asked[n])
      assert.ok(engine.isClosed && !engine.isOpen)
    }
  })

  it('does not open its engine any more', async () => {
    const world = new ClusterWorld()
    const a = world.add({ prepare: (engine) => engine.cut('open') })
    await world.pass(1000)
    await world.within(5000, a.close())
    a.engine.heal()
    await world.pass(20_000)
    assert.equal(a.engine.isOpen, false)
  })

  it('closes what was opened too late', async () => {
    const world = new ClusterWorld()
    let go = (): void => undefined
    const a = world.add({ prepare: (engine) => (go = engine.hold('open')) })
    await world.pass(1000)
    const closing = a.close()
    await world.pass(250)
    go()
    await world.within(5000, closing)
    assert.equal(a.engine.isOpen, false)
  })

  it('whose engine is away has no timers left', async () => {
    const world = await ClusterWorld.of(1, { onClusterLoss: { then: 'keep' } })
    const [a] = world.nodes as unknown as Trio
    a.engine.hang()
    await world.pass(8000)
    await world.within(20_000, a.close())
    assert.equal(world.clock.timers, 0)
  })

  it('waits no longer for what it does when the engine is away', async () => {
    const world = await ClusterWorld.of(1, { onClusterLoss: { then: 'close' } })
    const [a] = world.nodes as unknown as Trio
    a.engine.hang()
    await world.pass(8000)
    await world.within(20_000, a.close())
    assert.equal(world.clock.timers, 0)
  })
})
