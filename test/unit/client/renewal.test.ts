import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { after, before, describe, mock, test, type TestContext } from 'node:test'
import { inspect } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import express from 'express'
import { WebSocket } from 'undici'
import type { WebSocket as Accepted } from 'ws'
import * as browser from '../../../src/client/browser.ts'
import * as node from '../../../src/client/dial-node.ts'
import type { DialOptions, DialSocket, DialWhy } from '../../../src/client.ts'
import { createGate, type Gate, type RenewedEvent } from '../../../src/index.ts'
import { next } from '../../support/next.ts'
import { listen, type Listening } from '../../support/servers.ts'
import { HeldClock } from '../credentials/helpers.ts'
import { contract, json, type Contract } from './contract.ts'
import { urlOf } from './servers.ts'

const LIMIT = { timeout: 120_000 }
const SECRET = 'dTop5ecret'
const RUNTIMES = [
  ['Node', node.dial],
  ['a browser', browser.dial],
] as const

before(() => {
  Object.assign(globalThis, { WebSocket })
  // The first moment of those by chance: after 80 % of the time, and a second after a failure.
  mock.method(Math, 'random', () => 0)
})

after(() => mock.restoreAll())

function collectGarbage(): void {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
}

interface Latch {
  open(): void
  readonly opened: Promise<void>
}

function latch(): Latch {
  let open = (): void => {}
  const opened = new Promise<void>((resolve) => (open = resolve))
  return { open: () => open(), opened }
}

interface Guarded extends Listening {
  readonly gate: Gate
  /** The gate's own, and the app's. */
  readonly clock: HeldClock
  /** A token that the app takes for a LIFETIME from now. */
  token(): string
  /** What the apps at the sockets got. */
  readonly heard: string[]
  /** Of each request for a renewal: its token, and whether it named a connection. */
  readonly posts: Array<readonly [token: string | undefined, isNamed: boolean]>
}

/** An app with its own login by tokens, and a gate with renewals over HTTP and by messages. */
async function guarded(): Promise<Guarded> {
  const clock = new HeldClock()
  const ends: number[] = []
  const heard: string[] = []
  const posts: Guarded['posts'] = []
  const endOf = ({ headers }: IncomingMessage): number => ends[Number(headers.authorization?.split(' ')[1])] ?? 0
  const gate = createGate({
    identify: (req) => ({ subject: 'ann', session: 'one', expiresAt: new Date(endOf(req)) }),
    firstMessage: { paths: ['/live'] },
    clock,
  })
  const app = express()
  app.post('/live/renew', ({ headers }, _res, go) => {
    posts.push([headers.authorization, typeof headers['gate101-connection'] === 'string'])
    go()
  })
  app.use((req, res, go) => {
    if (endOf(req) > clock.now()) go()
    else res.status(401).end()
  })
  app.get(
    '/live',
    gate.websocket((socket) =>
      socket.on('message', (data) => {
        heard.push(String(data))
        socket.send(String(data))
      }),
    ),
  )
  app.post('/live/renew', gate.renew())
  const server = createServer(app)
  gate.attach(server)
  const token = (): string => String(ends.push(clock.now() + LIFETIME) - 1)
  return { ...(await listen(server)), gate, clock, token, heard, posts }
}

/** The next so many renewals, as the gate tells of them. */
function renewals({ gate }: Guarded, count: number): Promise<RenewedEvent[]> {
  const seen: RenewedEvent[] = []
  return new Promise((resolve) => {
    gate.on('renewed', (event) => {
      if (seen.push(event) === count) resolve(seen)
    })
  })
}

type Dial = (typeof RUNTIMES)[number][1]

/** Dials, and leaves nothing open where the test fails. */
async function open(t: TestContext, dial: Dial, url: string, options: DialOptions): Promise<DialSocket> {
  const socket = await dial(url, options)
  t.after(() => socket.terminate())
  return socket
}

async function echo(socket: DialSocket, text: string): Promise<unknown> {
  socket.send(text)
  return (await next(socket, 'message')).data
}

