import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { LogPage } from '../../src/cluster/engine.ts'
import { rejected, resolved, trio } from './semantics-helpers.ts'
import { ClusterWorld } from './semantics-world.ts'

const HOUR = 3_600_000

/** Whoever may write into the engine changes what all read there, in the log that there is now. */
function tamper({ memory }: ClusterWorld, change: (page: LogPage) => LogPage): void {
  const { generation } = memory.page
  const read = memory.read.bind(memory)
  memory.read = (after, limit) => {
    const page = read(after, limit)
    return page.generation === generation ? change(page) : page
  }
}

/** Nothing in it can be read any more; the numbers stay. */
function garble(isMeant: (seq: number) => boolean) {
  return (page: LogPage): LogPage => ({
    ...page,
    entries: page.entries.map(({ seq, data }) => ({ seq, data: isMeant(seq) ? data.map((byte) => byte ^ 1) : data })),
  })
}

describe('somebody without the secret takes entries out of the log', () => {
  it(
    'by its front, before a node that was away has read them: it does not take itself for live',
    trio(async (world, [a, b]) => {
      const client = await b.dial('ann')
      b.engine.cut()
      await world.pass(6000)
      await resolved(world, 6000, a.gate.revoke({ session: 's-ann' }))
      const { generation, last } = world.memory.page
      world.memory.trim(generation, last)
      b.engine.heal()
      await world.pass(10_000)
      assert.deepEqual([client.closed?.code, (await b.dial('ann')).status], [4401, 401])
    }),
  )

  it(
    'by its front, before a node starts: it does not let in who is out',
    trio(async (world, [a]) => {
      await resolved(world, 6000, a.gate.revoke({ session: 's-ann' }))
      const { generation, last } = world.memory.page
      world.memory.trim(generation, last)
      const d = world.add()
      await world.pass(10_000)
      assert.equal((await d.dial('ann')).status, 401)
    }),
  )

  it(
    'by writing over them, before a node that was away has read them',
    trio(async (world, [a, b]) => {
      const client = await b.dial('ann')
      b.engine.cut()
      await world.pass(6000)
      await resolved(world, 6000, a.gate.revoke({ session: 's-ann' }))
      const { last } = world.memory.page
      await resolved(world, 6000, a.gate.revoke({ session: 's-nobody' }))
      tamper(
        world,
        garble((seq) => seq === last),
      )
      b.engine.heal()
      await world.pass(10_000)
      assert.deepEqual([client.closed?.code, (await b.dial('ann')).status], [4401, 401])
    }),
  )

  it(
    'by writing over them, before a node starts',
    trio(async (world, [a]) => {
      await resolved(world, 6000, a.gate.revoke({ session: 's-ann' }))
      const { last } = world.memory.page
      await resolved(world, 6000, a.gate.revoke({ session: 's-nobody' }))
      tamper(
        world,
        garble((seq) => seq <= last),
      )
      const d = world.add()
      await world.pass(10_000)
      assert.equal((await d.dial('ann')).status, 401)
    }),
  )
})

describe('somebody without the secret takes entries out of the log before a node starts', () => {
  /** Revoked by an entry that is written over; the newest one is not. */
  async function writeOver(world: ClusterWorld): Promise<void> {
    const [a] = world.nodes
    assert.ok(a)
    await resolved(world, 6000, a.gate.revoke({ session: 's-ann' }))
    const { last } = world.memory.page
    await resolved(world, 6000, a.gate.revoke({ session: 's-nobody' }))
    tamper(
      world,
      garble((seq) => seq <= last),
    )
  }

  it(
    'and takes away the reports, by which it would see that',
    trio(async (world, [a, b, c]) => {
      await writeOver(world)
      for (const { engine } of [a, b, c]) engine.see = (reports) => reports.filter(({ node }) => node !== d.state.node)
      const d = world.add({ prepare: (engine) => (engine.see = () => []) })
      await world.pass(10_000)
      assert.notEqual((await d.dial('ann')).status, 101)
    }),
  )

  it(
    'and takes away the reports: not even for the second until the others look',
    trio(async (world, [a, b, c]) => {
      await resolved(world, 6000, a.gate.revoke({ session: 's-ann' }))
      tamper(
        world,
        garble(() => true),
      )
      for (const { engine } of [a, b, c]) {
        engine.see = (reports) => reports.filter(({ node }) => node !== d.state.node)
        engine.wakes = false
      }
      const d = world.add({ prepare: (engine) => (engine.see = () => []) })
      const statuses = new Set<number | undefined>()
      for (let n = 0; n < 20; n++) {
        await world.pass(50)
        statuses.add((await d.dial('ann')).status)
      }
      assert.ok(!statuses.has(101), [...statuses].join())
    }),
  )

  it(
    'and adds so many that what it has read cannot be compared',
    trio(async (world, [a, b, c]) => {
      await writeOver(world)
      for (const { engine } of [a, b, c]) engine.wakes = false
      const { generation, last } = world.memory.page
      let reads = 0
      const d = world.add({
        prepare(engine) {
          const read = engine.read.bind(engine)
          engine.read = async (after, limit) => {
            reads += 1
            if (reads === 2) for (let n = last; n < 2500; n++) world.memory.append(generation, new Uint8Array(1))
            return await read(after, limit)
          }
        },
      })
      const statuses = new Set<number | undefined>()
      for (let n = 0; n < 20; n++) {
        await world.pass(100)
        statuses.add((await d.dial('ann')).status)
      }
      assert.ok(!statuses.has(101), [...statuses].join())
    }),
  )
})

