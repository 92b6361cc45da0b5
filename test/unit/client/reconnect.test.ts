import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { dial, DialError, type DialOptions, type DialSocket } from '../../../src/client.ts'
import { failInNode } from '../../../src/client/describe-node.ts'
import { nextStep, type Tries } from '../../../src/client/reconnect.ts'
import { closeError } from '../../../src/client/refusal.ts'
import { next } from '../../support/next.ts'
import { contract } from './contract.ts'
import { urlOf } from './servers.ts'

const LIMIT = { timeout: 60_000 }
const fast = { minDelay: 1, maxDelay: 5 }

const tries = (facts: Partial<Tries> = {}): Tries => ({ wasOpen: true, canRenew: true, failed: 0, ...facts })
const policy = { minDelay: 1000, maxDelay: 30_000, attempts: Infinity }
const closed = (code: number): DialError =>
  closeError((kind, facts) => failInNode({ code: kind, url: 'ws://a', ...facts }), 'session', code, '')
const refused = (status: number, headers = {}): DialError =>
  failInNode({ code: 'refused', url: 'ws://a', answer: { status, headers } })
const step = (error: DialError, state = tries()) => nextStep(error, state, policy, () => 0.5)

const THEN: ReadonlyArray<readonly [what: string, error: DialError, then: string | undefined]> = [
  ...[1001, 1006, 1011, 1012, 1013].map(
    (code) =>
      [`a Close ${code}`, closed(code), code === 1011 || code === 1013 ? 'refused 500' : 'reconnect 500'] as const,
  ),
  ...[1002, 1003, 1007, 1008, 1009, 3000, 4000, 4400, 4403, 4404, 4409].map(
    (code) => [`a Close ${code}`, closed(code), undefined] as const,
  ),
  ['a Close 4401', closed(4401), 'expired 0'],
  ['a Close 4408', closed(4408), 'refused 500'],
  ['a Close 4429', closed(4429), 'refused 500'],
  ['401', refused(401), 'expired 0'],
  ['302', refused(302), 'expired 0'],
  ['400', refused(400), undefined],
  ['403', refused(403), undefined],
  ['404', refused(404), undefined],
  ['429 with Retry-After', refused(429, { 'retry-after': '7' }), 'refused 7500'],
  ['503', refused(503), 'refused 500'],
  ['503 with Retry-After', refused(503, { 'retry-after': '2' }), 'refused 2500'],
  ['no answer', failInNode({ code: 'timeout', url: '' }), 'reconnect 500'],
  ['no server', failInNode({ code: 'unreachable', url: '' }), 'reconnect 500'],
  ['no reason', failInNode({ code: 'unknown', url: '' }), 'reconnect 500'],
  ['a bad answer', failInNode({ code: 'bad_response', url: '' }), undefined],
  ['no credential', failInNode({ code: 'no_credentials', url: '' }), undefined],
]

for (const [what, error, then] of THEN) {
  test(`after ${what}: ${then ?? 'over'}`, () => {
    const found = step(error)
    assert.equal(found && `${found.reason} ${found.delay}`, then)
    // A first dial is tried again for another credential only.
    const first = step(error, tries({ wasOpen: false }))
    assert.equal(first?.reason, then?.startsWith('expired') === true ? 'expired' : undefined)
    assert.equal(nextStep(error, tries({ canRenew: true }), false), undefined)
  })
}

test('a renewal and a slow answer are tried once', () => {
  assert.equal(step(closed(4401), tries({ hasRenewed: true })), undefined)
  assert.equal(step(closed(4401), tries({ canRenew: false })), undefined)
  const state = tries()
  assert.ok(step(closed(4408), state))
  assert.equal(step(closed(4408), state), undefined)
})

test('the wait doubles up to its bound, with full jitter; Retry-After is not cut short by waking', () => {
  const state = tries()
  const delays = Array.from({ length: 7 }, () => step(closed(1006), state)?.delay)
  assert.deepEqual(delays, [500, 1000, 2000, 4000, 8000, 15_000, 15_000])
  const bounds = [0, 0.999999].map((random) => nextStep(closed(1006), tries(), {}, () => random)?.delay)
  assert.equal(bounds[0], 0)
  assert.ok(Number(bounds[1]) > 999 && Number(bounds[1]) <= 1000)
  assert.deepEqual([step(closed(1006))?.canWake, step(refused(429, { 'retry-after': '7' }))?.canWake], [true, false])
  assert.equal(nextStep(closed(1006), tries({ failed: 2 }), { attempts: 2 }), undefined)
})

