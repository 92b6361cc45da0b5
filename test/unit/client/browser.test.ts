import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { inspect } from 'node:util'
import { WebSocket } from 'undici'
import { createWebSocketClass, dial, DialError } from '../../../src/client/browser.ts'
import type { DialOptions } from '../../../src/client.ts'
import { next } from '../../support/next.ts'
import { contract, json } from './contract.ts'
import { urlOf } from './servers.ts'

before(() => {
  // What a browser has; Node 20 has no WebSocket of its own.
  Object.assign(globalThis, { WebSocket })
})

async function failure(url: string, options?: DialOptions): Promise<DialError> {
  const error = await dial(url, options).then(
    () => assert.fail('the dial was let in'),
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof DialError, inspect(error))
  return error
}

const SECRET = 'dTop5ecret'
const LIMIT = { timeout: 60_000 }
const once = { reconnect: false } as const

/** Ways of one URL, so that no test waits for the pause between two questions about it. */
let paths = 0
const fresh = (): string => `/live${(paths += 1)}`

test('without a credential the cookies are it: gate101 and a readable refusal are offered', LIMIT, async () => {
  await using server = await contract({ open: (ws) => ws.send('hello') })
  const socket = await dial(urlOf(server), once)
  assert.deepEqual(server.seen[0]?.offered, ['gate101', 'refusal.gate101'])
  assert.deepEqual([socket.protocol, socket.readyState, socket.url], ['gate101', socket.OPEN, urlOf(server)])
  assert.equal((await next(socket, 'message')).data, 'hello')
  socket.close()
  await next(socket, 'close')
  const named = await dial(urlOf(server), { ...once, protocols: ['v2'] })
  assert.deepEqual(server.seen[1]?.offered, ['v2', 'refusal.gate101'])
  named.close()
})

test('a token travels in a subprotocol, beside a real one, and is never selected', LIMIT, async () => {
  await using server = await contract({})
  const socket = await dial(urlOf(server), { ...once, credentials: () => ({ token: 'tök.en+/=' }) })
  const item = server.seen[0]?.offered[1] ?? ''
  assert.equal(item, `base64url.bearer.authorization.gate101.${Buffer.from('tök.en+/=').toString('base64url')}`)
  assert.equal(socket.protocol, 'gate101')
  socket.close()
})

test('a server that selects the token is an error, and the token is nowhere', LIMIT, async () => {
  await using server = await contract({ handshake: ({ offered }) => offered.find((one) => one.includes('bearer')) })
  const error = await failure(urlOf(server), { credentials: () => ({ token: SECRET }) })
  assert.deepEqual([error.code, error.retryable], ['bad_response', false])
  assertSilent(error)
  const own = await failure(urlOf(server), { protocols: ['chat', `bearer.${SECRET}`] })
  assert.equal(own.code, 'bad_response')
  assertSilent(own)
})

function assertSilent(thing: unknown): void {
  const shown = [
    inspect(thing, { depth: 9, showHidden: true, getters: false }),
    JSON.stringify(thing),
    inspect({ ...Object(thing) }),
  ]
  if (thing instanceof Error) shown.push(String(thing), thing.stack ?? '')
  const forms = [SECRET, Buffer.from(SECRET).toString('base64url').slice(0, 10), 'a-ticket']
  for (const text of shown) for (const form of forms) assert.ok(!text.includes(form), text)
}

test(
  'a password travels in the first message; nothing is heard before auth_ok, and no message is lost',
  LIMIT,
  async () => {
    const got: string[] = []
    await using server = await contract({
      open: (ws) =>
        ws.on('message', (data: Buffer) => {
          got.push(data.toString())
          if (got.length > 1) return
          ws.send(JSON.stringify({ type: 'auth_ok', subject: 'ann', expiresAt: null, expiresIn: null }))
          ws.send('first')
          ws.send('second')
        }),
    })
    const socket = await dial(urlOf(server), { ...once, credentials: () => ({ username: 'ann', password: SECRET }) })
    assert.deepEqual(got, [JSON.stringify({ type: 'auth', username: 'ann', password: SECRET })])
    const seen: unknown[] = []
    for await (const data of socket) if (seen.push(data) === 2) break
    assert.deepEqual(seen, ['first', 'second'])
    assertSilent(socket)
    socket.close()
  },
)

