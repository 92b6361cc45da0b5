import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { after, before, describe, it } from 'node:test'
import express from 'express'
import passport from 'passport'
import { BasicStrategy } from 'passport-http'
import { createGate, loginLimiter, type LoginLimiter } from '../../../src/index.ts'
import { basic } from '../../../src/schemes.ts'
import { WebSocketServer } from 'ws'
import { frame } from '../../support/frames.ts'
import { listen, type Listening } from '../../support/servers.ts'
import { trapFaults } from '../../support/trap.ts'
import {
  authFrame,
  byHand,
  closeOf,
  guard,
  make,
  NO,
  openWaiting,
  outcomeOf,
  PASSWORD,
  record,
  serve,
  type Say,
  type StackName,
} from './support.ts'

let trap: ReturnType<typeof trapFaults>
before(() => {
  trap = trapFaults()
})
after(() => trap.assertNone())

/** Sends one message and says how it ended: the code of the Close, or 0 for auth_ok. */
async function attempt(
  listening: Pick<Listening, 'port'>,
  message: Buffer,
  headers: Record<string, string> = {},
): Promise<number> {
  await using connection = await openWaiting(listening, { headers })
  connection.send(message)
  return await outcomeOf(connection)
}

const wrong = (username = 'ann', n = 0): Buffer => authFrame(username, `wrong ${n}`)
const FAILURES = 5
const times = async (count: number, act: (n: number) => Promise<number>): Promise<number[]> => {
  const codes: number[] = []
  for (let n = 0; n < count; n++) codes.push(await act(n))
  return codes
}
const trusted = { trustedProxies: ['127.0.0.1'] }
const from = (address: string): Record<string, string> => ({ 'X-Forwarded-For': address })

