import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { WebSocket, WebSocketServer } from 'ws'
import { createGate } from '../../src/index.ts'
import { bearer } from '../../src/schemes.ts'
import { listen } from '../support/servers.ts'
import { HeldClock } from '../unit/credentials/helpers.ts'

// What the gate does by the clock, with a clock that the test holds.

const TOKEN = 'token-of-alice'

test('a ticket is good until its lifetime has passed', async () => {
  const clock = new HeldClock()
  const gate = createGate({ authenticate: bearer({ verify: () => ({ subject: 'alice' }) }), clock })
  const ticket = gate.ticket('/live')
  const server = createServer((req, res) => ticket(req, res))
  new WebSocketServer({ server }).on('connection', (socket) => socket.close(1000))
  gate.attach(server)
  await using listening = await listen(server)
  const ask = async (): Promise<string> => {
    const headers = { Authorization: `Bearer ${TOKEN}`, 'Content-Type': 'application/json' }
    const response = await fetch(`http://127.0.0.1:${listening.port}/`, { method: 'POST', headers, body: '{}' })
    return ((await response.json()) as { url: string }).url
  }
  const dial = (path: string): Promise<number> =>
    new Promise((resolve) => {
      const socket = new WebSocket(`ws://127.0.0.1:${listening.port}${path}`)
      socket.on('error', () => undefined)
      socket.on('unexpected-response', (_request, { statusCode = 0 }) => {
        resolve(statusCode)
        socket.terminate()
      })
      socket.on('open', () => resolve(101))
    })
  const [early, late] = [await ask(), await ask()]
  clock.pass(14_999)
  assert.equal(await dial(early), 101)
  clock.pass(1)
  assert.equal(await dial(late), 401)
})

test('a socket that waits is closed when its five seconds have passed, not before', async () => {
  const clock = new HeldClock()
  const gate = createGate({
    authenticate: bearer({ verify: () => ({ subject: 'alice' }) }),
    firstMessage: { paths: ['/live'] },
    clock,
  })
  const server = createServer()
  new WebSocketServer({ server })
  gate.attach(server)
  await using listening = await listen(server)
  const socket = new WebSocket(`ws://127.0.0.1:${listening.port}/live`)
  await once(socket, 'open')
  clock.pass(4999)
  socket.ping()
  await once(socket, 'pong')
  assert.equal(socket.readyState, WebSocket.OPEN)
  clock.pass(1)
  const [code, reason] = (await once(socket, 'close')) as [number, Buffer]
  assert.deepEqual([code, reason.toString()], [4408, 'auth_timeout'])
})