for (const [what, credentials, message] of [
  ['a token by choice of road', { token: 't' }, { type: 'auth', token: 't' }],
  ['headers', { headers: { 'x-api-key': 'k' } }, { type: 'auth', headers: { 'x-api-key': 'k' } }],
  [
    'a token and a header',
    { token: 't', headers: { 'x-api-key': 'k' } },
    { type: 'auth', headers: { 'x-api-key': 'k', authorization: 'Bearer t' } },
  ],
] as const) {
  test(`the first message carries ${what}`, LIMIT, async () => {
    let got = ''
    await using server = await contract({
      open: (ws) =>
        ws.on('message', (data: Buffer) => {
          got = data.toString()
          ws.send('{"type":"auth_ok","expiresIn":3600}')
        }),
    })
    const socket = await dial(urlOf(server), { ...once, roads: ['message'], credentials: () => credentials })
    assert.deepEqual(JSON.parse(got), message)
    socket.close()
  })
}

const sends = (...messages: readonly string[]) => ({
  open: (ws: { send(data: string): void; close(code: number, reason: string): void }, code = 4401) => {
    for (const message of messages) ws.send(message)
    ws.close(code, 'invalid_credential')
  },
})

test('auth_error is a refusal of the phase message, with the close code that follows', LIMIT, async () => {
  const body = JSON.stringify({ type: 'auth_error', status: 429, code: 'too_many_attempts', retryAfter: 7 })
  await using server = await contract({ open: (ws) => sends(body).open(ws, 4429) })
  const error = await failure(urlOf(server), { credentials: () => ({ username: 'ann', password: SECRET }) })
  assert.deepEqual(
    [error.code, error.phase, error.status, error.closeCode, error.retryAfter, error.retryable, error.advice?.error],
    ['refused', 'message', 429, 4429, 7, true, 'too_many_attempts'],
  )
  assertSilent(error)
})

test('a Close in place of an answer says the status', LIMIT, async () => {
  const options = { credentials: () => ({ username: 'ann', password: SECRET }) }
  await using slow = await contract({ open: (ws) => ws.close(4408, 'auth_timeout') })
  const late = await failure(urlOf(slow), options)
  assert.deepEqual(
    [late.status, late.closeCode, late.advice?.error, late.phase],
    [408, 4408, 'auth_timeout', 'message'],
  )
})

test('messages that come before the answer wait for it, and come in order', LIMIT, async () => {
  const ok = JSON.stringify({ type: 'auth_ok', subject: 'ann', expiresAt: null, expiresIn: null })
  await using server = await contract({
    open: (ws) => {
      ws.send('one')
      ws.once('message', () => ['two', ok, 'three'].forEach((text) => ws.send(text)))
    },
  })
  const socket = await dial(urlOf(server), { credentials: () => ({ username: 'ann', password: SECRET }) })
  const got: unknown[] = []
  for await (const data of socket) {
    got.push(data)
    if (got.length === 3) break
  }
  socket.close()
  assert.deepEqual(got, ['one', 'two', 'three'])
})

test('an accepted refusal.gate101 is a refusal: it never opens', LIMIT, async () => {
  await using server = await contract({
    handshake: () => 'refusal.gate101',
    open: (ws) => ws.close(4403, 'bad_origin'),
  })
  const error = await failure(urlOf(server))
  assert.deepEqual(
    [error.code, error.phase, error.status, error.closeCode, error.advice?.error],
    ['refused', 'handshake', 403, 4403, 'bad_origin'],
  )
})