function record(socket: DialSocket): string[] {
  const seen: string[] = []
  socket.on('auth', ({ state }) => seen.push(state))
  socket.on('reconnecting', ({ error }) => seen.push(`reconnecting ${error.closeCode}`))
  socket.on('close', ({ code }) => seen.push(`close ${code}`))
  return seen
}

/** Where the machine is slow, the end may be near before the answer has come. */
const isNoWarning = (seen: string): boolean => seen !== 'expiring'

/** Told as 2 s: the client renews after 1.6 s of its own time. */
const LIFETIME = 2900
/** What the clock of the gate says then: three of these are more than two lifetimes. */
const LATER = 2100

const NOTICE = '{"type":"auth_expiring","expiresIn":0}'

/** What a hand-written server does. */
interface Odd {
  /** Beside `type`, of the answer to the first message, which a notice follows. */
  readonly granted?: object | undefined
  /** What the route answers to its n-th request, from 1. */
  renew?(res: ServerResponse, count: number, req: IncomingMessage): void
  /** What is said to the n-th auth message on the open connection, from 1; other messages are echoed. */
  auth?(ws: Accepted, count: number): void
}

interface OddServer extends Contract {
  /** When each renewal was asked for, on whichever way. */
  readonly times: number[]
}

async function odd({ granted, renew, auth }: Odd): Promise<OddServer> {
  const times: number[] = []
  const server = await contract({
    plain: (req, res) => renew?.(res, times.push(performance.now()), req),
    open: (ws) => {
      let isFirst = true
      ws.on('message', (data) => {
        const text = String(data)
        if (!text.includes('"auth"')) return ws.send(text)
        if (!isFirst) return auth?.(ws, times.push(performance.now()))
        isFirst = false
        ws.send(JSON.stringify({ type: 'auth_ok', subject: 'ann', ...granted }))
        ws.send(NOTICE)
      })
    },
  })
  return { ...server, times }
}

/** A timeout, here and at the handshake, that is over before the end of what `told(4)` says is near. */
const SHORT = 2500
/** Opened by a message, so that it is known how long it lasts; and the server wants it to be renewed at once. */
const told = (expiresIn = 2): object => ({ expiresIn, renew: 'message' })
const asks: DialOptions = { roads: ['message'], credentials: () => ({ token: SECRET }), reconnect: false }
const posts: DialOptions = { ...asks, renew: '/live/renew' }

function assertSilent(thing: unknown): void {
  for (const text of [
    inspect(thing, { depth: 9, showHidden: true }),
    JSON.stringify(thing),
    String(thing),
    (thing as Error).stack ?? '',
  ])
    assert.ok(!text.includes(SECRET), text)
}

/** Many messages to and fro: time enough for what runs hot. */
async function linger(socket: DialSocket): Promise<void> {
  for (let left = 50; left > 0; left -= 1) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    assert.equal(await echo(socket, `${left}`), `${left}`)
  }
}

type Failed = readonly [what: string, code: string, status: number | undefined, answer: (res: ServerResponse) => void]

const NEVER_AGAIN: readonly Failed[] = [
  ['a login page', 'bad_response', undefined, (res) => res.setHeader('Content-Type', 'text/html').end('<p>Log in.')],
  ['an empty answer', 'bad_response', undefined, (res) => res.end()],
  ['no number of renewed', 'bad_response', undefined, (res) => json(res, 200, { renewed: 'all', expiresIn: 3600 })],
  ['a redirect', 'refused', 302, (res) => res.writeHead(302, { Location: '/live' }).end()],
  ...[400, 401, 403, 404, 409].map((status): Failed => [
    `${status}`,
    'refused',
    status,
    (res) => json(res, status, { error: 'app', message: SECRET, fix: SECRET }),
  ]),
]

/** Holds each request of the renewal route, and says when one has come, and when it was given up. */
async function holding(): Promise<{ server: OddServer; came: Promise<void>; gone: Promise<void> }> {
  const came = latch()
  const gone = latch()
  const server = await odd({
    granted: told(),
    renew: (res) => {
      came.open()
      res.on('close', () => gone.open())
    },
  })
  return { server, came: came.opened, gone: gone.opened }
}