describe('somebody without the secret shows one node another log for a moment', () => {
  it(
    'when it moves entries to the end: it moves what they were, or nothing',
    trio(async (world, [a]) => {
      await resolved(world, 6000, a.gate.revoke({ session: 's-ann' }))
      const { node } = a.state.cluster ?? {}
      assert.ok(node)
      const until = world.clock.now()
      for (let n = 0; n < 1100; n++)
        await node.write({ type: 'session', id: node.newId(), session: `over ${n}`, isGone: true, until })
      for (const { engine } of world.nodes) {
        const read = engine.read.bind(engine)
        const garbled = garble(() => true)
        engine.read = async (after, limit) => {
          const page = await read(after, limit)
          return limit === 500 ? page : garbled(page)
        }
      }
      for (const { clock } of world.nodes) clock.skew += 2 * HOUR
      await world.pass(30_000)
      const d = world.add()
      d.clock.skew = a.clock.skew
      await world.pass(8000)
      assert.equal((await d.dial('ann')).status, 401)
    }),
  )
})

describe('the time of the engine', () => {
  it(
    'is set forward while an entry is on its way: it ends those who were open all the same',
    trio(async (world, [a, b]) => {
      world.login('ann', { issuedAt: undefined })
      const client = await b.dial('ann')
      await world.pass(20_000)
      const { memory } = world
      let ahead = 0
      tamper(world, (page) => ({ ...page, age: page.age + ahead }))
      const append = memory.append.bind(memory)
      memory.append = (generation, data) => {
        ahead = 60_000
        return append(generation, data)
      }
      await resolved(world, 6000, a.gate.revoke({ subject: 'ann' }))
      await world.pass(2000)
      assert.equal(client.closed?.code, 4401)
    }),
  )

  it(
    'is set back with an old entry put in again: it ends nobody who has come since',
    trio(async (world, [a]) => {
      world.login('ann', { issuedAt: undefined })
      await resolved(world, 6000, a.gate.revoke({ subject: 'ann' }))
      const { entries, generation, last } = world.memory.page
      await world.pass(HOUR / 60)
      const replayed = entries.at(-1)
      assert.ok(replayed)
      // A node that has not met it, since it was trimmed.
      world.memory.trim(generation, last)
      const d = world.add()
      await world.pass(10_000)
      const since = await d.dial('ann')
      assert.equal(since.status, 101)
      tamper(world, (page) => ({ ...page, age: 0 }))
      world.memory.append(generation, replayed.data)
      await world.pass(5000)
      assert.equal(since.closed, undefined)
    }),
  )
})

describe('what was held', () => {
  it('and is put in again when nobody knows it any more ends nobody', async () => {
    const world = await ClusterWorld.of(2)
    const [a, b] = world.nodes
    assert.ok(a && b)
    world.login('ann', { issuedAt: undefined })
    const until = new Date(world.clock.now() + 60_000)
    await resolved(world, 6000, a.gate.revoke({ subject: 'ann' }, { until }))
    await world.memory.flush()
    await world.pass(8000)
    const { generation, entries } = world.memory.page
    for (const { clock } of world.nodes) clock.skew += 5 * HOUR
    await world.pass(3000)
    // So often it is looked for what is over.
    world.clock.pass(HOUR)
    await world.pass(5000)
    const since = await b.dial('ann')
    assert.equal(since.status, 101)
    for (const { data } of entries) world.memory.append(generation, data)
    await world.pass(5000)
    assert.equal(since.closed, undefined)
    await world.stop()
  })
})

describe('the time of a node', () => {
  it(
    'is set forward while it cannot write: its revocations end those who were open all the same',
    trio(async (world, [a, b]) => {
      world.login('ann', { issuedAt: undefined })
      const client = await b.dial('ann')
      await world.pass(20_000)
      a.engine.cut()
      await rejected(world, 4000, a.gate.revoke({ subject: 'ann' }))
      a.clock.skew += 60_000
      a.engine.heal()
      await world.pass(10_000)
      assert.equal(client.closed?.code, 4401)
    }),
  )
})
