import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { before, test } from 'node:test'
import { buildSchema, subscribe } from 'graphql'
import { createClient } from 'graphql-ws'
import { useServer } from 'graphql-ws/use/ws'
import { WebSocket as PartySocket } from 'partysocket'
import { WebSocket as UndiciSocket } from 'undici'
import { WebSocketServer } from 'ws'
import { WebsocketProvider } from 'y-websocket'
import { Doc } from 'yjs'
import { createWebSocketClass } from '../../../src/client.ts'
import { createWebSocketClass as createInBrowser } from '../../../src/client/browser.ts'
import { listen, type Listening } from '../../support/servers.ts'
import { contract } from './contract.ts'
import { urlOf } from './servers.ts'

const LIMIT = { timeout: 120_000 }
const KEY = { authorization: 'Bearer good' }

before(() => {
  Object.assign(globalThis, { WebSocket: UndiciSocket })
})

/** A server that lets a token in, however it comes. */
const tokenIn = (protocols: string | undefined, authorization: string | undefined): boolean =>
  authorization === KEY.authorization ||
  protocols?.includes(`base64url.bearer.authorization.gate101.${Buffer.from('good').toString('base64url')}`) === true

async function graphqlServer(): Promise<Listening & { handshakes: number }> {
  const server = createServer()
  const wss = new WebSocketServer({ noServer: true, handleProtocols: () => 'graphql-transport-ws' })
  const schema = buildSchema('type Query { a: Int } type Subscription { count: Int }')
  async function* count() {
    for (const value of [1, 2]) yield { count: value }
  }
  useServer({ schema, subscribe, roots: { subscription: { count } } }, wss)
  let handshakes = 0
  server.on('upgrade', (req, socket, head) => {
    handshakes += 1
    if (tokenIn(req.headers['sec-websocket-protocol'], req.headers.authorization))
      return wss.handleUpgrade(req, socket, head, (ws) => wss.emit('connection', ws, req))
    socket.end('HTTP/1.1 401 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n')
  })
  return Object.defineProperty(await listen(server), 'handshakes', { get: () => handshakes }) as Listening & {
    handshakes: number
  }
}

for (const [where, make] of [
  ['Node', createWebSocketClass],
  ['a browser', createInBrowser],
] as const) {
  test(`the client of graphql-ws subscribes through the class of ${where}`, LIMIT, async () => {
    await using server = await graphqlServer()
    const webSocketImpl = make({ credentials: async () => ({ token: 'good' }) })
    const client = createClient({ url: urlOf(server), webSocketImpl, retryAttempts: 0 })
    const seen: unknown[] = []
    for await (const { data } of client.iterate({ query: 'subscription { count }' })) seen.push(data?.['count'])
    assert.deepEqual(seen, [1, 2])
    await client.dispose()
  })
}

test('a refused credential is the end for the client of graphql-ws, after one renewal', LIMIT, async () => {
  await using server = await graphqlServer()
  const webSocketImpl = createWebSocketClass({ credentials: async () => ({ token: 'bad' }) })
  const client = createClient({ url: urlOf(server), webSocketImpl, retryAttempts: 5 })
  await assert.rejects(
    async () => await client.iterate({ query: 'subscription { count }' }).next(),
    (error) => Reflect.get(Object(error), 'code') === 4401,
  )
  assert.equal(server.handshakes, 2)
})

test('partysocket comes back by itself, each time with a credential of its own', LIMIT, async () => {
  let asked = 0
  await using server = await contract({
    open: (ws, _seen, count) => {
      ws.send(`hello ${count}`)
      if (count === 1) setImmediate(() => ws.close(1012))
    },
  })
  const WebSocket = createWebSocketClass({ credentials: () => ({ token: String((asked += 1)) }) })
  const socket = new PartySocket(urlOf(server), [], { WebSocket, minReconnectionDelay: 1, maxReconnectionDelay: 5 })
  const seen: unknown[] = []
  await new Promise<void>((resolve) => {
    socket.addEventListener('message', ({ data }) => seen.push(data) === 2 && resolve())
  })
  socket.close()
  assert.deepEqual(seen, ['hello 1', 'hello 2'])
  assert.deepEqual(
    server.seen.map((one) => one.authorization),
    ['Bearer 1', 'Bearer 2'],
  )
})

test('y-websocket synchronises two documents', LIMIT, async () => {
  const wss = new WebSocketServer({ noServer: true })
  const server = createServer()
  // What one says, the others hear: the protocol of Yjs needs no more of a server.
  wss.on('connection', (ws) =>
    ws.on('message', (data) => {
      for (const other of wss.clients) if (other !== ws) other.send(data)
    }),
  )
  server.on('upgrade', (req, socket, head) => {
    assert.ok(tokenIn(undefined, req.headers.authorization))
    wss.handleUpgrade(req, socket, head, (ws) => wss.emit('connection', ws, req))
  })
  await using listening = await listen(server)
  const WebSocketPolyfill = createWebSocketClass({
    credentials: () => ({ token: 'good' }),
  }) as unknown as typeof WebSocket
  const url = `ws://127.0.0.1:${listening.port}`
  const docs = [new Doc(), new Doc()] as const
  const providers = docs.map((doc) => new WebsocketProvider(url, 'room', doc, { WebSocketPolyfill, disableBc: true }))
  await Promise.all(
    providers.map(
      (provider) =>
        new Promise((resolve) => provider.on('status', ({ status }) => status === 'connected' && resolve(status))),
    ),
  )
  const heard = new Promise((resolve) => docs[1].on('update', resolve))
  docs[0].getMap('notes').set('from', 'ann')
  await heard
  assert.equal(docs[1].getMap('notes').get('from'), 'ann')
  for (const provider of providers) provider.destroy()
  // Which ends the timers of their awareness.
  for (const doc of docs) doc.destroy()
})