describe('a renewal', { concurrency: 2 }, () => {
  describe('a gate', { concurrency: true }, () => {
    for (const [where, dial] of RUNTIMES) {
      for (const renew of ['/live/renew', undefined]) {
        const by = renew === undefined ? 'message' : 'http'
        test(`from ${where}, a first message is renewed by ${by}, over two lifetimes`, LIMIT, async (t) => {
          await using server = await guarded()
          const asked: string[] = []
          const credentials = ({ reason, attempt }: DialWhy) => {
            asked.push(`${attempt} ${reason}`)
            if (reason === 'renew') server.clock.pass(LATER)
            return { headers: { authorization: `Bearer ${server.token()}` } }
          }
          const socket = await open(t, dial, urlOf(server, '/live'), { roads: ['message'], credentials, renew })
          const seen = record(socket)
          const renewed = await renewals(server, 3)
          while (seen.filter(isNoWarning).length < 3) await next(socket, 'auth')
          assert.deepEqual(
            renewed.map((event) => event.by),
            [by, by, by],
          )
          assert.equal(await echo(socket, 'hello'), 'hello')
          assert.deepEqual(server.heard, ['hello'])
          assert.deepEqual(seen.filter(isNoWarning), ['renewed', 'renewed', 'renewed'])
          assert.deepEqual(asked, ['1 first', '1 renew', '1 renew', '1 renew'])
          const posts = renew === undefined ? [] : ['1', '2', '3'].map((token) => [`Bearer ${token}`, true])
          assert.deepEqual(server.posts, posts)
          socket.close()
        })
      }
    }

    test('where nothing says how long it lasts, the route is asked once it is open', LIMIT, async (t) => {
      await using server = await guarded()
      const credentials = ({ reason }: DialWhy) => {
        if (reason === 'renew') server.clock.pass(LATER)
        return { token: server.token() }
      }
      const renewed = renewals(server, 2)
      const socket = await open(t, node.dial, urlOf(server, '/live'), { credentials, renew: '/live/renew' })
      const seen = record(socket)
      await renewed
      while (seen.filter(isNoWarning).length < 1) await next(socket, 'auth')
      // The first answer is no news for the app.
      assert.deepEqual(seen.filter(isNoWarning), ['renewed'])
      assert.deepEqual(server.posts, [
        ['Bearer 1', false],
        ['Bearer 2', false],
      ])
      socket.close()
    })

    for (const renew of ['/live/renew', undefined]) {
      const by = renew ?? 'message'
      test(
        `what is refused by ${by} is told, ends on time, and comes back with another credential`,
        LIMIT,
        async (t) => {
          await using server = await guarded()
          const asked: string[] = []
          const credentials = ({ reason }: DialWhy) => {
            asked.push(reason)
            return { token: reason === 'renew' ? 'bad' : server.token() }
          }
          const socket = await open(t, node.dial, urlOf(server, '/live'), { roads: ['message'], credentials, renew })
          const seen = record(socket)
          // The gate says that the end is near: the refusal is there long before the client sees that itself.
          server.clock.pass(0.95 * LIFETIME)
          const { state, expiresAt, error } = await next(socket, 'auth')
          assert.deepEqual([state, error?.status, error?.phase], ['expiring', 401, 'renewal'])
          assert.ok(expiresAt instanceof Date && Math.abs(expiresAt.getTime() - Date.now()) < LIFETIME)
          server.clock.pass(0.05 * LIFETIME)
          await next(socket, 'auth')
          assert.deepEqual(seen, ['expiring', 'reconnecting 4401', 'renewed'])
          assert.deepEqual(asked, ['first', 'renew', 'expired'])
          assert.equal(await echo(socket, 'hello'), 'hello')
          assert.deepEqual(server.heard, ['hello'])
          socket.close()
        },
      )
    }

    test('without the option, and without a first message, nothing is asked', LIMIT, async (t) => {
      await using server = await guarded()
      const socket = await open(t, node.dial, urlOf(server, '/live'), {
        headers: { authorization: `Bearer ${server.token()}` },
        reconnect: false,
      })
      const seen = record(socket)
      server.clock.pass(LIFETIME)
      await next(socket, 'close')
      assert.deepEqual([seen, server.posts], [['refused', 'close 4401'], []])
    })
  })

  describe('an odd answer to a renewal over HTTP', { concurrency: 12 }, () => {
    for (const [what, code, status, answer] of NEVER_AGAIN) {
      test(`${what}: told before the end, and not asked again`, LIMIT, async (t) => {
        await using server = await odd({ granted: told(), renew: answer })
        const socket = await open(t, node.dial, urlOf(server), posts)
        const { state, error } = await next(socket, 'auth')
        assert.ok(error)
        assert.deepEqual(
          [state, error.code, error.status, error.phase, error.retryable],
          ['expiring', code, status, 'renewal', false],
        )
        assertSilent(error)
        await linger(socket)
        assert.equal(server.times.length, 1)
        socket.close()
      })
    }

    for (const [where, dial] of RUNTIMES) {
      test(`from ${where}, 503 and then more time is renewed`, LIMIT, async (t) => {
        await using server = await odd({
          granted: told(),
          renew: (res, count) => json(res, count === 1 ? 503 : 200, { renewed: 1, expiresIn: 3600 }),
        })
        const socket = await open(t, dial, urlOf(server), posts)
        const seen = record(socket)
        while (!seen.includes('renewed')) await next(socket, 'auth')
        assert.equal(server.times.length, 2)
        socket.close()
      })

      test(
        `from ${where}, 429 is asked again no sooner than Retry-After, whatever is noticed meanwhile`,
        LIMIT,
        async (t) => {
          await using server = await odd({
            granted: told(),
            renew: (res, count) => {
              if (count > 1) return json(res, 200, { renewed: 1, expiresIn: 3600 })
              json(res, 429, {}, { 'Retry-After': '2' })
              for (const ws of server.sockets) ws.send(NOTICE)
            },
          })
          const socket = await open(t, dial, urlOf(server), posts)
          const seen = record(socket)
          while (!seen.includes('renewed')) await next(socket, 'auth')
          const [first = 0, second = 0, ...more] = server.times
          assert.ok(second - first >= 1990, `${second - first}`)
          assert.deepEqual(more, [])
          socket.close()
        },
      )
    }

    test('no answer within the timeout is given up, told, and asked again', LIMIT, async (t) => {
      const [gone, again] = [latch(), latch()]
      await using server = await odd({
        granted: told(4),
        renew: (res, count) => {
          if (count === 1) res.on('close', () => gone.open())
          // What nobody holds but the request is forgotten now.
          if (count === 1) setImmediate(collectGarbage)
          else again.open()
        },
      })
      const socket = await open(t, node.dial, urlOf(server), { ...posts, timeout: SHORT })
      const { state, error } = await next(socket, 'auth')
      assert.deepEqual([state, error?.code, error?.retryable], ['expiring', 'timeout', true])
      await gone.opened
      await again.opened
      socket.close()
    })

    test('a server that is away is asked again, and told without the reason', LIMIT, async (t) => {
      await using server = await odd({ granted: told(), renew: (res) => res.destroy() })
      const socket = await open(t, node.dial, urlOf(server), posts)
      const { error } = await next(socket, 'auth')
      assert.ok(error)
      assert.deepEqual([error.code, error.retryable], ['unreachable', true])
      assertSilent(error)
      socket.close()
    })

    for (const [what, body] of [
      ['no time', '{"renewed":1,"expiresIn":0}'],
      ['less than no time', '{"renewed":1,"expiresIn":-5}'],
      ['more than all time', '{"renewed":1,"expiresIn":1e300}'],
      ['time without bound', '{"renewed":1e999,"expiresIn":1e999}'],
      ['a text', '{"renewed":1,"expiresIn":"1"}'],
      ['NaN', '{"renewed":1,"expiresIn":"NaN"}'],
      ['a list', '{"renewed":1,"expiresIn":[0]}'],
      ['null', '{"renewed":1,"expiresIn":null}'],
      ['nothing', '{"renewed":1}'],
      ['a prototype', '{"renewed":1,"__proto__":{"expiresIn":0}}'],
    ] as const) {
      test(`${what} neither ends nor heats anything`, LIMIT, async (t) => {
        const asked = latch()
        await using server = await odd({
          renew: (res) => {
            res.end(body)
            asked.open()
          },
        })
        const socket = await open(t, node.dial, urlOf(server), { renew: '/live/renew' })
        const seen = record(socket)
        await asked.opened
        await linger(socket)
        assert.equal(server.times.length, 1)
        assert.deepEqual(seen, [])
        socket.close()
      })
    }
  })

  describe('an odd answer to a renewal by message', { concurrency: 12 }, () => {
    const authOk = (members: object): string => JSON.stringify({ type: 'auth_ok', subject: 'ann', ...members })

    for (const [where, dial] of RUNTIMES) {
      test(`from ${where}, auth_error is told and not repeated; the app sees none of it`, LIMIT, async (t) => {
        await using server = await odd({
          granted: told(),
          auth: (ws) => {
            ws.send('data')
            ws.send(`{"type":"auth_error","status":401,"code":"${SECRET}"}`)
            ws.send(NOTICE)
          },
        })
        const socket = await open(t, dial, urlOf(server), asks)
        const got: unknown[] = []
        socket.on('message', ({ data }) => got.push(data))
        const { state, error } = await next(socket, 'auth')
        assert.ok(error)
        assert.deepEqual([state, error.status, error.phase, error.retryable], ['expiring', 401, 'renewal', false])
        assertSilent(error)
        await linger(socket)
        assert.equal(got[0], 'data')
        assert.deepEqual([got.length, server.times.length], [51, 1])
        socket.close()
      })
    }

    test('auth_error 429 is asked again no sooner than retryAfter', LIMIT, async (t) => {
      await using server = await odd({
        granted: told(),
        auth: (ws, count) =>
          ws.send(
            count === 1
              ? '{"type":"auth_error","status":429,"code":"too_many_attempts","retryAfter":2}'
              : authOk({ expiresIn: 3600 }),
          ),
      })
      const socket = await open(t, node.dial, urlOf(server), asks)
      const seen = record(socket)
      while (!seen.includes('renewed')) await next(socket, 'auth')
      const [first = 0, second = 0] = server.times
      assert.ok(second - first >= 1990, `${second - first}`)
      socket.close()
    })

    test('no answer: told, and no other message before it; a late one still counts', LIMIT, async (t) => {
      await using server = await odd({ granted: told(4), auth: () => {} })
      const socket = await open(t, node.dial, urlOf(server), { ...asks, timeout: SHORT })
      const { state, error } = await next(socket, 'auth')
      assert.deepEqual([state, error?.code, error?.retryable], ['expiring', 'timeout', false])
      const [ws] = server.sockets
      ws?.send(NOTICE)
      await linger(socket)
      assert.equal(server.times.length, 1)
      const renewed = next(socket, 'auth')
      ws?.send(authOk({ expiresIn: 3600 }))
      assert.equal((await renewed).state, 'renewed')
      socket.close()
    })

    test("the app's own messages pass, whatever they look like; a notice never does", LIMIT, async (t) => {
      await using server = await odd({ granted: { expiresIn: 3600 } })
      const socket = await open(t, node.dial, urlOf(server), asks)
      const [ws] = server.sockets
      const own = [
        authOk({ expiresIn: 1 }),
        '{"type":"auth_error","status":401}',
        '{"type":"auth_okay"}',
        '{"of":{"type":"auth_expiring"}}',
        'about "auth_expiring"',
        '"auth_expiring"',
        '[{"type":"auth_expiring"}]',
        `{"type":"data","text":"\\"auth_ok","more":"${'x'.repeat(100_000)}"}`,
      ]
      ws?.send('{ "expiresIn": 3500, "type": "auth_expiring" }')
      for (const text of own) ws?.send(text)
      ws?.send(Buffer.from('{"type":"auth_expiring"}'))
      const got: unknown[] = []
      for await (const data of socket) {
        if (got.push(typeof data === 'string' ? data : 'bytes') === own.length + 1) socket.close()
      }
      assert.deepEqual(got, [...own, 'bytes'])
    })

    test('a notice is heeded at once, and a thousand of them are one renewal', LIMIT, async (t) => {
      const answered = latch()
      await using server = await odd({
        granted: told(3600),
        renew: (res) => {
          // Ever more time, so that each renewal would be worth it.
          json(res, 200, { renewed: 1, expiresIn: 4000 + server.times.length * 10 })
          for (const ws of server.sockets) ws.send(NOTICE)
          answered.open()
        },
      })
      const socket = await open(t, browser.dial, urlOf(server), posts)
      const seen = record(socket)
      const [ws] = server.sockets
      ws?.send(NOTICE)
      await answered.opened
      for (let left = 1000; left > 0; left -= 1) ws?.send(NOTICE)
      await linger(socket)
      assert.equal(server.times.length, 1)
      assert.deepEqual(seen, ['renewed'])
      socket.close()
    })

    test('before auth_ok nothing is a notice, and what follows it at once is one', LIMIT, async (t) => {
      const asked = latch()
      await using server = await contract({
        plain: (_req, res) => {
          json(res, 200, { renewed: 1, expiresIn: 7200 })
          asked.open()
        },
        open: (ws) =>
          ws.once('message', () => {
            ws.send(authOk({ expiresIn: 3600 }))
            ws.send(NOTICE)
            ws.send('data')
          }),
      })
      const socket = await open(t, browser.dial, urlOf(server), posts)
      assert.equal((await next(socket, 'message')).data, 'data')
      await asked.opened
      socket.close()
    })
  })

  describe('the credential of a renewal', { concurrency: 12 }, () => {
    for (const [what, given, code, hasCause] of [
      ['throws', () => Promise.reject(new Error('no network')), 'no_credentials', true],
      ['throws at once', () => assert.fail('no network'), 'no_credentials', true],
      ['hangs', () => new Promise<never>(() => {}), 'no_credentials', true],
      ['is null', () => null, 'no_credentials', false],
      ['is impossible', () => ({ token: SECRET, username: 'ann' }), 'bad_request', false],
      ['is no header', () => ({ headers: { authorization: `Bearer ${SECRET}\r\n` } }), 'bad_request', false],
    ] as const) {
      for (const options of [posts, asks]) {
        const by = options.renew === undefined ? 'message' : 'http'
        test(`that ${what}, by ${by}: nothing is sent, and the end is told`, LIMIT, async (t) => {
          await using server = await odd({ granted: told(what === 'hangs' ? 4 : 2) })
          const socket = await open(t, node.dial, urlOf(server), {
            ...options,
            ...(what === 'hangs' && { timeout: SHORT }),
            credentials: ({ reason }) => (reason === 'renew' ? given() : { token: SECRET }),
          })
          const { state, error } = await next(socket, 'auth')
          assert.ok(error)
          assert.deepEqual([state, error.code, error.retryable], ['expiring', code, hasCause])
          assert.equal(error.cause !== undefined, hasCause)
          assertSilent(error)
          await linger(socket)
          assert.equal(server.times.length, 0)
          socket.close()
        })
      }
    }

    test('goes to no other host than the allowed ones, and never unencrypted to another machine', LIMIT, async (t) => {
      await using server = await odd({ granted: told() })
      for (const [what, renew] of [
        ['allowedHosts', 'http://localhost:1/renew'],
        ['plaintext', 'http://192.0.2.1/renew'],
      ]) {
        const allowedHosts = what === 'allowedHosts' ? [`127.0.0.1:${server.port}`] : undefined
        // oxlint-disable-next-line no-await-in-loop -- one after the other
        const socket = await open(t, node.dial, urlOf(server), { ...asks, renew, allowedHosts })
        // oxlint-disable-next-line no-await-in-loop -- one after the other
        const { error } = await next(socket, 'auth')
        assert.deepEqual([error?.code, error?.retryable], ['bad_request', false])
        socket.close()
      }
    })

    test('goes with the headers of the route; its fetch is used', LIMIT, async (t) => {
      const sent: Array<readonly [string | undefined, string | undefined, string | undefined]> = []
      await using server = await odd({
        granted: { ...told(), connection: 'a-name' },
        renew: (res, _count, { headers }) => {
          sent.push([headers.authorization, String(headers['gate101-connection']), String(headers['x-csrf'])])
          json(res, 200, { renewed: 1, expiresIn: 3600 })
        },
      })
      let fetched = 0
      const renew = {
        url: '/live/renew',
        headers: { 'x-csrf': 'yes' },
        fetch: (...args: Parameters<typeof fetch>) => {
          fetched += 1
          return fetch(...args)
        },
      }
      const socket = await open(t, node.dial, urlOf(server), { ...asks, renew })
      assert.equal((await next(socket, 'auth')).state, 'renewed')
      assert.deepEqual([fetched, sent], [1, [[`Bearer ${SECRET}`, 'a-name', 'yes']]])
      socket.close()
    })
  })

  describe('the end of a connection', { concurrency: 6 }, () => {
    for (const [where, dial] of RUNTIMES) {
      test(
        `from ${where}, close() gives the renewal up at once, although the server does not answer`,
        LIMIT,
        async (t) => {
          const { server, came, gone } = await holding()
          await using _server = server
          const socket = await open(t, dial, urlOf(server), { renew: '/live/renew', timeout: 600_000 })
          const seen = record(socket)
          await came
          // The server does not read, so its Close does not come.
          for (const ws of server.sockets) ws.pause()
          socket.close()
          await gone
          assert.deepEqual([seen, server.times.length], [[], 1])
          for (const ws of server.sockets) ws.resume()
          await next(socket, 'close')
        },
      )

      test(`from ${where}, the Close of the server gives it up`, LIMIT, async (t) => {
        const { server, came, gone } = await holding()
        await using _server = server
        const socket = await open(t, dial, urlOf(server), { renew: '/live/renew', reconnect: false, timeout: 600_000 })
        await came
        for (const ws of server.sockets) ws.close(4403, 'ended')
        const seen = record(socket)
        await next(socket, 'close')
        await gone
        assert.deepEqual([seen, server.times.length], [['refused', 'close 4403'], 1])
      })
    }

    test('close() by whoever is told of a renewal, or of open, is the end of them', LIMIT, async (t) => {
      await using server = await odd({
        granted: told(),
        renew: (res) => json(res, 200, { renewed: 1, expiresIn: 3600 }),
      })
      const socket = await open(t, node.dial, urlOf(server), posts)
      const seen = record(socket)
      socket.on('auth', () => socket.terminate())
      await next(socket, 'close')
      assert.deepEqual(seen, ['renewed', 'close 1006'])
      assert.equal(server.times.length, 1)
      const Class = node.createWebSocketClass({ renew: '/live/renew' })
      const early = new Class(urlOf(server))
      early.addEventListener('open', () => early.terminate())
      await next(early, 'close')
      // Nothing was sent for it before this one.
      const later = await open(t, node.dial, urlOf(server), { renew: '/live/renew' })
      await linger(later)
      assert.equal(server.times.length, 2)
    })

    test('leaves nothing that would keep the process alive', LIMIT, async () => {
      await using server = await odd({ granted: told(), renew: (res) => json(res, 200, { renewed: 1, expiresIn: 2 }) })
      const program = `
      import { dial } from ${JSON.stringify(new URL('../../../src/client.ts', import.meta.url).href)}
      const url = ${JSON.stringify(urlOf(server))}
      const heard = (socket) => new Promise((resolve) => socket.on('auth', resolve))
      const byCookie = await dial(url, { renew: '/live/renew' })
      const byToken = await dial(url, { renew: '/live/renew', roads: ['message'], credentials: () => ({ token: 'a' }) })
      await Promise.all([heard(byCookie), heard(byToken)])
      byCookie.close()
      byToken.close()`
      const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', program], {
        stdio: ['ignore', 'inherit', 'inherit'],
      })
      try {
        assert.deepEqual(await once(child, 'exit'), [0, null])
      } finally {
        child.kill()
      }
    })
  })
})

