import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { resolved, trio } from './semantics-helpers.ts'
import { ClusterWorld } from './semantics-world.ts'

const HOUR = 3_600_000

describe('the clock of one node', () => {
  it(
    'that is ahead takes away nothing that still matters',
    trio(async (world, [a]) => {
      await resolved(
        world,
        6000,
        a.gate.revoke({ session: 's-ann' }, { until: new Date(world.clock.now() + HOUR / 2) }),
      )
      const over = { until: new Date(world.clock.now()) }
      for (let n = 0; n < 40; n++) await resolved(world, 6000, a.gate.revoke({ session: `s${n}` }, over))
      const [first] = world.nodes.toSorted((one, other) => (one.state.node < other.state.node ? -1 : 1))
      assert.ok(first)
      first.clock.skew += 3 * HOUR
      await world.pass(70_000)
      const d = world.add()
      await world.pass(8000)
      assert.equal((await d.dial('ann')).status, 401)
    }),
  )

  it(
    'that is ahead, and was asked for the revocation itself, takes away nothing that still matters',
    trio(async (world) => {
      const [first] = world.nodes.toSorted((one, other) => (one.state.node < other.state.node ? -1 : 1))
      assert.ok(first)
      const until = new Date(world.clock.now() + 2 * HOUR)
      first.clock.skew += 3 * HOUR
      await world.pass(5000)
      await resolved(world, 6000, first.gate.revoke({ session: 's-ann' }, { until }))
      const over = { until: new Date(world.clock.now()) }
      for (let n = 0; n < 40; n++) await resolved(world, 6000, first.gate.revoke({ session: `s${n}` }, over))
      world.clock.pass(HOUR)
      await world.pass(70_000)
      const d = world.add()
      await world.pass(8000)
      assert.equal((await d.dial('ann')).status, 401)
    }),
  )

  it('that was ahead for an hour has made it forget nothing', async () => {
    const world = await ClusterWorld.of(1)
    const [a] = world.nodes
    assert.ok(a)
    const until = new Date(world.clock.now() + 2 * HOUR)
    await resolved(world, 6000, a.gate.revoke({ session: 's-ann' }, { until }))
    a.clock.skew += 3 * HOUR
    // So often what is over is looked for.
    world.clock.pass(HOUR + 1000)
    await world.pass(5000)
    a.clock.skew = 0
    await world.pass(5000)
    assert.deepEqual([(await a.dial('ann')).status, (await a.dial('bob')).status], [401, 101])
    await world.stop()
  })

  for (const by of [-HOUR, HOUR])
    it(
      `that jumps by ${by / HOUR} h between two revocations keeps neither from being carried out`,
      trio(async (world, [a, b, c]) => {
        world.login('ann', { issuedAt: undefined })
        const clients = [await b.dial('ann'), await c.dial('ann')]
        await world.pass(20_000)
        b.clock.skew += by
        await resolved(world, 6000, a.gate.revoke({ subject: 'ann' }))
        await world.pass(3000)
        assert.deepEqual(
          clients.map(({ closed }) => closed?.code),
          [4401, 4401],
        )
        const bob = await c.dial('bob')
        await resolved(world, 6000, b.gate.revoke({ subject: 'bob' }))
        assert.equal(bob.closed?.code, 4401)
      }),
    )
})