async function failure(url: string, options?: DialOptions): Promise<DialError> {
  const error = await dial(url, options).then(
    () => assert.fail('the dial was let in'),
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof DialError, inspect(error))
  return error
}

function record(socket: DialSocket): string[] {
  const seen: string[] = []
  socket.on('open', () => seen.push('open'))
  socket.on('reconnecting', ({ error }) => seen.push(`reconnecting ${error.closeCode ?? error.status}`))
  socket.on('auth', ({ state }) => seen.push(`auth ${state}`))
  socket.on('error', ({ error }) => seen.push(`error ${error.code} ${error.status}`))
  socket.on('close', ({ code }) => seen.push(`close ${code}`))
  return seen
}

test('a lost connection comes back; messages go on; the end is told once', LIMIT, async () => {
  await using server = await contract({
    open: (ws, _seen, count) => {
      ws.send(`hello ${count}`)
      if (count < 3) setImmediate(() => ws.close(1012))
    },
  })
  const socket = await dial(urlOf(server), { reconnect: fast })
  const seen = record(socket)
  const messages: unknown[] = []
  for await (const data of socket) {
    if (messages.push(data) === 3) socket.close(1000)
  }
  assert.deepEqual(messages, ['hello 1', 'hello 2', 'hello 3'])
  assert.deepEqual(seen, ['reconnecting 1012', 'open', 'reconnecting 1012', 'open', 'close 1000'])
})

test('iteration throws where the connection ended by an error', LIMIT, async () => {
  await using server = await contract({
    open: (ws) => {
      ws.send('one')
      ws.close(4403, 'revoked')
    },
  })
  const socket = await dial(urlOf(server))
  const seen = record(socket)
  const messages: unknown[] = []
  await assert.rejects(
    async () => {
      for await (const data of socket) messages.push(data)
    },
    { code: 'refused', phase: 'session', status: 403, closeCode: 4403 },
  )
  assert.deepEqual(messages, ['one'])
  assert.deepEqual(seen, ['auth refused', 'error refused 403', 'close 4403'])
  assert.equal(server.seen.length, 1)
})

test('4401 asks for another credential once; it travels in the headers of the next handshake', LIMIT, async () => {
  const asked: string[] = []
  await using server = await contract({
    open: (ws, { authorization }) => {
      if (authorization === 'Bearer 1') ws.close(4401, 'expired')
      else ws.send('in')
    },
  })
  const socket = await dial(urlOf(server), {
    reconnect: fast,
    credentials: async ({ attempt, reason }) => ({ token: String(asked.push(`${attempt} ${reason}`)) }),
  })
  const seen = record(socket)
  await next(socket, 'message')
  assert.deepEqual(asked, ['1 first', '2 expired'])
  assert.deepEqual(seen, ['reconnecting 4401', 'open', 'auth renewed'])
  assert.deepEqual(
    server.seen.map((one) => one.authorization),
    ['Bearer 1', 'Bearer 2'],
  )
  socket.close()
})

test('4401 again and again is no storm: it renews once and stops', LIMIT, async () => {
  let asked = 0
  await using server = await contract({ open: (ws) => ws.close(4401) })
  const socket = await dial(urlOf(server), { reconnect: fast, credentials: () => ({ token: String((asked += 1)) }) })
  const seen = record(socket)
  await next(socket, 'close')
  assert.deepEqual([asked, server.seen.length], [2, 2])
  assert.deepEqual(seen.slice(-3), ['auth refused', 'error refused 401', 'close 4401'])
})

