import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { createServer as createTcpServer, type Socket } from 'node:net'
import { test } from 'node:test'
import { WebSocketServer } from 'ws'
import { makeCertificate } from '../../support/certs.ts'
import { findOpenssl, skipWithout } from '../../support/debian.ts'
import { acceptOf, closeFrame, frame } from '../../support/frames.ts'
import { connectRaw, halfClose, handshake, handshakeText, rawRequest, reset, SAMPLE_KEY } from '../../support/raw.ts'
import { listen } from '../../support/servers.ts'

async function listenTcp(serve: (socket: Socket) => void) {
  return await listen(createTcpServer({ allowHalfOpen: true }, serve))
}

test('a kept connection returns at the end of the response', async () => {
  await using server = await listen(createServer((_req, res) => res.end('hello')))
  const response = await rawRequest({ port: server.port, lines: ['GET / HTTP/1.1', 'Host: a'] })
  assert.deepEqual([response.status, response.text, response.ending, response.closed], [200, 'hello', 'open', false])
  assert.equal(response.header('CONTENT-LENGTH'), '5')
  assert.equal(response.header('x-none'), undefined)
  await server.noneOpen()
})

test('Connection: close returns when the server has ended', async () => {
  await using server = await listen(createServer((_req, res) => res.writeHead(401, { Connection: 'close' }).end('no')))
  const response = await rawRequest({ port: server.port, lines: ['GET / HTTP/1.1', 'Host: a'] })
  assert.deepEqual([response.status, response.text, response.ending], [401, 'no', 'end'])
})

test('a header that came twice is not read as one', async () => {
  await using server = await listen(createServer((_req, res) => res.setHeader('X-A', ['1', '2']).end()))
  const response = await rawRequest({ port: server.port, lines: ['GET / HTTP/1.1', 'Host: a'] })
  assert.deepEqual(response.values('x-a'), ['1', '2'])
  assert.throws(() => response.header('x-a'), /2 times/)
})

test('status 0 where the server ends without a response, and how it ended', async () => {
  await using ends = await listenTcp((socket) => socket.end())
  assert.deepEqual(await statusAndEnding(ends.port), [0, 'end'])
  await using resets = await listenTcp((socket) => socket.once('data', () => reset(socket)))
  assert.deepEqual(await statusAndEnding(resets.port), [0, 'reset'])
})

async function statusAndEnding(port: number): Promise<unknown[]> {
  const { status, ending } = await rawRequest({ port, bytes: 'x', until: 'close' })
  return [status, ending]
}

test('a response that is cut off rejects and shows what came', async () => {
  await using server = await listenTcp((socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc'))
  await assert.rejects(rawRequest({ port: server.port, bytes: 'x' }), /before a whole response.*Content-Length: 9/)
})

test('a handshake text is accepted by ws, and frames go both ways', async () => {
  const http = createServer()
  const library = new WebSocketServer({ server: http })
  library.on('connection', (socket) => socket.on('message', (data) => socket.send(data, { binary: false })))
  await using server = await listen(http)
  await using client = await connectRaw({ port: server.port })
  client.send(Buffer.concat([Buffer.from(handshakeText()), frame('one'), frame('two')]))
  const response = await client.response()
  assert.equal(response.status, 101)
  assert.deepEqual(
    response.headers.find(([name]) => name === 'Sec-WebSocket-Accept'),
    ['Sec-WebSocket-Accept', acceptOf(SAMPLE_KEY)],
  )
  assert.deepEqual(
    (await client.frames(2)).map(({ text }) => text),
    ['one', 'two'],
  )
  client.send(closeFrame(1000))
  assert.equal((await client.frames(3)).at(-1)?.closeCode, 1000)
  assert.equal(await client.ended(), 'end')
  assert.equal(client.ending(), 'end')
})

test('headers of a handshake are replaced, left out, repeated and added', () => {
  const headers = { host: 'b', Upgrade: null, 'X-A': ['1', '2'] }
  assert.deepEqual(handshake({ target: '/x', version: 'HTTP/1.0', headers }), [
    'GET /x HTTP/1.0',
    'host: b',
    'Connection: Upgrade',
    `Sec-WebSocket-Key: ${SAMPLE_KEY}`,
    'Sec-WebSocket-Version: 13',
    'X-A: 1',
    'X-A: 2',
  ])
})

test('reset reaches the server as ECONNRESET, halfClose as an end with an answer still possible', async () => {
  const tcp = createTcpServer()
  await using resets = await listen(tcp)
  const accepting = once(tcp, 'connection')
  const first = await connectRaw({ port: resets.port })
  const [accepted]: Socket[] = await accepting
  assert.ok(accepted)
  reset(first.socket)
  await assert.rejects(once(accepted.resume(), 'end'), { code: 'ECONNRESET' })

  await using halves = await listenTcp((socket) => socket.on('end', () => socket.end('bye')).resume())
  await using second = await connectRaw({ port: halves.port })
  halfClose(second.socket)
  await second.ended()
  assert.equal(second.received().toString(), 'bye')
})

const openssl = findOpenssl()

test('the same over TLS', { skip: skipWithout(openssl) }, async () => {
  const certificate = makeCertificate()
  await using server = await listen(createTlsServer(certificate, (_req, res) => res.end('secret')))
  const lines = ['GET / HTTP/1.1', 'Host: a']
  assert.equal((await rawRequest({ port: server.port, tls: true, lines })).text, 'secret')
  const tls = { ca: certificate.cert, rejectUnauthorized: true, servername: 'localhost' }
  assert.equal((await rawRequest({ port: server.port, tls, lines })).text, 'secret')
  await assert.rejects(rawRequest({ port: server.port, tls: { rejectUnauthorized: true }, lines }), /self-signed/)
})

test('a port on which nobody listens rejects', async () => {
  const server = await listen(createServer())
  await server.close()
  await assert.rejects(rawRequest({ port: server.port, bytes: 'x' }), { code: 'ECONNREFUSED' })
})
