import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Report } from '../../src/cluster/engine.ts'
import { resolved, trio, unheard } from './semantics-helpers.ts'
import { ClusterWorld, type Node } from './semantics-world.ts'

describe('an engine that takes long with what is said', () => {
  it(
    'puts no revocation off',
    trio(async (world, [a, b]) => {
      const names = ['ann', 'bob', 'eve']
      for (const name of names) await b.dial(name)
      b.engine.hang('say')
      const revoking = Promise.all(names.map(async (subject) => await a.gate.revoke({ subject })))
      await world.pass(250)
      const open = b.open()
      await world.within(20_000, revoking)
      assert.deepEqual(open, [])
    }),
  )
})

describe('more acknowledgements than are sent at once', () => {
  it(
    'are acknowledged, all of them',
    trio(async (world, [a, b, c]) => {
      for (const { engine } of [b, c])
        engine.after = async (op) => {
          if (op === 'say') await new Promise<void>((resolve) => world.clock.after(5, resolve))
        }
      const all = Array.from({ length: 200 }, async (_, n) => await a.gate.revoke({ session: `s${n}` }))
      const revoked = await world.within(8000, Promise.all(all))
      assert.ok(Array.isArray(revoked))
      assert.deepEqual(revoked.flatMap(unheard), [])
    }),
  )
})

describe('a log that grows without an end', () => {
  it('does not keep a gate from closing', async () => {
    const world = await ClusterWorld.of(1)
    const [a] = world.nodes
    assert.ok(a)
    const read = a.engine.read.bind(a.engine)
    a.engine.read = async (after, limit) => {
      const { generation } = world.memory.page
      for (let n = 0; n < 2; n++) world.memory.append(generation, new Uint8Array(100))
      await new Promise<void>((resolve) => world.clock.after(100, resolve))
      const page = await read(after, limit)
      return { ...page, entries: page.entries.slice(0, 2) }
    }
    await world.pass(1000)
    const closed = await world.within(20_000, a.close())
    a.engine.read = read
    await world.stop()
    assert.notEqual(closed, 'open')
  })
})

describe('what somebody without the secret puts in', () => {
  it(
    'is told of now and then, not each time it is met',
    trio(async (world, [a]) => {
      for (let n = 0; n < 100; n++) world.memory.hub.report(`n${n}`, new Uint8Array(50), 60_000)
      const before = a.said().length
      await world.pass(10_000)
      const said = a.said().length - before
      assert.ok(said > 0 && said <= 20, `${said} events in 10 s`)
    }),
  )
})

/** What a node has reported in these seconds. */
async function record(world: ClusterWorld, node: Node, seconds: number): Promise<Report[]> {
  const kept: Report[] = []
  for (let n = 0; n < seconds; n++) {
    await world.pass(1000)
    kept.push(...world.memory.hub.reports().filter((report) => report.node === node.state.node))
  }
  return kept
}

/** They are put in again, by turns, while this time passes. */
async function replay(world: ClusterWorld, reports: readonly Report[], ms: number): Promise<void> {
  for (let n = 0; n < ms / 250; n++) {
    const report = reports[n % reports.length]
    if (report !== undefined) world.memory.hub.report(report.node, report.data, 10_000)
    await world.pass(250)
  }
}

describe('reports of a node that is gone, put in again', () => {
  it(
    'are not waited for',
    trio(async (world, [a, , c]) => {
      const kept = await record(world, c, 5)
      c.engine.hang()
      await world.pass(15_000)
      await replay(world, kept, 3000)
      const revoking = a.gate.revoke({ session: 'x' })
      await replay(world, kept, 6000)
      assert.equal((await revoking).nodes.length, 2)
    }),
  )

  it(
    'do not keep everybody out when the log is lost',
    trio(async (world, [a, , c]) => {
      const kept = await record(world, c, 5)
      c.engine.hang()
      await world.pass(15_000)
      await world.memory.flush()
      await replay(world, kept, 30_000)
      assert.equal((await a.dial('ann')).status, 101)
    }),
  )
})

describe('messages that are said again', () => {
  /** Collects what the first node says. */
  function listen(node: Node): Uint8Array[] {
    const said: Uint8Array[] = []
    const say = node.engine.say.bind(node.engine)
    node.engine.say = async (data) => {
      said.push(data)
      await say(data)
    }
    return said
  }

  it(
    'a question is answered once',
    trio(async (world, [a, b]) => {
      await b.dial('ann')
      const said = listen(a)
      await world.within(3000, a.gate.connections.list())
      const [question] = said
      assert.ok(question)
      const before = b.engine.asked.get('say') ?? 0
      for (let n = 0; n < 20; n++) world.memory.hub.say(question)
      await world.pass(500)
      assert.equal((b.engine.asked.get('say') ?? 0) - before, 0)
    }),
  )

  it(
    'an acknowledgement counts for its own entry alone',
    trio(async (world, [a, b, c]) => {
      const said = [b, c].map(listen)
      await resolved(world, 6000, a.gate.revoke({ session: 'x' }))
      for (const node of [b, c]) node.engine.cut()
      const revoking = a.gate.revoke({ session: 'y' })
      for (const data of said.flat()) world.memory.hub.say(data)
      await world.pass(3000)
      assert.equal(await world.within(0, revoking), 'open')
      const { nodes } = await resolved(world, 6000, revoking)
      assert.deepEqual(
        nodes.slice(1).map(({ lagMs }) => lagMs),
        [null, null],
      )
    }),
  )
})
