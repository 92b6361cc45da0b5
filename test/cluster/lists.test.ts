import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { ConnectionPage } from '../../src/index.ts'
import { trio } from './semantics-helpers.ts'
import type { ClusterWorld, Node } from './semantics-world.ts'

async function list(
  world: ClusterWorld,
  { gate }: Node,
  filter: Parameters<Node['gate']['connections']['list']>[0] = {},
): Promise<ConnectionPage> {
  const page = await world.within(10_000, gate.connections.list(filter))
  if (page === 'open' || page instanceof Error) throw new Error(`it is ${String(page)}`)
  return page
}

const subjects = ({ items }: ConnectionPage): string[] => items.map(({ subject }) => subject).toSorted()

describe('the connections of all nodes', () => {
  it(
    'come in pages, by id, each once, whichever node is asked',
    trio(async (world, nodes) => {
      for (let n = 0; n < 21; n++) {
        const name = world.login(`user${n}`)
        assert.equal((await nodes[n % 3]?.dial(name))?.status, 101)
      }
      for (const node of nodes) {
        const ids: string[] = []
        let after: string | undefined
        let pages = 0
        do {
          const page = await list(world, node, { limit: 5, ...(after === undefined ? {} : { after }) })
          assert.deepEqual(page.missing, [])
          ids.push(...page.items.map(({ id }) => id))
          after = page.next
          pages += 1
        } while (after !== undefined)
        assert.equal(pages, 5)
        assert.deepEqual(ids, [...new Set(ids)].toSorted())
        assert.equal(ids.length, 21)
      }
    }),
  )

  it(
    'are found by what they are, and show no session id and no token',
    trio(async (world, [a, b, c]) => {
      world.login('ann', { tags: ['staff'], expiresAt: new Date(world.clock.now() + 60_000) })
      world.login('amy', { tags: ['staff'], session: 's-ann' })
      world.login('other', { subject: 'ann', issuer: 'https://id.example' })
      for (const [node, login] of [
        [a, 'ann'],
        [b, 'amy'],
        [c, 'other'],
        [c, 'bob'],
      ] as const)
        assert.equal((await node.dial(login)).status, 101)
      assert.deepEqual(subjects(await list(world, a, { subject: 'ann' })), ['ann', 'ann'])
      assert.deepEqual(subjects(await list(world, a, { subject: 'ann', issuer: 'https://id.example' })), ['ann'])
      assert.deepEqual(subjects(await list(world, c, { tag: 'staff' })), ['amy', 'ann'])
      const page = await list(world, b, { session: 's-ann' })
      assert.deepEqual(subjects(page), ['amy', 'ann'])
      assert.equal(new Set(page.items.map(({ session }) => session)).size, 1)
      assert.ok(!JSON.stringify(page).includes('s-ann'))
      assert.ok(page.items.every((item) => !('token' in item) && item.openedAt instanceof Date))
      const [ann] = (await list(world, c, { subject: 'ann' })).items.filter(({ tags }) => tags.length > 0)
      assert.deepEqual(
        [ann?.node, ann?.expiresAt?.getTime()],
        [a.state.node, world.logins.get('ann')?.expiresAt?.getTime()],
      )
    }),
  )

  it(
    'may be long ones of many characters, in messages that come in any order, and again',
    trio(async (world, [a, b]) => {
      const tags = Array.from({ length: 30 }, (_, n) => `${n} ${'ü€😀"'.repeat(200)}`)
      for (const name of ['x', 'y', 'z']) assert.equal((await b.dial(world.login(name, { tags }))).status, 101)
      const late: Array<() => void> = []
      a.engine.network = (deliver) => {
        deliver()
        late.unshift(deliver)
      }
      const sizes: number[] = []
      const { say } = b.engine
      b.engine.say = async (data) => {
        sizes.push(data.length)
        await say.call(b.engine, data)
      }
      const page = await list(world, a)
      assert.deepEqual(subjects(page), ['x', 'y', 'z'])
      assert.deepEqual(page.items[1]?.tags, tags)
      assert.ok(sizes.length > 20)
      assert.ok(Math.max(...sizes) <= 6144, `${Math.max(...sizes)}`)
      a.engine.network = (deliver) => late.unshift(deliver)
      const again = a.gate.connections.list()
      await world.pass(100)
      for (const deliver of late) {
        deliver()
        deliver()
      }
      assert.equal(await world.within(0, again.then(subjects).then(String)), 'x,y,z')
    }),
  )

  it(
    'of a node that does not answer are missing, and it is named',
    trio(async (world, [a, b, c]) => {
      for (const [n, node] of [a, b, c].entries()) await node.dial(world.login(`user${n}`))
      b.engine.hang()
      const page = await list(world, a)
      assert.deepEqual([subjects(page), page.missing], [['user0', 'user2'], [b.state.node]])
    }),
  )

  for (const fault of ['cut', 'hang'] as const) {
    it(
      `are those of this node, and all others are named, where the engine is away (${fault})`,
      trio(async (world, [a, b, c]) => {
        for (const node of [a, b, c]) await node.dial('ann')
        a.engine[fault]()
        const page = await list(world, a)
        assert.deepEqual(
          page.items.map(({ node }) => node),
          [a.state.node],
        )
        assert.deepEqual(page.missing.toSorted(), [b.state.node, c.state.node].toSorted())
      }),
    )
  }

  it(
    'are not asked for with a filter that is none',
    trio(async (_world, [a]) => {
      const wrong = [
        { limit: 0 },
        { limit: 201 },
        { limit: 1.5 },
        { subject: 7 },
        { unknown: 'x' },
        { tag: 'x'.repeat(5000) },
      ]
      for (const filter of wrong)
        await assert.rejects(a.gate.connections.list(filter as never), { code: 'GATE101_CONFIG' })
    }),
  )
})