test('a ticket is asked for with the credential, used once, and shown nowhere', LIMIT, async () => {
  let made = 0
  await using server = await contract({
    plain: (_req, res) =>
      json(res, 200, { ticket: `a-ticket-${(made += 1)}`, expiresIn: 15, url: `/live?ticket=a-ticket-${made}` }),
    open: (ws, _seen, count) => {
      if (count === 1) ws.close(1012)
    },
  })
  const url = urlOf(server, '/live?room=1')
  const options = { ticket: '/live/ticket', reconnect: { minDelay: 1 }, credentials: () => ({ token: SECRET }) }
  const socket = await dial(url, options)
  await next(socket, 'open')
  assert.deepEqual(
    server.plain.map(([method, path, authorization]) => [method, path, authorization]),
    [
      ['POST', '/live/ticket', `Bearer ${SECRET}`],
      ['POST', '/live/ticket', `Bearer ${SECRET}`],
    ],
  )
  assert.deepEqual(
    server.seen.map((one) => one.url),
    ['/live?room=1&ticket=a-ticket-1', '/live?room=1&ticket=a-ticket-2'],
  )
  assert.equal(socket.url, url)
  assertSilent(socket)
  socket.close()
})

for (const [what, answer] of [
  ['a login page', (res) => res.writeHead(200, { 'Content-Type': 'text/html' }).end('<html>log in')],
  ['no ticket', (res) => json(res, 200, { ok: true })],
  ['a URL of another host', (res) => json(res, 200, { ticket: 'a-ticket', url: 'ws://evil.example/live' })],
  ['a ticket that is none', (res) => json(res, 200, { ticket: 'a-ticket&x=1', url: '/live' })],
] as ReadonlyArray<[string, (res: import('node:http').ServerResponse) => void]>) {
  test(`${what} in the answer is an error, and nothing is dialled`, LIMIT, async () => {
    await using server = await contract({ plain: (_req, res) => answer(res) })
    const error = await failure(urlOf(server), { ticket: '/live/ticket' })
    assert.deepEqual([error.code, error.phase], ['bad_response', 'ticket'])
    assertSilent(error)
    assert.equal(server.seen.length, 0)
  })
}

test('a refused ticket is a typed refusal of the phase ticket; a redirect is not followed', LIMIT, async () => {
  const advice = { error: 'too_many_tickets', message: 'what', fix: 'how' }
  await using server = await contract({
    plain: (req, res) =>
      req.url === '/login'
        ? res.writeHead(302, { Location: '/evil' }).end()
        : json(res, 429, advice, { 'Retry-After': '15' }),
  })
  const error = await failure(urlOf(server), { ticket: '/live/ticket' })
  assert.deepEqual(
    [error.code, error.phase, error.status, error.retryAfter, error.retryable, error.advice],
    ['refused', 'ticket', 429, 15, true, advice],
  )
  const moved = await failure(urlOf(server), { ticket: { url: '/login', headers: { 'x-csrf': '1' } } })
  assert.deepEqual([moved.status, moved.phase, server.plain.length], [302, 'ticket', 2])
})

const ADVICE = { error: 'missing_credential', message: 'what', fix: 'how' }

test('why a handshake failed is asked for once in 5 s, without a ticket', LIMIT, async () => {
  await using server = await contract({
    handshake: () => ({ status: 401 }),
    plain: (req, res) =>
      req.method === 'POST'
        ? json(res, 200, { ticket: 'a-ticket', url: '/live' })
        : json(res, 401, ADVICE, { 'Retry-After': '3' }),
  })
  const url = urlOf(server, fresh())
  const error = await failure(url, {
    ticket: '/t',
    credentials: ({ attempt }) => (attempt === 1 ? { token: 'one' } : null),
  })
  assert.deepEqual(
    [error.code, error.phase, error.status, error.advice, error.retryAfter],
    ['refused', 'handshake', 401, ADVICE, 3],
  )
  const gets = server.plain.filter(([method]) => method === 'GET')
  assert.deepEqual(
    gets.map(([, path, authorization]) => [path, authorization]),
    [[new URL(url).pathname, 'Bearer one']],
  )
  const second = await failure(url, { ticket: '/t' })
  assert.deepEqual([second.code, second.retryable], ['unknown', true])
  assert.equal(server.plain.filter(([method]) => method === 'GET').length, 1)
})

