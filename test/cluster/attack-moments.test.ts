import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MAX_ID } from '../../src/core/identity.ts'
import { resolved, trio } from './semantics-helpers.ts'
import { ClusterWorld } from './semantics-world.ts'

describe('a gate that is closed', () => {
  for (const ops of [['append'], ['reports'], ['say'], ['read'], ['leave'], []] as const)
    it(`while it revokes, and ${ops.join() || 'everything'} hangs: both come to an end`, async () => {
      const world = await ClusterWorld.of(2)
      const [a, b] = world.nodes
      assert.ok(a && b)
      const client = await b.dial('ann')
      a.engine.hang(...ops)
      const revoking = a.gate.revoke({ subject: 'ann' }).catch((error: unknown) => error)
      await world.pass(100)
      const closing = a.close()
      assert.notEqual(await world.within(20_000, closing), 'open')
      assert.notEqual(await world.within(20_000, revoking), 'open')
      await world.stop()
      assert.notEqual(client.closed, undefined)
    })

  it('leaves nothing that would keep it in memory', async () => {
    const world = await ClusterWorld.of(1)
    const [a] = world.nodes
    assert.ok(a)
    await resolved(world, 6000, a.gate.revoke({ subject: 'ann' }))
    await world.stop()
    await world.pass(1000)
    assert.equal(world.clock.timers, 0)
  })

  it('while somebody waits for a place: it lets nobody in, and the place is free', async () => {
    const world = await ClusterWorld.of(2, { limits: { connectionsPerSubject: 1 } })
    const [a, b] = world.nodes
    assert.ok(a && b)
    const answer = a.engine.holdAnswers('enter')
    const client = await a.dial('ann')
    const closing = a.close()
    await world.pass(100)
    answer()
    assert.notEqual(await world.within(20_000, closing), 'open')
    assert.equal(client.status, 503)
    await world.pass(31_000)
    assert.equal((await b.dial('ann')).status, 101)
    await world.stop()
  })
})

describe('selectors of another node', () => {
  const names = ['\0', '\u{d800}', '\u{202e}nna', 'é', 'é'.normalize('NFD'), '__proto__', '{"', `'; --`, ' ']
  for (const subject of [...names, 'x'.repeat(MAX_ID), '\u{1f600}'.repeat(MAX_ID / 2)])
    it(
      `mean whom they name, and nobody else: ${JSON.stringify(subject.slice(0, 8))}`,
      trio(async (world, [a, b]) => {
        world.login('ann', { subject, session: undefined })
        world.login('other', { subject: `${subject.slice(1)}.`, session: undefined })
        const [meant, other] = [await b.dial('ann'), await b.dial('other')]
        assert.deepEqual([meant.status, other.status], [101, 101])
        const { closed } = await resolved(world, 6000, a.gate.revoke({ subject }))
        assert.deepEqual([closed, meant.closed?.code, other.closed], [1, 4401, undefined])
        assert.equal((await b.dial('ann')).status, 401)
      }),
    )
})

describe('a renewal at a node without its connections', () => {
  it(
    'has the others ask the app no more often than renewals are allowed',
    trio(
      async (world, [a, b]) => {
        assert.equal((await b.dial('ann')).status, 101)
        for (let n = 0; n < 50; n++) {
          const posted = a.post('/renew', 'ann')
          await world.pass(10)
          await posted
        }
        await world.pass(1000)
        const asked = b.events.filter(({ type }) => type === 'rechecked').length
        assert.ok(asked > 0 && asked <= 12, `${asked} times`)
      },
      { recheck: { every: '10h' } },
    ),
  )
})
