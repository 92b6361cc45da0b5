import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { describe, it } from 'node:test'
import express from 'express'
import { WebSocketServer, type WebSocket } from 'ws'
import { createGate, type EndedEvent, type Gate, type GateOptions } from '../../src/index.ts'
import { dial, KEY, requireKey } from '../libraries/support.ts'
import { connectRaw, handshakeText } from '../support/raw.ts'
import { listen, type Listening } from '../support/servers.ts'

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
      const { gate, listening } = await serve({ heartbeat: 100 })
      await using _listening = listening
      const { ws } = await dial(listening.port, path, { headers: KEY })
      let pings = 0
      ws.on('ping', () => pings++)
      const ended = nextEnd(gate)
      const dead = await openRaw(listening, path)
      const { reason, ms } = await ended
      assert.equal(reason, 'no_pong')
      assert.ok(ms >= 200 && ms < 3000, `after ${ms} ms`)
      assert.ok(pings >= 2)
      assert.equal(gate.connections.size, 1)
      dead.destroy()
      ws.terminate()
    })

    it('a client that does not read is cut once too much waits for it', async () => {
      const { gate, listening } = await serve({ heartbeat: 100, limits: { buffered: 1024 * 1024 } }, (ws) => {
        const chunk = Buffer.alloc(64 * 1024)
        const more = (): void => {
          if (ws.readyState === ws.OPEN && ws.bufferedAmount < 4 * 1024 * 1024) ws.send(chunk, more)
        }
        for (let n = 0; n < 100; n++) more()
      })
      await using _listening = listening
      const ended = nextEnd(gate)
      const slow = await openRaw(listening, path)
      slow.socket.pause()
      assert.equal((await ended).reason, 'too_slow')
      await listening.noneOpen(3000).finally(() => slow.destroy())
      assert.equal(gate.connections.size, 0)
    })
  })
}

it('is off by default: nobody is pinged', async () => {
  const { listening } = await serve({})
  await using _listening = listening
  const { ws } = await dial(listening.port, '/own', { headers: KEY })
  ws.on('ping', () => assert.fail('pinged'))
  ws.close()
  await once(ws, 'close')
})
