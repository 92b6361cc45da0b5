import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { createServer as createTcpServer } from 'node:net'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { WebSocketServer } from 'ws'
import { dial, DialError, type DialOptions } from '../../../src/client.ts'
import { next } from '../../support/next.ts'
import { freePort } from '../../support/ports.ts'
import { listen } from '../../support/servers.ts'
import { refusing, switching, upgrading, urlOf } from './servers.ts'

async function failure(url: string | URL, options?: DialOptions): Promise<DialError> {
  const error = await dial(url, options).then(
    () => assert.fail('the dial was let in'),
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof DialError, inspect(error))
  return error
}

const ADVICE = { error: 'missing_credential', message: 'what is wrong', fix: 'how to mend it' }

test('an accepted handshake resolves with an open WebSocket; headers and protocols were sent', async () => {
  const server = createServer()
  const wss = new WebSocketServer({ server, handleProtocols: () => 'v2' })
  wss.on('connection', (socket, req) => {
    const seen = [req.headers['x-api-key'], req.headers['sec-websocket-protocol']]
    socket.on('message', (data: Buffer) => socket.send([data.toString(), ...seen].join(' ')))
  })
  await using listening = await listen(server)
  const socket = await dial(urlOf(listening), { headers: { 'X-Api-Key': 'test_api_key' }, protocols: ['v1', 'v2'] })
  assert.equal(socket.readyState, socket.OPEN)
  assert.equal(socket.protocol, 'v2')
  socket.send('hello')
  const data = await next(socket, 'message')
  assert.equal(data.data, 'hello test_api_key v1,v2')
  socket.close()
  await next(socket, 'close')
})

test('a user name and password in the URL are sent as Basic; http: is taken as ws:; a list is several fields', async () => {
  let seen: { authorization: string | undefined; tags: readonly string[] } | undefined
  await using server = await upgrading((socket, req) => {
    const tags = req.rawHeaders.filter((_, index) => req.rawHeaders[index - 1] === 'X-Tag')
    seen = { authorization: req.headers.authorization, tags }
    socket.write(switching(req))
  })
  const socket = await dial(`http://de%6do:p%40ss@127.0.0.1:${server.port}/ws`, { headers: { 'X-Tag': ['a', 'b'] } })
  assert.deepEqual(seen, { authorization: `Basic ${Buffer.from('demo:p@ss').toString('base64')}`, tags: ['a', 'b'] })
  socket.terminate()
})

test('a refusal rejects with status, headers, body and advice', async () => {
  await using server = await refusing((_req, res) => {
    res.writeHead(401, {
      'WWW-Authenticate': 'Basic realm="a"',
      'Set-Cookie': ['a=1', 'b=2'],
      'Content-Type': 'application/json',
    })
    res.end(JSON.stringify(ADVICE))
  })
  const error = await failure(urlOf(server))
  assert.equal(error.code, 'refused')
  assert.equal(error.status, 401)
  assert.equal(error.headers?.['www-authenticate'], 'Basic realm="a"')
  assert.deepEqual(error.headers?.['set-cookie'], ['a=1', 'b=2'])
  assert.equal(error.body, JSON.stringify(ADVICE))
  assert.deepEqual(error.advice, ADVICE)
  assert.match(error.message, /401 missing_credential/)
  await server.noneOpen()
})

for (const body of [
  '',
  'no',
  '{"error":1,"message":"a","fix":"b"}',
  '{"error":"a"}',
  '{',
  '[]',
  'null',
  '{"error":null}',
]) {
  test(`a refusal whose body is ${JSON.stringify(body)} has no advice`, async () => {
    await using server = await refusing((_req, res) => void res.writeHead(403).end(body))
    const error = await failure(urlOf(server))
    assert.deepEqual([error.code, error.status, error.body, error.advice], ['refused', 403, body, undefined])
  })
}

