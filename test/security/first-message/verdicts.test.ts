import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { after, before, describe, it } from 'node:test'
import jwtLibrary from 'jsonwebtoken'
import { WebSocketServer } from 'ws'
import { createGate, type Gate, type GateOptions } from '../../../src/index.ts'
import { jwt } from '../../../src/schemes.ts'
import { frame } from '../../support/frames.ts'
import { handshake, rawRequest } from '../../support/raw.ts'
import { listen } from '../../support/servers.ts'
import { trapFaults } from '../../support/trap.ts'
import {
  assertOk,
  assertServes,
  authFrame,
  closeOf,
  guard,
  make,
  NO,
  openWaiting,
  PASSWORD,
  record,
  serve,
  STACK_NAMES,
  textsOf,
  type Say,
} from './support.ts'

let trap: ReturnType<typeof trapFaults>
before(() => {
  trap = trapFaults()
})
after(() => trap.assertNone())

const APPS = STACK_NAMES.filter((name) => name !== 'no app')
const basicOf = (username: string, password = PASSWORD): string =>
  `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`

/** What an app may answer to a message, and what its client gets to know. */
const ANSWERS: ReadonlyArray<readonly [Exclude<Say, string>, code: number, error: object]> = [
  [{ status: 401 }, 4401, { status: 401, code: 'app' }],
  [{ status: 302, headers: { Location: '/login?next=secret' } }, 4401, { status: 302, code: 'app' }],
  [{ status: 403, body: 'secret reason' }, 4403, { status: 403, code: 'app' }],
  [{ status: 404 }, 4403, { status: 404, code: 'app' }],
  [{ status: 400 }, 4400, { status: 400, code: 'app' }],
  [{ status: 429, headers: { 'Retry-After': '17' } }, 4429, { status: 429, code: 'app', retryAfter: 17 }],
  [{ status: 429, headers: { 'Retry-After': 'Wed, 21 Oct 2026 07:28:00 GMT' } }, 4429, { status: 429, code: 'app' }],
  [{ status: 429, headers: { 'Retry-After': '-1' } }, 4429, { status: 429, code: 'app' }],
  [{ status: 500, body: 'secret stack' }, 1011, { status: 500, code: 'app' }],
  [{ status: 503, headers: { 'Retry-After': '5' } }, 1013, { status: 503, code: 'app', retryAfter: 5 }],
  [{ status: 200, body: 'secret page' }, 4403, { status: 403, code: 'not_accepted' }],
  [{ status: 204 }, 4403, { status: 403, code: 'not_accepted' }],
]

