import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { describe, it } from 'node:test'
import express from 'express'
import { WebSocketServer, type WebSocket } from 'ws'
import { createGate, type EndedEvent, type Gate, type GateOptions } from '../../src/index.ts'
import { dial, echo, KEY, requireKey } from '../libraries/support.ts'
import { connectRaw, handshakeText } from '../support/raw.ts'
import { listen, type Listening } from '../support/servers.ts'
import { HeldClock } from '../unit/credentials/helpers.ts'

const BEAT = 30_000
/** How long an end waits for the client's side of it. */
const GRACE = 1000

async function serve(options: Partial<GateOptions>, handler: (ws: WebSocket) => void = () => undefined) {
  const app = express()
  const gate = createGate({ identify: () => ({ subject: 'ann' }), ...options } as GateOptions)
  const wss = new WebSocketServer({ noServer: true })
  wss.on('connection', handler)
  app.get('/own', requireKey, gate.websocket(handler as never))
  app.get('/library', requireKey, gate.accept(wss))
  const server = createServer(app)
  gate.attach(server as never)
  return { gate: gate as Gate, listening: await listen(server) }
}

const nextEnd = (gate: Gate): Promise<EndedEvent> =>
  new Promise((resolve) => {
    const off = gate.on('ended', (event) => {
      off()
      resolve(event)
    })
  })

async function openRaw({ port }: Listening, path: string) {
  const connection = await connectRaw({ port })
  connection.send(handshakeText({ target: path, headers: KEY }))
  return connection
}

for (const path of ['/own', '/library']) {
  describe(`heartbeat on ${path}`, () => {
    it('a client that answers stays, and one that does not is gone after two pings', async () => {
      const clock = new HeldClock()
      const { gate, listening } = await serve({ clock, heartbeat: BEAT }, (one) =>
        one.on('message', () => one.send('')),
      )
      await using _listening = listening
      const { ws } = await dial(listening.port, path, { headers: KEY })
      const ended = nextEnd(gate)
      const dead = await openRaw(listening, path)
      await dead.response()
      for (let beats = 0; beats < 3; beats++) {
        assert.equal(gate.connections.size, 2)
        const pinged = once(ws, 'ping')
        clock.pass(BEAT)
        await pinged
        // Behind its pong: what is answered was read, and so was that.
        await echo(ws, 'hello')
      }
      const { reason, ms } = await ended
      assert.deepEqual([reason, ms], ['no_pong', 3 * BEAT])
      assert.equal(gate.connections.size, 1)
      dead.destroy()
      ws.terminate()
    })

    it('a client that does not read is cut once too much waits for it', async () => {
      const clock = new HeldClock()
      const limits = { buffered: 1024 * 1024 }
      let isFull = (): void => undefined
      const full = new Promise<void>((resolve) => (isFull = resolve))
      const { gate, listening } = await serve({ clock, heartbeat: BEAT, limits }, (ws) => {
        const chunk = Buffer.alloc(64 * 1024)
        const more = (): void => {
          if (ws.bufferedAmount > 2 * limits.buffered) isFull()
          else if (ws.readyState === ws.OPEN) ws.send(chunk, more)
        }
        for (let n = 0; n < 100; n++) more()
      })
      await using _listening = listening
      const ended = nextEnd(gate)
      const slow = await openRaw(listening, path)
      slow.socket.pause()
      await full
      clock.pass(BEAT)
      assert.equal((await ended).reason, 'too_slow')
      clock.pass(GRACE)
      await listening.noneOpen().finally(() => slow.destroy())
      assert.equal(gate.connections.size, 0)
    })
  })
}

it('is off by default: nobody is pinged', async () => {
  const clock = new HeldClock()
  const { listening } = await serve({ clock, recheck: false }, (one) => one.on('message', () => one.send('')))
  await using _listening = listening
  const { ws } = await dial(listening.port, '/own', { headers: KEY })
  ws.on('ping', () => assert.fail('pinged'))
  clock.pass(100 * BEAT)
  await echo(ws, 'hello')
  ws.close()
  await once(ws, 'close')
})
