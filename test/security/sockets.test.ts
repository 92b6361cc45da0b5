import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, describe, it } from 'node:test'
import { frame } from '../support/frames.ts'
import { connectRaw, halfClose, handshake, handshakeText, rawRequest, reset } from '../support/raw.ts'
import { listen, type Listening } from '../support/servers.ts'
import { trapFaults } from '../support/trap.ts'
import { APPS, KEY, pendingDecision } from './apps.ts'

const withKey = { headers: { 'X-Api-Key': KEY } }
const now = async (): Promise<void> => undefined

/** A good handshake is still accepted: what came before has broken nothing. */
async function assertAlive(listening: Listening): Promise<void> {
  await using connection = await connectRaw(listening)
  connection.send(handshakeText(withKey))
  connection.send(frame('alive'))
  const [first] = await connection.frames(1)
  assert.equal(first?.payload.toString(), 'alive')
}

for (const [name, make] of Object.entries(APPS)) {
  describe(`${name}: a peer that goes`, () => {
    let trap: ReturnType<typeof trapFaults>
    before(() => {
      trap = trapFaults()
    })
    after(() => trap.assertNone())

    for (const [how, go] of [
      ['resets', reset],
      ['half-closes', halfClose],
    ] as const) {
      it(`${how} while the app decides`, async () => {
        const decision = pendingDecision()
        const { server, gate } = await make(decision.wait)
        await using listening = await listen(server)
        const aborted = new Promise((resolve) => {
          gate.on('aborted', resolve)
        })
        const connection = await connectRaw(listening)
        connection.send(handshakeText(withKey))
        await decision.asked
        go(connection.socket)
        await aborted
        decision.decide()
        await listening.noneOpen()
        assert.equal(gate.connections.size, 0)
        await assertAlive(listening)
        connection.destroy()
      })
    }

    it('resets right after the headers, a hundred times', async () => {
      const { server, gate } = await make(async () => new Promise((resolve) => setImmediate(resolve)))
      await using listening = await listen(server)
      await Promise.all(
        Array.from({ length: 100 }, async () => {
          const { socket } = await connectRaw(listening)
          socket.write(handshakeText(withKey), () => reset(socket))
          await once(socket, 'close')
        }),
      )
      await listening.noneOpen()
      assert.equal(gate.connections.size, 0)
      await assertAlive(listening)
    })

    it('resets right after the 101, and leaves no connection behind', async () => {
      const { server, gate } = await make(now)
      await using listening = await listen(server)
      for (let n = 0; n < 20; n++) {
        const connection = await connectRaw(listening)
        connection.send(handshakeText(withKey))
        await connection.response()
        reset(connection.socket)
      }
      await listening.noneOpen()
      assert.equal(gate.connections.size, 0)
      await assertAlive(listening)
    })

    it('never closes: a refused socket is gone within a second all the same', async () => {
      const { server } = await make(now)
      await using listening = await listen(server)
      const connections = await Promise.all(
        Array.from({ length: 30 }, async (_, n) => {
          const connection = await connectRaw(listening)
          connection.send(n % 2 === 0 ? handshakeText() : handshakeText({ headers: { Origin: 'null' } }))
          await connection.response()
          return connection
        }),
      )
      await listening.noneOpen(1500)
      for (const connection of connections) connection.destroy()
      await assertAlive(listening)
    })

    it('sends a malformed first frame with the handshake', async () => {
      const { server, gate } = await make(now)
      await using listening = await listen(server)
      for (const bytes of [
        Buffer.from([0xf1, 0x80, 0, 0, 0, 0]),
        Buffer.from('GET / HTTP/1.1\r\n\r\n'),
        Buffer.from([0x81, 0x01, 0x61]),
        Buffer.alloc(200, 0xff),
      ]) {
        await using connection = await connectRaw(listening)
        connection.send(Buffer.concat([Buffer.from(handshakeText(withKey)), bytes]))
        await connection.ended()
      }
      await listening.noneOpen()
      assert.equal(gate.connections.size, 0)
      await assertAlive(listening)
    })

    it('is never heard again after a refusal: a pipelined request gets no answer', async () => {
      const { server } = await make(now)
      await using listening = await listen(server)
      for (const first of [
        handshakeText(),
        handshakeText({ target: '//' }),
        handshakeText({ headers: { Upgrade: 'h2c' } }),
      ]) {
        const answer = await rawRequest({
          port: listening.port,
          bytes: `${first}GET /ws HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: ${KEY}\r\n\r\n`,
        })
        assert.ok(answer.closed)
        assert.match(answer.header('connection') ?? '', /close/)
        assert.equal(answer.rest.length, 0)
      }
    })

    it('sends targets that parsers choke on', async () => {
      const { server } = await make(now)
      await using listening = await listen(server)
      for (const target of [
        '//',
        '///',
        '//[',
        '/\\',
        '//a:99999/',
        '/%zz',
        '/%E0%A4%A',
        'http://127.0.0.1:9/ws',
        '/x/../ws',
        '/x/%2e%2e/ws',
        '/./ws',
        '//evil/ws',
        '/%77s',
        '/ws;a',
        '/ws%2f',
        `/${'a'.repeat(5000)}`,
      ]) {
        for (const headers of [{}, withKey.headers]) {
          const { status } = await rawRequest({ port: listening.port, lines: handshake({ target, headers }) })
          assert.ok(status === 400 || status === 414, `${target}: ${status}`)
        }
      }
      await assertAlive(listening)
    })

    it('floods headers, before and after the real ones', async () => {
      const { server } = await make(now)
      await using listening = await listen(server)
      for (const count of [65, 300, 2100]) {
        const junk = Array.from({ length: count }, (_, n) => `x-${n}: 1`)
        const [line = '', ...own] = handshake(withKey)
        for (const lines of [
          [line, ...junk, ...own],
          [line, ...own, ...junk],
        ]) {
          const { status } = await rawRequest({ port: listening.port, lines })
          // Where the flood pushed Upgrade out, Node sees a plain request: not a WebSocket either way.
          assert.ok(status !== 101 && status >= 400, `${count}: ${status}`)
        }
      }
      await assertAlive(listening)
    })

    it('sends 100 KiB before the decision: kept back by TCP, delivered after it', async () => {
      const decision = pendingDecision()
      const { server } = await make(decision.wait)
      await using listening = await listen(server)
      await using connection = await connectRaw(listening)
      connection.send(handshakeText(withKey))
      for (let n = 0; n < 100; n++) connection.send(frame(`${n}:${'x'.repeat(1000)}`))
      await decision.asked
      decision.decide()
      const frames = await connection.frames(100)
      assert.deepEqual(
        frames.map(({ payload }) => Number.parseInt(payload.toString(), 10)),
        Array.from({ length: 100 }, (_, n) => n),
      )
    })
  })
}