test('no more than 64 KiB of a body are read, and the connection is given up', async () => {
  let givenUp: Promise<unknown> | undefined
  await using server = await refusing((_req, res) => {
    givenUp = once(res, 'close')
    res.writeHead(500).write('x'.repeat(70_000))
  })
  const error = await failure(urlOf(server))
  assert.deepEqual([error.status, error.body?.length], [500, 64 * 1024])
  await givenUp
})

test('a refusal whose body never ends is reported with what has come', async () => {
  await using server = await refusing((_req, res) => void res.writeHead(503).write('partly'))
  const error = await failure(urlOf(server), { timeout: 1500 })
  assert.deepEqual([error.code, error.status, error.body], ['refused', 503, 'partly'])
  await server.noneOpen()
})

test('a refusal that is cut off is reported with what has come', async () => {
  await using server = await refusing((_req, res) => {
    res.writeHead(503, { 'Content-Length': 100 })
    res.write('partly', () => res.destroy())
  })
  const error = await failure(urlOf(server))
  assert.deepEqual([error.code, error.status, error.body], ['refused', 503, 'partly'])
})

test('a redirect is a refusal and is not followed', async () => {
  let requests = 0
  await using server = await refusing((_req, res) => {
    requests += 1
    res.writeHead(302, { Location: '/elsewhere' }).end()
  })
  const error = await failure(urlOf(server), { headers: { authorization: 'Bearer secret' } })
  assert.deepEqual([error.code, error.status, error.headers?.['location'], requests], ['refused', 302, '/elsewhere', 1])
})

test('a port where nobody listens is unreachable', async () => {
  const error = await failure(urlOf({ port: await freePort() }))
  assert.deepEqual([error.code, error.reason, error.status], ['unreachable', 'ECONNREFUSED', undefined])
})

test('a connection that is reset or ended before an answer is unreachable', async () => {
  await using resetting = await upgrading((socket) => socket.destroy())
  assert.equal((await failure(urlOf(resetting))).code, 'unreachable')
  await using tcp = await listen(createTcpServer((socket) => socket.resetAndDestroy()))
  assert.equal((await failure(urlOf(tcp))).code, 'unreachable')
})

test('TLS to a server without TLS is unreachable', async () => {
  await using server = await refusing((_req, res) => void res.end())
  const error = await failure(urlOf(server).replace('ws:', 'wss:'))
  assert.equal(error.code, 'unreachable')
  assert.ok(error.reason)
})

test('a server that never answers is timed out, and the connection given up', async () => {
  await using server = await upgrading(() => {})
  const error = await failure(urlOf(server), { timeout: 200 })
  assert.equal(error.code, 'timeout')
  await server.noneOpen()
})

test('the signal aborts a dial under way, and one that has not begun', async () => {
  const controller = new AbortController()
  const reason = new Error('no longer wanted')
  await using server = await upgrading(() => controller.abort(reason))
  const error = await failure(urlOf(server), { signal: controller.signal })
  assert.deepEqual([error.code, error.cause], ['aborted', reason])
  await server.noneOpen()
  assert.equal((await failure(urlOf(server), { signal: controller.signal })).code, 'aborted')
})

test('once it is open the signal and the timeout mean nothing', async () => {
  const controller = new AbortController()
  await using server = await upgrading((socket, req) => socket.write(switching(req)))
  const socket = await dial(urlOf(server), { signal: controller.signal, timeout: 1000 })
  controller.abort()
  assert.equal(socket.readyState, socket.OPEN)
  socket.terminate()
})

const BAD: ReadonlyArray<readonly [what: string, answer: (key: Buffer) => string | Buffer]> = [
  ['is not HTTP', () => 'SSH-2.0-OpenSSH_9.9\r\n'],
  [
    'has another Sec-WebSocket-Accept',
    () => 'HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n',
  ],
  ['upgrades to something else', () => 'HTTP/1.1 101 x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n'],
  [
    'selects a subprotocol that was not offered',
    (ok) => String(ok).replace('\r\n\r\n', '\r\nSec-WebSocket-Protocol: other\r\n\r\n'),
  ],
]