test('a first dial renews a refused credential once, and says the refusal where there is no other', LIMIT, async () => {
  await using server = await contract({
    handshake: ({ authorization }) => (authorization === 'Bearer good' ? undefined : { status: 401 }),
  })
  const url = urlOf(server)
  const socket = await dial(url, { credentials: ({ reason }) => ({ token: reason === 'first' ? 'old' : 'good' }) })
  socket.close()
  assert.equal(server.seen.length, 2)
  assert.equal((await failure(url, { credentials: () => ({ token: 'old' }) })).status, 401)
  assert.equal(server.seen.length, 4)
  const none = await failure(url, { credentials: ({ reason }) => (reason === 'first' ? { token: 'old' } : null) })
  assert.deepEqual([none.status, server.seen.length], [401, 5])
  // Without the callback there is nothing new to try.
  assert.equal((await failure(url, { headers: { authorization: 'Bearer old' } })).status, 401)
  assert.equal(server.seen.length, 6)
})

test('a connection with a credential never comes back without one', LIMIT, async () => {
  await using server = await contract({ open: (ws) => ws.close(1012) })
  const socket = await dial(urlOf(server), {
    reconnect: fast,
    credentials: ({ reason }) => (reason === 'first' ? { token: 'one' } : null),
  })
  const { error } = await next(socket, 'error')
  assert.deepEqual([error.code, server.seen.length], ['no_credentials', 1])
})

test('credentials() that throws is tried again after a loss, and fails a first dial', LIMIT, async () => {
  const cause = new Error('no network')
  let calls = 0
  await using server = await contract({
    open: (ws, _seen, count) => {
      if (count === 1) ws.close(1012)
    },
  })
  const socket = await dial(urlOf(server), {
    reconnect: fast,
    credentials: () => {
      calls += 1
      if (calls === 2) throw cause
      return { token: 'one' }
    },
  })
  await next(socket, 'open')
  assert.equal(calls, 3)
  socket.close()
  const error = await failure(urlOf(server), { credentials: () => Promise.reject(cause) })
  assert.deepEqual([error.code, error.cause], ['no_credentials', cause])
})

test('credentials() that never answers is timed out, and so is aborting it', LIMIT, async () => {
  const credentials = () => new Promise<never>(() => {})
  assert.equal((await failure('ws://127.0.0.1:1/', { credentials, timeout: 100 })).code, 'timeout')
  const signal = AbortSignal.timeout(50)
  const aborted = await failure('ws://127.0.0.1:1/', { credentials, signal })
  assert.deepEqual([aborted.code, aborted.cause], ['aborted', signal.reason])
})

test('close() and terminate() end the wait for another attempt', LIMIT, async () => {
  for (const end of ['close', 'terminate'] as const) {
    await using server = await contract({ open: (ws) => ws.close(1012) })
    const socket = await dial(urlOf(server), { reconnect: { minDelay: 60_000_000, maxDelay: 60_000_000 } })
    await next(socket, 'reconnecting')
    assert.equal(socket.readyState, socket.CONNECTING)
    assert.throws(() => socket.send('x'), { name: 'InvalidStateError' })
    const closing = next(socket, 'close')
    socket[end]()
    await closing
    assert.deepEqual([socket.readyState, server.seen.length], [3, 1])
  }
})

test('a number of attempts is the end of it', LIMIT, async () => {
  const server = await contract({})
  const socket = await dial(urlOf(server), { reconnect: { ...fast, attempts: 3 } })
  const seen = record(socket)
  await server.close()
  await next(socket, 'close')
  assert.deepEqual(seen.filter((one) => one.startsWith('reconnecting')).length, 3)
  assert.equal(seen.at(-2), 'error unreachable undefined')
})

test('expiring is told before the credential expires', LIMIT, async () => {
  await using server = await contract({
    open: (ws) => ws.on('message', () => ws.send('{"type":"auth_ok","expiresIn":0.2}')),
  })
  const began = Date.now()
  const socket = await dial(urlOf(server), { roads: ['message'], credentials: () => ({ token: 'one' }) })
  const { state, expiresAt } = await next(socket, 'auth')
  assert.equal(state, 'expiring')
  assert.ok(Number(expiresAt) >= began + 200 && Number(expiresAt) - Date.now() <= 30)
  socket.close()
})

