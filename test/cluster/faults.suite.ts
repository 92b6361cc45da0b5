import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { ipcHub } from '../../src/ipc.ts'
import { skipWithout } from '../support/debian.ts'
import { KINDS, type Faulty, type FaultyKind } from './faults-engines.ts'
import { check } from './faults-checker.ts'
import { outOf, SCENARIOS, sessionOf, somebody } from './faults-scenarios.ts'
import { World } from './faults-world.ts'

// Processes of their own, cables that swallow what is sent, servers that are killed: after each fault the promise of docs/cluster.md is
// held against all that the nodes and their clients have seen.

/** What is seen on one engine is seen on all. */
const FIRST = KINDS.find(({ found }) => !('missing' in found))?.name

function faults({ name, found, start }: FaultyKind): void {
  describe(`the promise holds on ${name}`, { skip: skipWithout(found), concurrency: 1, timeout: 120_000 }, () => {
    let engine: Faulty
    let world: World

    before(async () => {
      engine = await start()
      world = await World.start(name, engine.port)
    })

    after(async () => {
      await world?.stop()
      await engine?.stop()
    })

    for (const { name: fault, needs, run } of SCENARIOS) {
      test(fault, async (t) => {
        if (needs !== undefined && engine[needs] === undefined) return t.skip(`${name} has no such thing`)
        try {
          await run(world, engine)
          await world.assertKept()
        } finally {
          await world.restore(engine.port)
        }
        return undefined
      })
    }

    test('the checker sees it where a safeguard is switched off', { skip: name !== FIRST }, async () => {
      const subject = somebody()
      const { cable } = await world.add('unsafe', engine.port, { dangerouslyAcceptWhenStale: true })
      await world.allLive()
      await world.open('unsafe', sessionOf(subject))
      cable?.cut()
      await world.lost('unsafe')
      assert.equal(typeof (await world.revoke('a', outOf(subject))), 'object')
      await world.tick()
      assert.equal((await world.dial('unsafe', sessionOf(subject))).status, 101)
      const said = check(world.history)
      assert.equal(said.length, 1)
      assert.match(said[0] ?? '', /^\(2\) let in: .* on unsafe/)
    })
  })
}

/** A hub cannot be cut off without the processes that it has started; they can be paused, and killed. */
function ipcFaults(): void {
  describe('the promise holds on ipc', { concurrency: 1, timeout: 120_000 }, () => {
    let world: World

    before(async () => {
      const hub = ipcHub()
      world = await World.start('ipc', undefined, (child) => hub.add(child))
    })

    after(async () => {
      await world?.stop()
    })

    for (const { name, run } of SCENARIOS.filter(({ withoutServer }) => withoutServer)) {
      test(name, async () => {
        try {
          await run(world, undefined as never)
          await world.assertKept()
        } finally {
          await world.restore()
        }
      })
    }

    test('killed: the others go on, and those who were on it come back', async () => {
      const [leaving, staying] = [somebody(), somebody()]
      await Promise.all([world.open('c', sessionOf(leaving)), world.open('c', sessionOf(staying))])
      const socket = await world.open('a', sessionOf(leaving))
      world.node('c').process.kill('SIGKILL')
      assert.equal(typeof (await world.revoke('b', outOf(leaving))), 'object')
      await world.closed(socket)
      await world.open('a', sessionOf(staying))
      assert.deepEqual(check(world.history), [])
    })
  })
}

describe('faults', { concurrency: 4 }, () => {
  for (const kind of KINDS) faults(kind)
  ipcFaults()
})
