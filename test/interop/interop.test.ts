import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { after, before, test } from 'node:test'
import express, { type RequestHandler } from 'express'
import { WebSocket as Undici } from 'undici'
import { WebSocket } from 'ws'
import { dial, DialError } from '../../src/client.ts'
import { createGate } from '../../src/index.ts'
import { next } from '../support/next.ts'
import { findCurl, skipWithout } from '../support/debian.ts'
import { listen, type Listening } from '../support/servers.ts'
import { goDialler, pythonDialler, run } from './programs.ts'

const KEY = 'test_api_key'
const CHALLENGE = 'ApiKey realm="interop"'
const ADVICE = { error: 'no_key', message: 'This request carries no API key.', fix: 'Send the header X-Api-Key.' }

const authenticate: RequestHandler = (req, res, next) => {
  if (req.get('x-api-key') === KEY) return next()
  res.status(401).set('WWW-Authenticate', CHALLENGE).json(ADVICE)
}

const go = goDialler()
const python = pythonDialler()
const curl = findCurl()
let server: Listening
let url = ''

before(async () => {
  const app = express()
  const gate = createGate({ identify: () => ({ subject: 'robot' }) })
  app.get(
    '/ws',
    authenticate,
    gate.websocket((socket) => {
      socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }))
    }),
  )
  app.get(
    '/greet',
    authenticate,
    gate.websocket((socket) => socket.send('greeting', () => socket.terminate())),
  )
  const http = createServer(app)
  gate.attach(http)
  server = await listen(http)
  url = `ws://localhost:${server.port}/ws`
})

after(async () => {
  await server.close()
  await Promise.all([go.close(), python.close()])
})

test('Go gorilla/websocket is let in, and its text comes back', { skip: skipWithout(go.found) }, async () => {
  const { code, stdout, stderr } = await go.dial(url, KEY, 'grüße, Go')
  assert.deepEqual([code, stdout, stderr], [0, 'grüße, Go\n', ''])
})

test('Go gorilla/websocket is refused with the answer of the middleware', { skip: skipWithout(go.found) }, async () => {
  for (const key of ['', 'wrong']) {
    const { code, stdout, stderr } = await go.dial(url, key)
    const [status, body = ''] = stdout.split('\n')
    assert.deepEqual([code, status, JSON.parse(body)], [1, '401', ADVICE])
    assert.match(stderr, /bad handshake/)
  }
})

test('Python websockets is let in, and its text comes back', { skip: skipWithout(python.found) }, async () => {
  const { code, stdout, stderr } = await python.dial(url, KEY, 'hello, Python')
  assert.deepEqual([code, stdout, stderr], [0, 'hello, Python\n', ''])
})

test(
  'Python websockets is refused with the answer of the middleware',
  { skip: skipWithout(python.found) },
  async () => {
    const { code, stdout } = await python.dial(url)
    assert.deepEqual([code, stdout], [1, `401\n${CHALLENGE}\n`])
  },
)

test('ws is let in, and its text comes back', async () => {
  const socket = new WebSocket(url, { headers: { 'x-api-key': KEY } })
  await once(socket, 'open')
  socket.send('hello, ws')
  const [data] = await once(socket, 'message')
  assert.equal(String(data), 'hello, ws')
  socket.close(1000)
  assert.equal((await once(socket, 'close'))[0], 1000)
})

test('ws is refused with the answer of the middleware', async () => {
  const socket = new WebSocket(url)
  const [, answer] = await once(socket, 'unexpected-response')
  let body = ''
  for await (const chunk of answer) body += String(chunk)
  assert.deepEqual([answer.statusCode, answer.headers['www-authenticate'], JSON.parse(body)], [401, CHALLENGE, ADVICE])
})

test('dial is let in and refused', async () => {
  const socket = await dial(url, { headers: { 'x-api-key': KEY } })
  socket.send('hello, dial')
  const { data } = await next(socket, 'message')
  assert.equal(data, 'hello, dial')
  socket.close()
  await next(socket, 'close')
  await assert.rejects(dial(url), (error) => {
    assert.ok(error instanceof DialError)
    assert.deepEqual([error.code, error.status, error.advice], ['refused', 401, ADVICE])
    return true
  })
})

test('the WebSocket of undici is let in, and its text comes back', async () => {
  const socket = new Undici(url, { headers: { 'x-api-key': KEY } })
  const heard = new Promise((resolve) => socket.addEventListener('message', ({ data }) => resolve(data)))
  const closed = new Promise((resolve) => socket.addEventListener('close', ({ code }) => resolve(code)))
  socket.addEventListener('open', () => socket.send('hello, undici'))
  assert.equal(await heard, 'hello, undici')
  socket.close(1000)
  assert.equal(await closed, 1000)
})

test('the WebSocket of undici is refused', async () => {
  const socket = new Undici(url)
  const opened = new Promise((resolve) => socket.addEventListener('open', () => resolve('open')))
  const failed = new Promise((resolve) => socket.addEventListener('error', () => resolve('error')))
  assert.equal(await Promise.race([opened, failed]), 'error')
})

const handshake = [
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
]
const asHandshake = handshake.flatMap((line) => ['-H', line])

/** Status and body of what curl got. */
async function curlTo(
  path: string,
  ...args: readonly string[]
): Promise<{ status: string; head: string; body: string }> {
  const to = `http://localhost:${server.port}${path}`
  const { stdout } = await run('curl', ['-si', '--http1.1', '--max-time', '20', ...args, to])
  const [head = '', body = ''] = stdout.split('\r\n\r\n')
  return { status: /^HTTP\/1.1 (\d+)/.exec(head)?.[1] ?? head, head, body }
}

test('curl gets a 101 with the key, and what the server sends', { skip: skipWithout(curl) }, async () => {
  const { status, head, body } = await curlTo('/greet', ...asHandshake, '-H', `X-Api-Key: ${KEY}`)
  assert.equal(status, '101')
  assert.match(head, /^sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=$/im)
  assert.match(body, /greeting/)
})

test('curl gets the same refusal for a handshake as for a plain GET', { skip: skipWithout(curl) }, async () => {
  const refused = await curlTo('/ws', ...asHandshake)
  const plain = await curlTo('/ws')
  for (const answer of [refused, plain]) {
    assert.deepEqual([answer.status, JSON.parse(answer.body)], ['401', ADVICE])
    assert.match(answer.head, /^www-authenticate: ApiKey realm="interop"$/im)
  }
})

test('curl gets 426 with advice for a plain GET with the key', { skip: skipWithout(curl) }, async () => {
  const { status, head, body } = await curlTo('/ws', '-H', `X-Api-Key: ${KEY}`)
  assert.equal(status, '426')
  assert.match(head, /^upgrade: websocket$/im)
  assert.equal(JSON.parse(body).error, 'websocket_only')
})