for (const stack of ['Express', 'Koa', 'no app'] as StackName[]) {
  describe(`${stack}: wrong passwords (rule W2)`, () => {
    it('block the pair of account and address, with the time in the answer; nobody else', async () => {
      let asked = 0
      const made = await make(stack, {
        ...trusted,
        guard: (authorization, req) => {
          if (authorization !== undefined) asked++
          return guard(authorization, req)
        },
      })
      await using listening = await serve(made)
      const codes = await times(FAILURES, (n) => attempt(listening, wrong('ann', n), from('9.9.9.9')))
      assert.deepEqual(
        codes,
        Array.from({ length: FAILURES }, () => 4401),
      )
      await using connection = await openWaiting(listening, { headers: from('9.9.9.9') })
      connection.send(authFrame())
      const close = await closeOf(connection)
      assert.deepEqual([close.code, close.reason], [4429, 'too_many_attempts'])
      const [error] = close.texts as Array<{ retryAfter?: number }>
      assert.ok((error?.retryAfter ?? 0) > 1, JSON.stringify(error))
      assert.equal(asked, FAILURES, 'the right password was not even tried')
      assert.equal(await attempt(listening, authFrame(), from('8.8.8.8')), 0, 'another address')
      assert.equal(await attempt(listening, authFrame('bob'), from('9.9.9.9')), 0, 'another account')
    })

    it('a hundred at once get no more tries than one after the other', async () => {
      let asked = 0
      const made = await make(stack, {
        limits: { waitingPerAddress: 200 },
        guard: async (authorization, req) => {
          if (authorization !== undefined) {
            asked++
            await new Promise((resolve) => setTimeout(resolve, 10))
          }
          return await guard(authorization, req)
        },
      })
      await using listening = await serve(made)
      const codes = await Promise.all(Array.from({ length: 100 }, (_, n) => attempt(listening, wrong('ann', n))))
      assert.ok(asked <= FAILURES, `${asked} guesses`)
      assert.deepEqual([...new Set(codes)].toSorted(), [4401, 4429])
    })

    it('a guess whose client goes, or sends more, before the answer gives no free try', async () => {
      let asked = 0
      let onAsked = (): void => undefined
      const hand = byHand<Say>()
      const made = await make(stack, {
        limits: { waitingPerAddress: 200, deadline: 2000 },
        guard: (authorization) => {
          if (authorization === undefined) return NO
          asked++
          onAsked()
          return hand.promise
        },
      })
      await using listening = await serve(made)
      for (let n = 0; n < 3 * FAILURES; n++) {
        const connection = await openWaiting(listening)
        const tried = new Promise<void>((resolve) => (onAsked = resolve))
        connection.send(wrong('ann', n))
        await Promise.race([tried, connection.frames(1)])
        connection.destroy()
      }
      hand.settle(NO)
      // That it takes long may tell what it will be: who goes before the answer has made an attempt.
      assert.equal(asked, FAILURES)
    })

    for (const [name, spell] of [
      [
        'in a header',
        (n: number) => frame(JSON.stringify({ type: 'auth', headers: { authorization: basicOf('ann', n) } })),
      ],
      [
        'in a header of another spelling',
        (n: number) =>
          frame(
            JSON.stringify({
              type: 'auth',
              headers: { AUTHORIZATION: basicOf('ann', n).replace('Basic', n % 2 ? 'BASIC' : 'bAsIc') },
            }),
          ),
      ],
      ['with another spelling of the name', (n: number) => wrong(['ann', 'ANN', 'Ann', 'aNN', 'anN', 'aNn'][n % 6], n)],
    ] as const) {
      it(`counts them ${name}`, async () => {
        const made = await make(stack)
        await using listening = await serve(made)
        const codes = await times(FAILURES + 1, (n) => attempt(listening, spell(n)))
        assert.deepEqual(codes, [...Array.from({ length: FAILURES }, () => 4401), 4429])
      })
    }

    it('a limiter that fails refuses, and one that hangs does not hold the socket', async () => {
      const fine: LoginLimiter = {
        admit: () => ({ type: 'go', delay: 0 }),
        failed: () => undefined,
        passed: () => undefined,
        dropped: () => undefined,
      }
      const hangs = (): Promise<never> => new Promise(() => undefined)
      const fails = async (): Promise<never> => {
        throw new Error(`redis: ${PASSWORD}`)
      }
      for (const [limiter, ends] of [
        [{ ...fine, admit: fails }, [1011]],
        [{ ...fine, admit: hangs }, [1013]],
        [{ ...fine, admit: () => undefined as never }, [1011]],
        [{ ...fine, passed: fails }, [1011]],
        [{ ...fine, passed: hangs }, [0, 1013]],
      ] as ReadonlyArray<readonly [LoginLimiter, number[]]>) {
        const made = await make(stack, { firstMessage: { limiter }, limits: { deadline: 100 } })
        await using listening = await serve(made)
        const code = await attempt(listening, authFrame())
        assert.ok(ends.includes(code), `${code}, not ${ends.join()}`)
      }
    })
  })
}

function basicOf(username: string, n: number): string {
  return `Basic ${Buffer.from(`${username}:wrong ${n}`).toString('base64')}`
}

