import assert from 'node:assert/strict'
import { createServer, type IncomingMessage } from 'node:http'
import { networkInterfaces } from 'node:os'
import { test } from 'node:test'
import { WebSocketServer } from 'ws'
import { dial, DialError } from '../../../src/client.ts'
import { listen } from '../../support/servers.ts'

// What the client must not do with credentials: go on without them, or send them in the clear.

const LIMIT = { timeout: 60_000 }

async function failure(url: string, options: Parameters<typeof dial>[1]): Promise<DialError> {
  const error = await dial(url, options).then(
    () => assert.fail('it was let in'),
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof DialError, String(error))
  return error
}

test('a callback that has nothing any more ends it, whatever other headers there are', LIMIT, async () => {
  const seen: Array<string | undefined> = []
  const server = createServer()
  new WebSocketServer({ server }).on('connection', (socket, req: IncomingMessage) => {
    seen.push(req.headers.authorization)
    socket.close(1012)
  })
  await using listening = await listen(server)
  const tokens = ['token-of-ann', null]
  const socket = await dial(`ws://127.0.0.1:${listening.port}/live`, {
    headers: { 'x-client': 'web' },
    credentials: async () => {
      const token = tokens.shift() ?? null
      return token === null ? null : { token }
    },
    reconnect: { minDelay: 1, maxDelay: 2 },
  })
  const [error] = await new Promise<[unknown]>((resolve) => {
    socket.on('error', (event) => resolve([event.error]))
  })
  assert.ok(error instanceof DialError, String(error))
  assert.equal(error.code, 'no_credentials')
  assert.deepEqual(seen, ['Bearer token-of-ann'])
})

const lan = Object.values(networkInterfaces())
  .flatMap((all) => all ?? [])
  .find(({ family, internal }) => family === 'IPv4' && !internal)?.address

test('a ticket is neither asked for nor used in the clear', LIMIT, async () => {
  let asked = 0
  const server = createServer((_req, res) => {
    asked++
    res.end('{"ticket":"abc","url":"/live?ticket=abc"}')
  })
  await using listening = await listen(server, '0.0.0.0')
  const error = await failure(`ws://${lan ?? '192.0.2.1'}:${listening.port}/live`, {
    roads: ['ticket'],
    ticket: { url: '/ticket', headers: { authorization: 'Bearer token-of-ann' } },
    timeout: 2000,
  })
  assert.deepEqual([error.code, asked], ['bad_request', 0])
})

for (const url of ['ws://eve:pw@HOST/live?ticket=abc', '//HOST/live', 'live?ticket=abc', 'http://HOST/live']) {
  test(`the answer of the ticket route is no place to connect to: ${url}`, LIMIT, async () => {
    const server = createServer((req, res) => {
      res.end(JSON.stringify({ ticket: 'abc', url: url.replace('HOST', String(req.headers.host)) }))
    })
    new WebSocketServer({ server })
    await using listening = await listen(server)
    const error = await failure(`ws://127.0.0.1:${listening.port}/live`, { roads: ['ticket'], ticket: '/ticket' })
    assert.deepEqual([error.code, error.phase], ['bad_response', 'ticket'])
  })
}