for (const [answer, expected] of [
  [426, ['unreachable', undefined, true]],
  [200, ['unknown', undefined, true]],
  [503, ['refused', 503, true]],
  [403, ['refused', 403, false]],
  [302, ['refused', 302, false]],
] as const) {
  test(`a failed handshake whose question is answered ${answer} is ${expected.join()}`, LIMIT, async () => {
    await using server = await contract({
      handshake: () => ({ status: 403 }),
      plain: (_req, res) => void res.writeHead(answer, answer === 302 ? { Location: '/x' } : {}).end(),
    })
    const error = await failure(urlOf(server, fresh()))
    assert.deepEqual([error.code, error.status, error.retryable], expected)
    assert.equal(server.plain.length, 1)
  })
}

test('before a first message, a 401 to the question is no reason', LIMIT, async () => {
  await using server = await contract({
    handshake: () => ({ status: 503 }),
    plain: (_req, res) => json(res, 401, ADVICE),
  })
  const options = { credentials: () => ({ username: 'ann', password: SECRET }) }
  assert.equal((await failure(urlOf(server, fresh()), options)).code, 'unknown')
  assert.equal(server.plain[0]?.[2], undefined)
})

test('a server that cannot be reached is unknown, as the browser tells it', LIMIT, async () => {
  const server = await contract({})
  await server.close()
  assert.equal((await failure(urlOf(server))).code, 'unknown')
})

test('a relative URL is relative to the page', LIMIT, async (t) => {
  await using server = await contract({})
  Object.assign(globalThis, { location: { href: `http://127.0.0.1:${server.port}/app/page?x=1` } })
  t.after(() => Reflect.deleteProperty(globalThis, 'location'))
  const socket = await dial('/live', once)
  assert.deepEqual([server.seen[0]?.url, socket.url], ['/live', urlOf(server, '/live')])
  socket.close()
})

test('a class for libraries: events in the order of the standard, no reconnection, a readable end', LIMIT, async () => {
  await using server = await contract({
    handshake: ({ url }) => (url === '/no' ? 'refusal.gate101' : undefined),
    open: (ws, { url }) => {
      if (url === '/no') return ws.close(4401, 'invalid_credential')
      ws.on('message', (data: Buffer) => (data.toString() === 'end' ? ws.close(1012) : ws.send(data)))
    },
  })
  const Client = createWebSocketClass({ credentials: () => ({ token: 'one' }) })
  const socket = new Client(urlOf(server), ['chat'])
  assert.deepEqual([socket.readyState, Client.prototype.CONNECTING, Reflect.get(Client, 'OPEN')], [0, 0, 1])
  assert.throws(() => socket.send('early'), { name: 'InvalidStateError' })
  socket.binaryType = 'arraybuffer'
  const seen: unknown[] = []
  // Libraries set these.
  /* oxlint-disable unicorn/prefer-add-event-listener */
  socket.onopen = () => {
    seen.push('open')
    socket.send(new Uint8Array([1, 2]))
  }
  socket.onmessage = ({ data }) => {
    seen.push(data instanceof ArrayBuffer && data.byteLength)
    socket.send('end')
  }
  await next(socket, 'close')
  assert.deepEqual([seen, socket.readyState, server.seen.length], [['open', 2], 3, 1])
  const refused = new Client(urlOf(server, '/no'))
  refused.onerror = ({ error }) => seen.push(error.status)
  /* oxlint-enable unicorn/prefer-add-event-listener */
  const { code } = await next(refused, 'close')
  // One renewal, then the end.
  assert.deepEqual([code, seen.at(-1), server.seen.length], [4401, 401, 3])
})
