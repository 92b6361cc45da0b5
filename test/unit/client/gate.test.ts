import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { before, test } from 'node:test'
import express from 'express'
import { WebSocket } from 'undici'
import * as browser from '../../../src/client/browser.ts'
import * as node from '../../../src/client.ts'
import { createGate } from '../../../src/index.ts'
import { next } from '../../support/next.ts'
import { listen, type Listening } from '../../support/servers.ts'

const LIMIT = { timeout: 60_000 }
const BASIC = `Basic ${Buffer.from('ann:pass').toString('base64')}`

before(() => {
  Object.assign(globalThis, { WebSocket })
})

async function serving(): Promise<Listening> {
  const app = express()
  const gate = createGate({
    identify: () => ({ subject: 'ann' }),
    firstMessage: { paths: ['/live'] },
    subprotocolTokens: true,
    tickets: {},
    refuse: 'auto',
  })
  app.use((req, res, go) => {
    const { authorization } = req.headers
    if (authorization === 'Bearer good' || authorization === BASIC) return go()
    res.status(401).set('WWW-Authenticate', 'Bearer').end('log in')
  })
  app.get(
    '/live',
    gate.websocket((socket) => socket.on('message', (data) => socket.send(data.toString()))),
  )
  app.get(
    '/plain',
    gate.websocket((socket) => socket.send('hello')),
  )
  app.post('/live/ticket', gate.ticket('/live'))
  const server = createServer(app)
  gate.attach(server)
  return await listen(server)
}

for (const [where, { dial }] of [
  ['Node', node],
  ['a browser', browser],
] as const) {
  for (const [road, good, bad] of [
    ['headers', { token: 'good' }, { token: 'bad' }],
    ['ticket', { token: 'good' }, { token: 'bad' }],
    ['subprotocol', { token: 'good' }, { token: 'bad' }],
    ['message', { username: 'ann', password: 'pass' }, { username: 'ann', password: 'wrong' }],
  ] as const) {
    if (road === 'headers' && where === 'a browser') continue
    test(`a gate lets the road ${road} from ${where} in, and refuses it with 401`, LIMIT, async () => {
      await using server = await serving()
      const url = `ws://127.0.0.1:${server.port}/live`
      const options = { roads: [road], ticket: '/live/ticket', reconnect: false } as const
      const socket = await dial(url, { ...options, credentials: () => good })
      socket.send('hello')
      assert.equal(String((await next(socket, 'message')).data), 'hello')
      socket.close()
      await next(socket, 'close')
      const refused = dial(url, { ...options, credentials: ({ reason }) => (reason === 'first' ? bad : null) })
      const phase = road === 'ticket' || road === 'message' ? road : 'handshake'
      await assert.rejects(refused, { name: 'DialError', code: 'refused', status: 401, phase })
    })
  }
}

test('a browser is told why a gate refused it, on a path without first messages', LIMIT, async () => {
  await using server = await serving()
  const refused = browser.dial(`ws://127.0.0.1:${server.port}/plain`)
  await assert.rejects(refused, {
    name: 'DialError',
    code: 'refused',
    status: 401,
    phase: 'handshake',
    closeCode: 4401,
  })
})