test('a credential does not travel unencrypted to another machine', LIMIT, async () => {
  for (const host of ['192.0.2.1', 'example.com', 'localhost.example.com', '127.0.0.1.example.com', '[::2]']) {
    const options = { timeout: 50, headers: { 'X-Api-Key': 'dTop5ecret' } }
    const error = await failure(`ws://${host}:9/`, options)
    assert.deepEqual([error.code, /dangerouslyAllowPlaintext/.test(error.message)], ['bad_request', true], host)
    assert.equal((await failure(`ws://u:p@${host}:9/`, { timeout: 50 })).code, 'bad_request', host)
  }
  const allowed = await failure('ws://192.0.2.1:9/', {
    timeout: 50,
    headers: { 'x-api-key': 'a' },
    dangerouslyAllowPlaintext: true,
  })
  assert.notEqual(allowed.code, 'bad_request')
  assert.notEqual((await failure('ws://localhost:1/', { headers: { 'x-api-key': 'a' } })).code, 'bad_request')
  assert.notEqual(
    (await failure('ws://192.0.2.1:9/', { timeout: 50, headers: { origin: 'http://a' } })).code,
    'bad_request',
  )
})

test('allowedHosts is all that may be dialled', LIMIT, async () => {
  await using server = await contract({})
  const host = `127.0.0.1:${server.port}`
  const socket = await dial(urlOf(server), { allowedHosts: [host] })
  socket.close()
  for (const allowedHosts of [[], ['127.0.0.1'], [`x${host}`], ['example.com']]) {
    assert.equal((await failure(urlOf(server), { allowedHosts })).code, 'bad_request')
  }
  const ticket = { url: 'http://localhost:1/ticket' }
  assert.equal((await failure(urlOf(server), { allowedHosts: [host], roads: ['ticket'], ticket })).code, 'bad_request')
  assert.equal(server.seen.length, 1)
})

test('only one asks for a credential at a time, where there are Web Locks', LIMIT, async (t) => {
  const names: string[] = []
  let last: Promise<unknown> = Promise.resolve()
  const locks = {
    request: async (name: string, _options: object, call: () => Promise<unknown>) => {
      names.push(name)
      const mine = last.then(call)
      last = mine.catch(() => {})
      return await mine
    },
  }
  const before = Object.getOwnPropertyDescriptor(globalThis, 'navigator')
  Object.defineProperty(globalThis, 'navigator', { value: { locks }, configurable: true })
  t.after(() => {
    if (before === undefined) Reflect.deleteProperty(globalThis, 'navigator')
    else Object.defineProperty(globalThis, 'navigator', before)
  })
  await using server = await contract({})
  let inside = 0
  let most = 0
  const credentials = async () => {
    most = Math.max(most, (inside += 1))
    await new Promise((resolve) => setTimeout(resolve, 20))
    inside -= 1
    return { token: 'one' }
  }
  const url = `${urlOf(server)}?key=dTop5ecret`
  const sockets = await Promise.all([dial(url, { credentials }), dial(url, { credentials })])
  assert.equal(most, 1)
  assert.deepEqual(names, [names[0], names[0]])
  assert.ok(!String(names[0]).includes('dTop5ecret'))
  for (const socket of sockets) socket.close()
})

test('every road works in Node; the headers of a road that needs none are left out', LIMIT, async () => {
  await using server = await contract({
    open: (ws) => ws.on('message', () => ws.send('{"type":"auth_ok"}')),
    plain: (_req, res) => void res.end('{"ticket":"a-ticket","url":"/ws?ticket=a-ticket"}'),
  })
  for (const road of ['headers', 'ticket', 'subprotocol', 'message'] as const) {
    const socket = await dial(urlOf(server), { roads: [road], ticket: '/t', credentials: () => ({ token: 'one' }) })
    socket.close()
  }
  assert.deepEqual(
    server.seen.map(({ url, authorization, offered }) => [url, authorization, offered.length]),
    [
      ['/ws', 'Bearer one', 0],
      ['/ws?ticket=a-ticket', undefined, 0],
      ['/ws', undefined, 2],
      ['/ws', undefined, 0],
    ],
  )
  assert.deepEqual(
    server.plain.map(([method, url, authorization]) => [method, url, authorization]),
    [['POST', '/t', 'Bearer one']],
  )
  const error = await failure(urlOf(server), {
    roads: ['subprotocol'],
    credentials: () => ({ username: 'a', password: 'b' }),
  })
  assert.equal(error.code, 'bad_request')
})
