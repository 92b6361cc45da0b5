import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { frame } from '../../support/frames.ts'
import { connectRaw, handshakeText, type RawConnection } from '../../support/raw.ts'
import type { Listening } from '../../support/servers.ts'
import { trapFaults } from '../../support/trap.ts'
import {
  assertOk,
  authFrame,
  byHand,
  closeOf,
  guard,
  make,
  nextEvent,
  serve,
  textsOf,
  type Guard,
  type Say,
  type StackName,
} from './support.ts'

let trap: ReturnType<typeof trapFaults>
before(() => {
  trap = trapFaults()
})
after(() => trap.assertNone())

/** Whoever has the cookie is ann. */
const cookieOr =
  (other: Guard): Guard =>
  (authorization, req) =>
    req?.headers.cookie === 'sid=ann' ? 'ann' : other(authorization, req)

async function openWithCookie(listening: Pick<Listening, 'port'>): Promise<RawConnection> {
  const connection = await connectRaw(listening)
  connection.send(handshakeText({ headers: { Cookie: 'sid=ann', Origin: 'http://localhost' } }))
  assert.equal((await connection.response()).status, 101)
  return connection
}

for (const stack of ['Express', 'Fastify'] as StackName[]) {
  describe(`${stack}: a handshake that passes by itself, and a message all the same`, () => {
    it('the same person stays, and the app sees nothing of it', async () => {
      const made = await make(stack, { guard: cookieOr(guard) })
      await using listening = await serve(made)
      await using connection = await openWithCookie(listening)
      connection.send(authFrame())
      assertOk((await textsOf(connection, 1))[0])
      connection.send(frame('hello'))
      assert.equal((await textsOf(connection, 2))[1], 'echo hello')
      assert.deepEqual(made.delivered, ['hello'])
    })

    it('later ones renew the connection: what is refused leaves it as it was', async () => {
      const made = await make(stack, { guard: cookieOr(guard) })
      await using listening = await serve(made)
      await using connection = await openWithCookie(listening)
      connection.send(frame('hello'))
      assert.equal((await textsOf(connection, 1))[0], 'echo hello')
      connection.send(authFrame())
      assertOk((await textsOf(connection, 2))[1])
      connection.send(authFrame('ann', 'wrong'))
      assert.deepEqual((await textsOf(connection, 3))[2], { type: 'auth_error', status: 401, code: 'app' })
      connection.send(frame('{"type":"auth"}'))
      assert.deepEqual((await textsOf(connection, 4))[3], { type: 'auth_error', status: 400, code: 'bad_auth_message' })
      connection.send(frame('still here'))
      assert.equal((await textsOf(connection, 5))[4], 'echo still here')
      assert.deepEqual(made.delivered, ['hello', 'still here'])
      const ended = nextEvent(made.gate, 'ended')
      connection.send(authFrame('eve'))
      await ended
      assert.deepEqual(made.said, ['accepted', 'ended identity_changed'])
    })

    for (const [name, message, code, reason, error] of [
      ['another person', authFrame('eve'), 4403, 'identity_changed', { status: 403, code: 'identity_changed' }],
      ['a wrong password', authFrame('ann', 'wrong'), 4401, 'app', { status: 401, code: 'app' }],
      ['a malformed one', frame('{"type":"auth"}'), 4400, 'bad_auth_message', undefined],
      ['one that is too big', frame(`{"type":"auth","x":"${'x'.repeat(5000)}"}`), 1009, 'message_too_big', undefined],
    ] as const) {
      it(`${name} ends it: ${code} ${reason}`, async () => {
        const made = await make(stack, { guard: cookieOr(guard) })
        await using listening = await serve(made)
        await using connection = await openWithCookie(listening)
        const ended = nextEvent(made.gate, 'ended')
        connection.send(Buffer.concat([message]))
        const close = await closeOf(connection)
        assert.deepEqual([close.code, close.reason], [code, reason])
        assert.deepEqual(close.texts, error === undefined ? [] : [{ type: 'auth_error', ...error }])
        connection.destroy()
        await ended
        assert.deepEqual(made.said, ['accepted', `ended ${reason}`])
        assert.deepEqual(made.delivered, [])
      })
    }

    it('a message before the answer ends it, and none of both is delivered', async () => {
      const hand = byHand<Say>()
      const made = await make(stack, { guard: cookieOr(() => hand.ask()) })
      await using listening = await serve(made)
      await using connection = await openWithCookie(listening)
      connection.send(authFrame())
      await hand.asked
      const ended = nextEvent(made.gate, 'ended')
      connection.send(frame('early'))
      const close = await closeOf(connection)
      hand.settle('ann')
      assert.deepEqual([close.code, close.reason], [4400, 'bad_auth_message'])
      connection.destroy()
      await ended
      assert.deepEqual(made.delivered, [])
    })

    it('the deadline, and a client that goes, end the asking', async () => {
      const hand = byHand<Say>()
      const made = await make(stack, { guard: cookieOr(() => hand.ask()), limits: { deadline: 100 } })
      await using listening = await serve(made)
      await using connection = await openWithCookie(listening)
      connection.send(authFrame())
      const close = await closeOf(connection)
      assert.deepEqual([close.code, close.reason], [1013, 'handshake_timeout'])
      const second = await openWithCookie(listening)
      second.send(authFrame())
      await hand.asked
      second.destroy()
      connection.destroy()
      await listening.noneOpen()
      hand.settle('ann')
      assert.equal(made.gate.connections.size, 0)
    })
  })
}