for (const [what, answer] of BAD) {
  test(`an answer that ${what} is a bad response`, async () => {
    await using server = await upgrading((socket, req) => socket.write(answer(switching(req))))
    assert.equal((await failure(urlOf(server))).code, 'bad_response')
    await server.noneOpen()
  })
}

const SECRET = 'dTop5ecret'

const WRONG: ReadonlyArray<readonly [url: string, options: object]> = [
  [`ws://demo:${SECRET}@`, {}],
  [SECRET, {}],
  [`ftp://demo:${SECRET}@127.0.0.1/`, {}],
  [`ws://demo:${SECRET}@127.0.0.1/?key=${SECRET}#there`, {}],
  ['ws://127.0.0.1/', { headers: { 'x-api-key': `${SECRET}\n` } }],
  ['ws://127.0.0.1/', { headers: { 'x-api-key': ['a', `${SECRET}\u{1F511}`] } }],
  ['ws://127.0.0.1/', { headers: { [`${SECRET} `]: 'x' } }],
  ['ws://127.0.0.1/', { headers: { upgrade: 'h2c' } }],
  ['ws://127.0.0.1/', { headers: { 'Sec-WebSocket-Protocol': SECRET } }],
  ['ws://127.0.0.1/', { headers: { 'x-api-key': 7 } }],
  ['ws://127.0.0.1/', { protocols: [`${SECRET},`] }],
  ['ws://127.0.0.1/', { protocols: [SECRET, SECRET] }],
  ['ws://127.0.0.1/', { timeout: 0 }],
  ['ws://127.0.0.1/', { timeout: Number.NaN }],
  ['ws://127.0.0.1/', { timeout: '5' }],
  ['ws://127.0.0.1/', { signal: {} }],
  ['ws://127.0.0.1/', { header: {} }],
]

function assertSilent(error: DialError): void {
  const shown = [
    error.message,
    String(error),
    error.stack,
    inspect(error, { depth: 9, showHidden: true }),
    JSON.stringify(error),
  ]
  for (const text of shown)
    assert.doesNotMatch(text ?? '', new RegExp(`${SECRET}|${Buffer.from(SECRET).toString('base64').slice(0, 8)}`, 'i'))
}

for (const [url, options] of WRONG) {
  test(`nothing is sent for ${url} ${JSON.stringify(options)}`, async () => {
    const error = await failure(url, options)
    assert.equal(error.code, 'bad_request')
    assertSilent(error)
  })
}

test('no credential is in an error: not what was sent, and not what a server repeats', async () => {
  await using server = await refusing((req, res) => {
    const fix = `${req.url} ${JSON.stringify(req.headers)}`
    res
      .writeHead(401, { 'X-Got': fix, 'Set-Cookie': `session=${SECRET}` })
      .end(JSON.stringify({ error: SECRET, message: fix, fix }))
  })
  const url = `ws://demo:${SECRET}@127.0.0.1:${server.port}/ws?key=${SECRET}`
  const error = await failure(url, { headers: { 'x-api-key': SECRET } })
  assert.match(error.advice?.fix ?? '', new RegExp(SECRET))
  assert.equal(error.url, `ws://127.0.0.1:${server.port}/ws?...`)
  assert.equal(JSON.parse(JSON.stringify(error)).status, 401)
  assertSilent(error)

  await using dead = await upgrading((socket) => socket.destroy())
  assertSilent(
    await failure(`ws://demo:${SECRET}@127.0.0.1:${dead.port}/?key=${SECRET}`, { headers: { cookie: SECRET } }),
  )
  await using repeating = await upgrading((socket, req) => void socket.end(`${req.url} ${SECRET}\r\n\r\n`))
  assertSilent(await failure(`ws://127.0.0.1:${repeating.port}/?key=${SECRET}`))
})