describe('what counts as a wrong password', () => {
  it('is shared with a login over HTTP that has the same limiter', async () => {
    const limiter = loginLimiter()
    const made = await make('Express', { ...trusted, firstMessage: { limiter } })
    await using listening = await serve(made)
    await times(FAILURES, (n) => attempt(listening, wrong('ann', n), from('9.9.9.9')))
    assert.equal((await limiter.admit('ann', '9.9.9.9')).type, 'refuse')
    assert.equal((await limiter.admit('ann', '8.8.8.8')).type, 'go')
    for (let n = 0; n < FAILURES; n++) {
      assert.equal((await limiter.admit('bob', '7.7.7.7')).type, 'go')
      await limiter.failed('bob', '7.7.7.7')
    }
    assert.equal(await attempt(listening, authFrame('bob'), from('7.7.7.7')), 4429)
    assert.equal(await attempt(listening, authFrame('bob'), from('6.6.6.6')), 0)
  })

  it('an answer of 401 counts where only 302 makes a handshake wait', async () => {
    const made = await make('Express', {
      firstMessage: { on: [302] },
      guard: (authorization, req) =>
        authorization === undefined ? { status: 302, headers: { Location: '/login' } } : guard(authorization, req),
    })
    await using listening = await serve(made)
    const codes = await times(FAILURES + 1, (n) => attempt(listening, wrong('ann', n)))
    assert.deepEqual(codes, [...Array.from({ length: FAILURES }, () => 4401), 4429])
  })

  it('an account that has expired does not, nor does an identity that the app says has expired', async () => {
    const past = new Date(Date.now() - 1000)
    const server = createServer()
    const gate = createGate({
      authenticate: basic({ verify: (username) => ({ subject: username, expiresAt: past }) }),
      firstMessage: { paths: ['/ws'] },
    })
    new WebSocketServer({ server })
    gate.attach(server)
    const { said } = record(gate as never)
    await using listening = await listen(server)
    await times(FAILURES + 2, () => attempt(listening, authFrame()))
    assert.deepEqual([...new Set(said)], ['refused expired_credential 401'])

    const app = express()
    const own = createGate({ identify: () => ({ subject: 'ann', expiresAt: past }), firstMessage: { paths: ['/ws'] } })
    app.get(
      '/ws',
      (req, res, next) => void (req.headers.authorization ? next() : res.sendStatus(401)),
      own.websocket(() => undefined),
    )
    const second = createServer(app)
    own.attach(second)
    const events = record(own as never)
    await using other = await listen(second)
    await times(FAILURES + 2, () => attempt(other, authFrame()))
    assert.deepEqual([...new Set(events.said)], ['refused expired_credential 401'])
  })

  it('malformed messages, tokens and messages that never come do not', async () => {
    const made = await make('Express', { limits: { firstMessage: 30 } })
    await using listening = await serve(made)
    for (const text of ['hello', '{"type":"auth","username":"ann"}', '{"type":"auth","token":"abcdefgh"}'])
      await times(FAILURES + 1, () => attempt(listening, frame(text)))
    await times(FAILURES + 1, () => attempt(listening, Buffer.alloc(0)))
    assert.equal(await attempt(listening, authFrame()), 0)
  })

  it('an app that is broken or busy does not', async () => {
    let say: Say = { status: 500 }
    const made = await make('Express', { guard: (authorization) => (authorization === undefined ? NO : say) })
    await using listening = await serve(made)
    await times(FAILURES + 1, () => attempt(listening, authFrame()))
    say = { status: 503 }
    await times(FAILURES + 1, () => attempt(listening, authFrame()))
    say = 'ann'
    assert.equal(await attempt(listening, authFrame()), 0)
  })

  it('behind a proxy that is not listed nobody can lock somebody else out', async () => {
    const made = await make('Express')
    await using listening = await serve(made)
    const codes = await times(FAILURES + 1, (n) => attempt(listening, wrong('ann', n), from('9.9.9.9')))
    assert.deepEqual(new Set(codes), new Set([4401]))
    assert.equal(await attempt(listening, authFrame(), from('8.8.8.8')), 0)
  })

  it('passport-http takes more spellings of Basic than the RFC has: none of them is a free try', async () => {
    let asked = 0
    const app = express()
    const gate = createGate({
      identify: (req: { user?: { name: string } }) => (req.user === undefined ? null : { subject: req.user.name }),
      firstMessage: { paths: ['/ws'] },
    })
    const own = new passport.Passport()
    own.use(
      new BasicStrategy((username: string, password: string, done: (error: unknown, user?: object | false) => void) => {
        asked++
        done(null, password === PASSWORD ? { name: username } : false)
      }) as never,
    )
    app.get('/ws', own.authenticate('basic', { session: false }) as never, gate.websocket(() => undefined) as never)
    const server = createServer(app)
    gate.attach(server)
    await using listening = await listen(server)
    const value = (n: number): string => Buffer.from(`ann:wrong ${n}`).toString('base64')
    const SPELLINGS: ReadonlyArray<(n: number) => string> = [
      (n) => `XBasic ${value(n)}`,
      (n) => `Basic- ${value(n)}`,
      (n) => `Basic ${value(n)} x`,
      (n) => `Basic ${value(n)}!`,
      (n) => `Bearer-basic ${value(n)}`,
    ]
    for (const spell of SPELLINGS) {
      for (let n = 0; n < FAILURES; n++) {
        const message = frame(JSON.stringify({ type: 'auth', headers: { authorization: spell(n) } }))
        await attempt(listening, message)
      }
    }
    assert.ok(asked <= FAILURES, `${asked} guesses`)
  })
})