for (const stack of APPS) {
  describe(`${stack}: what the app answers to a message`, () => {
    it('is told by its status alone, and by the Close that belongs to it', async () => {
      let answer: Say = NO
      const made = await make(stack, { guard: (authorization) => (authorization === undefined ? NO : answer) })
      await using listening = await serve(made)
      for (const [say, code, error] of ANSWERS) {
        answer = say
        made.said.length = 0
        await using connection = await openWaiting(listening)
        connection.send(authFrame())
        const close = await closeOf(connection)
        assert.deepEqual(close.texts, [{ type: 'auth_error', ...error }], String(say.status))
        assert.deepEqual([close.code, close.reason], [code, Reflect.get(error, 'code')], String(say.status))
        assert.equal(connection.received().includes('secret'), false)
        assert.equal(connection.received().toString('latin1').split('HTTP/1.1').length, 2)
        connection.destroy()
        await listening.noneOpen()
        assert.deepEqual(made.said, [
          `refused ${String(Reflect.get(error, 'code'))} ${String(Reflect.get(error, 'status'))}`,
        ])
      }
      assert.equal(made.opened(), 0)
      assert.equal(made.gate.connections.size, 0)
    })

    it('only what is in `on` waits; the rest is the answer, as it was written', async () => {
      for (const [on, status, waits] of [
        [[401], 401, true],
        [[401], 302, false],
        [[401], 403, false],
        [[302], 302, true],
        [[302], 401, false],
        [[401, 403], 403, true],
      ] as const) {
        const made = await make(stack, {
          firstMessage: { on },
          guard: (authorization, req) =>
            authorization === undefined ? { status, headers: { Location: '/login' } } : guard(authorization, req),
        })
        await using listening = await serve(made)
        const answer = await rawRequest({ port: listening.port, lines: handshake() })
        assert.equal(answer.status, waits ? 101 : status, `${status} with on: ${on.join()}`)
        // Nothing of an answer that became a socket is told.
        if (waits) assert.equal(answer.headers.length, 3, JSON.stringify(answer.headers))
        if (waits) await assertServes(listening)
      }
    })

    it('a wrong explicit credential is refused at once; a cookie is not one', async () => {
      const made = await make(stack)
      await using listening = await serve(made)
      for (const headers of [
        { Authorization: basicOf('ann', 'wrong') },
        { Authorization: 'Bearer nonsense' },
        { 'X-Api-Key': 'nonsense' },
        { Authorization: basicOf('ann', 'wrong'), Cookie: 'sid=1' },
      ] as ReadonlyArray<Record<string, string>>) {
        const answer = await rawRequest({ port: listening.port, lines: handshake({ headers }) })
        assert.equal(answer.status, 401, JSON.stringify(headers))
      }
      const headers = { Cookie: 'sid=1', Origin: 'http://localhost' }
      assert.equal((await rawRequest({ port: listening.port, lines: handshake({ headers }) })).status, 101)
      const foreign = { ...headers, Origin: 'https://evil.example' }
      assert.equal((await rawRequest({ port: listening.port, lines: handshake({ headers: foreign }) })).status, 403)
      assert.equal((await rawRequest({ port: listening.port, lines: handshake({ target: '/other' }) })).status, 401)
    })

    it("a throw, a rejection and a destroyed response are 1011 or the app's own 500, and say nothing of it", async () => {
      const secret = `the database says ${PASSWORD}`
      let fail: (req: unknown) => Promise<Say> = async () => NO
      const made = await make(stack, {
        guard: (authorization, req) => (authorization === undefined ? NO : fail(req)),
        limits: { deadline: 300 },
      })
      await using listening = await serve(made)
      for (const one of [
        () => {
          throw new Error(secret)
        },
        async () => {
          await new Promise(setImmediate)
          throw new Error(secret)
        },
        async () => Promise.reject(secret),
      ] as Array<() => Promise<Say>>) {
        fail = one
        await using connection = await openWaiting(listening)
        connection.send(authFrame())
        const close = await closeOf(connection)
        assert.ok([1011, 1013].includes(close.code ?? 0), `${close.code} ${close.reason}`)
        assert.equal(connection.received().includes(PASSWORD), false)
      }
      assert.equal(made.opened(), 0)
    })
  })
}

it('an answer of which the body never ends is not written to for ever', async () => {
  let closed = 0
  const timers = new Set<NodeJS.Timeout>()
  const made = await make('Express', { limits: { deadline: 150 } })
  const bothClosed = new Promise<void>((resolve) => {
    made.server.removeAllListeners('request')
    made.server.on('request', (_req, res) => {
      res.writeHead(401).write('part')
      timers.add(setInterval(() => res.write('more'), 10))
      res.once('close', () => {
        if (++closed === 2) resolve()
      })
    })
  })
  await using listening = await serve(made)
  await using connection = await openWaiting(listening)
  connection.send(authFrame())
  assert.equal((await closeOf(connection)).code, 4401)
  await Promise.race([bothClosed, new Promise((resolve) => setTimeout(resolve, 30_000).unref())])
  for (const timer of timers) clearInterval(timer)
  assert.equal(closed, 2, 'the app was left writing')
})

