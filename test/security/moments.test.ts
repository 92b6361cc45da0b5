import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { WebSocketServer } from 'ws'
import type { GateEvent } from '../../src/index.ts'
import { frame } from '../support/frames.ts'
import { connectRaw, halfClose, handshakeText, rawRequest, handshake, reset } from '../support/raw.ts'
import { listen, type Listening } from '../support/servers.ts'
import { trapFaults } from '../support/trap.ts'
import { APPS, expressApp, KEY, pendingDecision, type MadeApp } from './apps.ts'

const headers = { 'X-Api-Key': KEY }
const text = handshakeText({ headers })
const now = async (): Promise<void> => undefined
const turns = async (count = 20): Promise<void> => {
  for (let n = 0; n < count; n++) await new Promise(setImmediate)
}

async function assertAlive(listening: Listening): Promise<void> {
  await using connection = await connectRaw(listening)
  connection.send(text)
  connection.send(frame('alive'))
  const [first] = await connection.frames(1)
  assert.equal(first?.text, 'alive')
}

function record({ gate }: MadeApp): string[] {
  const said: string[] = []
  for (const type of ['refused', 'accepted', 'aborted', 'ended'] as const)
    gate.on(type, (event: GateEvent) => said.push('code' in event ? `${event.type} ${event.code}` : event.type))
  return said
}

/** Each way in which a client can go, and what the middleware must hear of it. */
const WAYS = [
  ['RST', reset],
  ['FIN', halfClose],
  ['FIN behind early data in the same packet', halfClose],
] as const

let trap: ReturnType<typeof trapFaults>
before(() => {
  trap = trapFaults()
})
after(() => trap.assertNone())

