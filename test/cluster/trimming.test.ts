import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { resolved, trio } from './semantics-helpers.ts'
import type { ClusterWorld, Node } from './semantics-world.ts'

const HOUR = 3_600_000

/** So many entries that are over in a minute. */
async function writeSome({ state, clock }: Node, count: number): Promise<void> {
  const { node } = state.cluster ?? {}
  assert.ok(node)
  const until = clock.now() + 60_000
  for (let n = 0; n < count; n++)
    await node.write({ type: 'session', id: node.newId(), session: `over ${n}`, isGone: true, until })
}

/** Long enough for what is over to be of no use to anybody. */
async function later(world: ClusterWorld): Promise<void> {
  await world.pass(1000)
  for (const { clock } of world.nodes) clock.skew += 2 * HOUR
  world.memory.ahead += 2 * HOUR
  await world.pass(5000)
}

describe('entries with which nobody can come any more', () => {
  it(
    'are taken away, and nobody takes that for a loss: who was there, who was away, who comes',
    trio(async (world, [a, b, c]) => {
      await writeSome(a, 50)
      const before = world.memory.page
      c.engine.cut()
      await world.pass(20_000)
      await later(world)
      const after = world.memory.page
      assert.equal(after.generation, before.generation)
      assert.ok(after.floor > 40 && after.entries.length < 20, `${after.floor}, ${after.entries.length}`)
      c.engine.heal()
      const d = world.add()
      d.clock.skew = c.clock.skew
      await world.pass(5000)
      assert.equal(world.memory.page.generation, before.generation)
      for (const node of [a, b, c, d]) assert.equal((await node.dial('ann')).status, 101)
      // Again and again: what says so is taken away in its turn.
      for (let round = 0; round < 3; round++) {
        await writeSome(d, 40)
        await later(world)
      }
      const last = world.memory.page
      assert.deepEqual([last.generation, last.entries.length < 80], [before.generation, true], `${last.entries.length}`)
      const e = world.add()
      e.clock.skew = c.clock.skew
      await world.pass(5000)
      assert.equal((await e.dial('bob')).status, 101)
      assert.equal(world.memory.page.generation, before.generation)
    }),
  )

  it(
    'are taken away from behind one that lives long: that is moved to the end, and holds for who comes then',
    trio(async (world, [a, b]) => {
      await resolved(world, 6000, a.gate.revoke({ session: 's-ann' }))
      await writeSome(a, 1100)
      const before = world.memory.page
      assert.ok(before.entries.length > 1100)
      await later(world)
      await world.pass(30_000)
      const after = world.memory.page
      assert.deepEqual(
        [after.generation, after.entries.length < 100],
        [before.generation, true],
        `${after.entries.length}`,
      )
      assert.equal(b.events.filter(({ type }) => type === 'revoked').length, 1)
      const d = world.add()
      d.clock.skew = a.clock.skew
      await world.pass(5000)
      assert.deepEqual([(await d.dial('ann')).status, (await d.dial('bob')).status], [401, 101])
      assert.equal(world.memory.page.generation, before.generation)
    }),
  )

  it(
    'stay where a node that is there has not read them',
    trio(async (world, [a, b]) => {
      const client = await b.dial('ann')
      b.engine.cut('read')
      await writeSome(a, 40)
      const [{ id } = { id: '' }] = [...b.gate.connections]
      void a.gate.revoke({ connection: id }, { until: new Date(a.clock.now() + 60_000) })
      await world.pass(3000)
      await later(world)
      assert.ok(world.memory.page.floor < 20)
      b.engine.heal()
      await world.pass(5000)
      assert.equal(client.closed?.code, 4401)
    }),
  )
})