describe('without an app', () => {
  const key = 'k'.repeat(40)
  const token = (claims: object, options: object = {}): string =>
    jwtLibrary.sign({ iss: 'https://id.example', aud: 'live', sub: 'bob', ...claims }, key, {
      expiresIn: 3600,
      ...options,
    })
  const expired = (): string =>
    jwtLibrary.sign(
      { iss: 'https://id.example', aud: 'live', sub: 'bob', exp: Math.floor(Date.now() / 1000) - 100 },
      key,
    )

  function schemeServer(options: Partial<GateOptions> = {}) {
    const server = createServer()
    const gate = createGate({
      authenticate: jwt({
        issuer: 'https://id.example',
        audience: 'live',
        algorithms: ['HS256'],
        key: Buffer.from(key),
      } as never),
      firstMessage: { paths: ['/ws'] },
      ...options,
    } as GateOptions) as unknown as Gate<never>
    new WebSocketServer({ server }).on('connection', (ws) =>
      ws.on('message', (data) => ws.send(`echo ${String(data)}`)),
    )
    gate.attach(server)
    return { server, gate, ...record(gate) }
  }

  it('a token in a message is what it is in a header, with its expiry', async () => {
    const made = schemeServer()
    await using listening = await listen(made.server)
    await using connection = await openWaiting(listening)
    connection.send(frame(JSON.stringify({ type: 'auth', token: token({}) })))
    const [answer] = (await textsOf(connection, 1)) as Array<Record<string, unknown>>
    assert.equal(answer?.['type'], 'auth_ok')
    assert.equal(answer['subject'], 'bob')
    const left = Number(answer['expiresIn'])
    assert.ok(left > 3500 && left <= 3600, String(left))
    assert.ok(Math.abs(Date.parse(String(answer['expiresAt'])) - Date.now() - left * 1000) < 60_000)
    assert.equal(JSON.stringify(answer).includes('claims'), false)
  })

  for (const [name, bad, code] of [
    [
      'of another key',
      () => jwtLibrary.sign({ iss: 'https://id.example', aud: 'live', sub: 'bob' }, 'x'.repeat(40), { expiresIn: 60 }),
      'invalid_credential',
    ],
    ['that has expired', expired, 'expired_credential'],
    ['that is none', () => 'abcdefgh', 'invalid_credential'],
  ] as const) {
    it(`a token ${name}: 4401`, async () => {
      const made = schemeServer()
      await using listening = await listen(made.server)
      await using connection = await openWaiting(listening)
      connection.send(frame(JSON.stringify({ type: 'auth', token: bad() })))
      const close = await closeOf(connection)
      assert.deepEqual([close.code, close.reason], [4401, code])
      assert.deepEqual(close.texts, [{ type: 'auth_error', status: 401, code }])
      assert.deepEqual(made.said, [`refused ${code} 401`])
    })
  }

  it('an absent credential waits, a wrong or expired one in the handshake does not', async () => {
    const made = schemeServer()
    await using listening = await listen(made.server)
    for (const [headers, status] of [
      [{}, 101],
      [{ Authorization: `Bearer ${expired()}` }, 401],
      [{ Authorization: 'Bearer abcdefgh' }, 401],
      [{ Authorization: 'Basic YTpi' }, 401],
      [{ Authorization: `Bearer ${token({})}` }, 101],
    ] as const)
      assert.equal((await rawRequest({ port: listening.port, lines: handshake({ headers }) })).status, status)
  })
})