for (const [name, make] of Object.entries(APPS)) {
  describe(`${name}: the client goes`, () => {
    for (const [way, go] of WAYS) {
      it(`${way} while the middleware waits: it hears 'close' on request and response at once`, async () => {
        const decision = pendingDecision()
        const heard: string[] = []
        let bothClosed: () => void = () => undefined
        const both = new Promise<void>((resolve) => {
          bothClosed = resolve
        })
        const hear = (what: string) => (): void => {
          if (heard.push(what) === 2) bothClosed()
        }
        const made = await make(async (req, res) => {
          if (req.headers['x-first'] === undefined) return
          req.once('close', hear('req'))
          res.once('close', hear('res'))
          await decision.wait()
        })
        const said = record(made)
        await using listening = await listen(made.server)
        const connection = await connectRaw(listening)
        const early = way.includes('early') ? frame('early') : Buffer.alloc(0)
        connection.send(
          Buffer.concat([Buffer.from(handshakeText({ headers: { ...headers, 'X-First': 'yes' } })), early]),
        )
        await decision.asked
        go(connection.socket)
        await both
        decision.decide()
        await listening.noneOpen()
        await turns()
        assert.deepEqual(said, ['aborted'])
        assert.equal(made.gate.connections.size, 0)
        connection.destroy()
        await assertAlive(listening)
      })
    }

    it('while identify() waits: nothing opens', async () => {
      const decision = pendingDecision()
      let first = true
      const made = await make(now, {
        identify: async () => {
          if (first) await decision.wait()
          first = false
          return { subject: 'ann' }
        },
      })
      const said = record(made)
      await using listening = await listen(made.server)
      const connection = await connectRaw(listening)
      connection.send(text)
      await decision.asked
      reset(connection.socket)
      await listening.noneOpen()
      decision.decide()
      await turns()
      assert.deepEqual(said, ['aborted'])
      await assertAlive(listening)
    })
  })

  describe(`${name}: the server goes`, () => {
    it('close() while the app decides refuses what it then lets in', async () => {
      const decision = pendingDecision()
      const made = await make(decision.wait)
      await using listening = await listen(made.server)
      const answer = rawRequest({ port: listening.port, lines: handshake({ headers }) })
      await decision.asked
      await made.gate.close()
      decision.decide()
      const { status, text: body } = await answer
      assert.equal(status, 503)
      assert.equal(JSON.parse(body).error, 'closing')
      assert.equal(made.gate.connections.size, 0)
    })

    it('identify() that hangs refuses at the deadline', async () => {
      const made = await make(now, { identify: () => new Promise<never>(() => undefined), limits: { deadline: 200 } })
      await using listening = await listen(made.server)
      const { status, text: body } = await rawRequest({ port: listening.port, lines: handshake({ headers }) })
      assert.equal(status, 503)
      assert.equal(JSON.parse(body).error, 'handshake_timeout')
      await listening.noneOpen(1500)
    })

    for (const [what, destroy] of [
      ['req.socket', (req: IncomingMessage) => req.socket.destroy()],
      ['req', (req: IncomingMessage) => req.destroy()],
      ['res', (_req: IncomingMessage, res: ServerResponse) => res.destroy()],
      ['res.socket', (_req: IncomingMessage, res: ServerResponse) => res.socket?.destroy()],
    ] as const) {
      it(`middleware that destroys ${what} opens nothing, and nobody waits for the deadline`, async () => {
        const made = await make(async (req, res) => {
          if (req.headers['x-first'] !== undefined) destroy(req, res)
        })
        const said = record(made)
        await using listening = await listen(made.server)
        await using connection = await connectRaw(listening)
        connection.send(handshakeText({ headers: { ...headers, 'X-First': 'yes' } }))
        await connection.ended()
        assert.doesNotMatch(connection.received().toString(), /HTTP\/1\.1 101/)
        await listening.noneOpen(1500)
        assert.equal(said.length, 1, said.join())
        await assertAlive(listening)
      })
    }
  })

  describe(`${name}: a handshake behind another request`, () => {
    it('that has no answer yet is cut: neither answer is written into the other', async () => {
      const decision = pendingDecision()
      let slow: ServerResponse | undefined
      const made = await make(async (req, res) => {
        if (req.url !== '/slow') return
        slow = res
        await decision.wait()
      })
      const said = record(made)
      await using listening = await listen(made.server)
      await using connection = await connectRaw(listening)
      connection.send(`GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n${text}`)
      await connection.ended()
      assert.equal(connection.received().length, 0)
      assert.deepEqual(said, ['refused pipelined'])
      assert.equal(slow?.destroyed, true)
      decision.decide()
      await listening.noneOpen()
      await assertAlive(listening)
    })

    it('that has been answered opens, and stays open', async () => {
      const made = await make(now)
      made.server.keepAliveTimeout = 50
      await using listening = await listen(made.server)
      await using connection = await connectRaw(listening)
      connection.send('GET /none HTTP/1.1\r\nHost: localhost\r\n\r\n')
      assert.ok((await connection.response()).status >= 400)
      connection.send(text)
      await connection.until((bytes) => bytes.includes('HTTP/1.1 101') || undefined)
      await new Promise((resolve) => setTimeout(resolve, 150))
      assert.equal(connection.ending(), 'open')
    })
  })

  it(`${name}: nothing of the gate stays on an accepted socket but its error listener`, async () => {
    const counts = (socket: Socket): Record<string, number> =>
      Object.fromEntries(socket.eventNames().map((event) => [String(event), socket.listenerCount(event)]))
    const opened = async (server: MadeApp['server']): Promise<Record<string, number>> => {
      const connected = once(server, 'connection')
      await using listening = await listen(server)
      await using connection = await connectRaw(listening)
      connection.send(text)
      assert.equal((await connection.response()).status, 101)
      const [socket] = (await connected) as [Socket]
      return counts(socket)
    }
    const made = await make(now)
    const raw = (await make(now)).server
    raw.removeAllListeners('upgrade')
    raw.emit = Object.getPrototypeOf(raw).emit
    new WebSocketServer({ server: raw }).on('connection', (ws) => ws.on('error', () => undefined))
    const bare = await opened(raw)
    assert.deepEqual(await opened(made.server), { ...bare, error: (bare['error'] ?? 0) + 1 })
  })
}

describe('the client goes while its refusal is on its way', () => {
  it('RST in the middle of a streamed answer: the app hears it, and is asked for no more', async () => {
    let written = 0
    let closed: Promise<unknown> = Promise.resolve()
    const made = expressApp((app, gate) => {
      app.get('/big', (_req, res) => {
        closed = once(res, 'close')
        res.status(500)
        const more = (): void => {
          while (written < 64) {
            written += 1
            if (!res.write(Buffer.alloc(16_384))) return void res.once('drain', more)
          }
          res.end()
        }
        more()
      })
      app.get(
        '/ws',
        gate.websocket((socket) => socket.on('message', (data) => socket.send(String(data)))),
      )
    })
    await using listening = await listen(made.server)
    const connection = await connectRaw(listening)
    connection.send(handshakeText({ target: '/big', headers }))
    await connection.until((bytes) => bytes.length > 16_384 || undefined)
    reset(connection.socket)
    await closed
    await listening.noneOpen()
    await assertAlive(listening)
  })

  it('an app that destroys its answer in the middle: the client sees it cut, not whole', async () => {
    const made = expressApp((app) => {
      app.get('/ws', (_req, res) => {
        res.status(500).set('Content-Length', '100').write('part')
        setImmediate(() => res.destroy())
      })
    })
    await using listening = await listen(made.server)
    await using connection = await connectRaw(listening)
    connection.send(text)
    await connection.ended()
    assert.match(connection.received().toString(), /^HTTP\/1\.1 500 [\s\S]*\r\n\r\npart$/)
    await listening.noneOpen(1500)
  })
})
