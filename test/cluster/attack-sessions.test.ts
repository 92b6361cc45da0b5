import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ClusterWorld, type Node } from './semantics-world.ts'

interface Two {
  readonly world: ClusterWorld
  readonly a: Node
  readonly b: Node
  /** A logout at the first node. */
  logOut(session: string): void
}

/** Two nodes with a session store each, as one that lies in a database; nothing is asked again. */
async function two(): Promise<Two> {
  const world = new ClusterWorld()
  const stores = [0, 1].map(() => ({ destroy: (_id: string, done: () => void) => setImmediate(done) }))
  for (const sessionStore of stores) world.add({ recheck: false, sessionStore })
  await world.pass(4000)
  const [a, b] = world.nodes
  assert.ok(a && b)
  return { world, a, b, logOut: (session) => stores[0]?.destroy(session, () => undefined) }
}

describe('a logout while the engine is away', () => {
  it('is carried out when it is back', async () => {
    const { world, a, b, logOut } = await two()
    const client = await b.dial('ann')
    a.engine.cut()
    logOut('s-ann')
    await world.pass(4000)
    a.engine.heal()
    await world.pass(10_000)
    assert.equal(client.closed?.code, 4401)
    await world.stop()
  })

  it('is carried out although there were more than are kept', async () => {
    const { world, a, b, logOut } = await two()
    const client = await b.dial('ann')
    a.engine.cut()
    await world.pass(2000)
    logOut('s-ann')
    for (let n = 0; n < 1100; n++) logOut(`s-other${n}`)
    await world.pass(4000)
    a.engine.heal()
    await world.pass(10_000)
    assert.notEqual(client.closed, undefined)
    await world.stop()
  })
})

describe('a logout that was lost with the log it was in', () => {
  it('is carried out where nothing is asked again, too', async () => {
    const { world, b, logOut } = await two()
    const client = await b.dial('ann')
    b.engine.cut()
    logOut('s-ann')
    await world.pass(2000)
    await world.memory.flush()
    b.engine.heal()
    await world.pass(9000)
    assert.notEqual(client.closed, undefined)
    await world.stop()
  })
})