describe('who is who', () => {
  for (const stack of STACK_NAMES) {
    it(`${stack}: thirty people at once, decided in any order, are each themselves`, async () => {
      const made = await make(stack, {
        limits: { waitingPerAddress: 100 },
        guard: async (authorization, req) => {
          if (authorization !== undefined) await new Promise((resolve) => setTimeout(resolve, Math.random() * 20))
          return await guard(authorization, req)
        },
      })
      await using listening = await serve(made)
      await Promise.all(
        Array.from({ length: 30 }, async (_, n) => {
          await using connection = await openWaiting(listening)
          const isRight = n % 3 > 0
          connection.send(authFrame(`user ${n}`, isRight ? PASSWORD : 'wrong'))
          if (isRight) assertOk((await textsOf(connection, 1))[0], `user ${n}`)
          else assert.equal((await closeOf(connection)).code, 4401)
        }),
      )
      await listening.noneOpen()
      const subjects = made.events.flatMap((event) => (event.type === 'accepted' ? [event.subject] : []))
      assert.equal(new Set(subjects).size, 20)
    })
  }

  it('an app that logs in by a cookie is reported once, and its cookie is sent to nobody', async () => {
    const made = await make('Express', {
      guard: (authorization, req) => {
        const said = guard(authorization, req)
        if (typeof said === 'string')
          (req as unknown as { res: import('node:http').ServerResponse }).res.setHeader('Set-Cookie', 'sid=secret')
        return said
      },
    })
    await using listening = await serve(made)
    for (let n = 0; n < 2; n++) {
      await using connection = await openWaiting(listening)
      connection.send(authFrame())
      assertOk((await textsOf(connection, 1))[0])
      assert.equal(connection.received().includes('sid=secret'), false)
    }
    assert.deepEqual(
      made.events.flatMap((event) => (event.type === 'warning' ? [event.code] : [])),
      ['session_write'],
    )
  })
})

describe('toHeaders', () => {
  for (const [name, toHeaders, code, reason] of [
    ['returns nothing', () => undefined, 4400, 'bad_auth_message'],
    ['returns null, later', async () => null, 4400, 'bad_auth_message'],
    ['returns a header that is not on the list', () => ({ 'x-user': 'root' }), 4400, 'bad_auth_message'],
    ['returns a line end', () => ({ authorization: 'Bearer a\r\nX-User: root' }), 4400, 'bad_auth_message'],
    ['returns a number', () => 7 as never, 4400, 'bad_auth_message'],
    [
      'throws',
      () => {
        throw new Error(PASSWORD)
      },
      1011,
      'app_error',
    ],
    [
      'rejects',
      async () => {
        throw new Error(PASSWORD)
      },
      1011,
      'app_error',
    ],
    ['hangs', () => new Promise<never>(() => undefined), 1013, 'handshake_timeout'],
  ] as ReadonlyArray<readonly [string, NonNullable<GateOptions['firstMessage']>['toHeaders'], number, string]>) {
    it(`that ${name}: ${code} ${reason}`, async () => {
      const made = await make('Express', { firstMessage: { toHeaders }, limits: { deadline: 100 } } as never)
      await using listening = await serve(made)
      await using connection = await openWaiting(listening)
      connection.send(frame('login'))
      const close = await closeOf(connection)
      assert.deepEqual([close.code, close.reason], [code, reason])
      assert.equal(connection.received().includes(PASSWORD), false)
      assert.equal(made.opened(), 0)
      assert.equal(made.said.length, 1)
    })
  }

  it('gets text as a string, binary as bytes, and the path without its query', async () => {
    const got: unknown[] = []
    const made = await make('Express', {
      firstMessage: {
        toHeaders: (message, { path }) => {
          got.push(typeof message === 'string' ? message : Buffer.from(message).toString('hex'), path)
          return { authorization: basicOf('ann') }
        },
      },
    })
    await using listening = await serve(made)
    for (const bytes of [frame('login ann'), frame(Buffer.from('00ff', 'hex'), { opcode: 2 })]) {
      await using connection = await openWaiting(listening, { target: '/ws?a=secret' })
      connection.send(bytes)
      assertOk((await textsOf(connection, 1))[0])
    }
    assert.deepEqual(got, ['login ann', '/ws', '00ff', '/ws'])
  })

  it('the app is asked with what it returns alone: a cookie of another is gone', async () => {
    const seen: unknown[] = []
    const made = await make('Express', {
      guard: (authorization, req) => {
        seen.push([authorization?.split(' ')[0], req?.headers.cookie])
        return guard(authorization, req)
      },
    })
    await using listening = await serve(made)
    await using connection = await openWaiting(listening, {
      headers: { Cookie: 'sid=eve', Origin: 'http://localhost' },
    })
    connection.send(authFrame())
    assertOk((await textsOf(connection, 1))[0])
    assert.deepEqual(seen, [
      [undefined, 'sid=eve'],
      ['Basic', undefined],
    ])
  })
})