describe('the connections of one page', () => {
  test('by cookies are renewed together, and each knows it; another route is another matter', LIMIT, async (t) => {
    let renewed = 0
    await using server = await odd({
      renew: (res, _count, { url }) => {
        if (url === '/live/renew') renewed += 1
        json(res, 200, { renewed: 2, expiresIn: url === '/live/renew' ? 2 : 3600 })
      },
    })
    const sockets = [
      await open(t, browser.dial, urlOf(server, '/a'), { renew: '/live/renew' }),
      await open(t, browser.dial, urlOf(server, '/b'), { renew: '/live/renew' }),
    ]
    const other = await open(t, browser.dial, urlOf(server, '/c'), { renew: '/other' })
    const seen = [...sockets, other].map(record)
    await Promise.all(sockets.map((socket) => next(socket, 'auth')))
    assert.deepEqual(seen, [['renewed'], ['renewed'], []])
    assert.ok(renewed <= 4, `${renewed}`)
    for (const socket of [...sockets, other]) socket.close()
  })

  test(
    'tell others of their renewals, and heed what others tell; strangers on the channel do no harm',
    LIMIT,
    async (t) => {
      await using server = await odd({ renew: (res) => json(res, 200, { renewed: 1, expiresIn: 3600 }) })
      const [stranger, listener] = [1, 2].map(
        () => new BroadcastChannel(`gate101 ${urlOf(server, '/live/renew').replace('ws', 'http')}`),
      )
      assert.ok(stranger && listener)
      t.after(() => [stranger, listener].map((channel) => channel.close()))
      const heard: unknown[] = []
      const last = latch()
      const first = latch()
      listener.addEventListener('message', (event: unknown) => {
        heard.push((event as { data: unknown }).data)
        first.open()
        if (heard.at(-1) === 'last') last.open()
      })
      const socket = await open(t, browser.dial, urlOf(server), { renew: '/live/renew' })
      const seen = record(socket)
      await first.opened
      assert.deepEqual(heard, [3600])
      const renewed = next(socket, 'auth')
      // oxlint-disable unicorn/require-post-message-target-origin -- that is for windows
      stranger.postMessage(7200)
      await renewed
      for (const data of [-1, 0, NaN, 'x', {}, [], new Map(), 1e300, -Infinity]) stranger.postMessage(data)
      for (let left = 1000; left > 0; left -= 1) stranger.postMessage(0)
      stranger.postMessage('last')
      // oxlint-enable unicorn/require-post-message-target-origin
      await last.opened
      await linger(socket)
      assert.equal(server.times.length, 1)
      assert.ok(seen.length > 0 && seen.every((one) => one === 'renewed'))
    },
  )

  test('with a credential of its own one tells nobody', LIMIT, async (t) => {
    await using server = await odd({
      granted: told(),
      renew: (res) => json(res, 200, { renewed: 1, expiresIn: 3600 }),
    })
    const channels: string[] = []
    const { BroadcastChannel } = globalThis
    globalThis.BroadcastChannel = class extends BroadcastChannel {
      constructor(name: string) {
        super(name)
        channels.push(name)
      }
    }
    try {
      const socket = await open(t, browser.dial, urlOf(server), posts)
      await next(socket, 'auth')
      socket.close()
      assert.deepEqual(channels, [])
    } finally {
      globalThis.BroadcastChannel = BroadcastChannel
    }
  })
})
