import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { after, describe, test } from 'node:test'
import express, { type RequestHandler } from 'express'
import passport from 'passport'
import { BasicStrategy } from 'passport-http'
import { createGate, type IdentityInput, type RecheckCheck } from '../../src/index.ts'
import { trapFaults } from '../support/trap.ts'
import {
  gateOptions,
  HOUR,
  IDLE,
  MINUTE,
  SECOND,
  start,
  turns,
  type AppOptions,
  type Built,
  type Opened,
  type Site,
  type World,
} from './recheck-world.ts'
import { EXPRESS } from './session-apps.ts'

// `recheck.check`: a function of the app that is asked in the place of the app.

const trap = trapFaults()
after(async () => await trap.assertNone())

const isOpen = ({ ws }: Opened): boolean => ws.readyState === ws.OPEN
const FORBIDDEN = { code: 4403, reason: 'forbidden' }

interface Ran {
  /** Runs of the app. */
  runs: number
}

/** Passwords by passport-http, and keys. */
function appOf(ran: Ran): { build(world: World, options: AppOptions): Promise<Built> } {
  const auth = new passport.Passport()
  auth.use(new BasicStrategy((name, _password, done) => done(null, { id: name })))
  return {
    async build(world, options) {
      const gate = createGate({
        ...gateOptions(world, options),
        identify: (req) => ({ subject: (req as unknown as { user: { id: string } }).user.id, tags: ['old'] }),
      })
      const app = express()
      app.use((_req, _res, next) => {
        ran.runs++
        next()
      })
      app.get(
        '/ws',
        auth.authenticate('basic', { session: false }) as RequestHandler,
        gate.websocket(() => undefined) as RequestHandler,
      )
      return { server: createServer(app), gate }
    },
  }
}

const password = (name = 'alice'): Record<string, string> => ({
  Authorization: `Basic ${Buffer.from(`${name}:secret`).toString('base64')}`,
})

async function asking(check: RecheckCheck, ran: Ran = { runs: 0 }): Promise<Site> {
  return await start(appOf(ran), {
    gate: { recheck: { every: '60s', jitter: 0, onError: { after: '2m' }, check }, limits: { deadline: 2000 } },
  })
}

describe('with passwords', () => {
  const says: ReadonlyArray<readonly [string, unknown, { code: number; reason: string } | undefined]> = [
    ['true', true, undefined],
    ['an identity', { subject: 'alice', tags: ['new'] }, undefined],
    ['false', false, FORBIDDEN],
    ['null', null, FORBIDDEN],
    ['undefined', undefined, FORBIDDEN],
    ['a text', 'yes', FORBIDDEN],
    ['a number', 1, FORBIDDEN],
    ['somebody else', { subject: 'bob' }, { code: 4403, reason: 'identity_changed' }],
    ['another issuer', { subject: 'alice', issuer: 'elsewhere' }, { code: 4403, reason: 'identity_changed' }],
  ]
  for (const [what, said, closed] of says) {
    for (const how of ['at once', 'later'] as const) {
      test(`${what}, ${how}`, async () => {
        const ran = { runs: 0 }
        const seen: unknown[] = []
        const answer = said as IdentityInput | boolean | null | undefined
        const check: RecheckCheck = (identity) => {
          seen.push([identity.subject, identity.issuer])
          return how === 'at once' ? answer : turns(2).then(() => answer)
        }
        await using site = await asking(check, ran)
        const opened = [await site.open(password()), await site.open(password())]
        const { connections, outcome } = await site.recheck()
        await turns()
        assert.deepEqual([connections, outcome], [2, closed?.reason === 'forbidden' ? 'refused' : 'accepted'])
        assert.deepEqual(seen, [['alice', 'app']])
        assert.equal(ran.runs, 2, 'the app was asked')
        if (closed === undefined) assert.ok(opened.every(isOpen))
        else for (const one of opened) assert.deepEqual(await one.closed, closed)
      })
    }
  }

  test('an identity is the one of the connection from then on, and told', async () => {
    await using site = await asking(() => ({ subject: 'alice', tags: ['new'] }))
    const { connection } = await site.open(password())
    const told: unknown[] = []
    connection.on('renewed', ({ tags }) => told.push(tags))
    await site.recheck()
    await site.recheck()
    assert.deepEqual(connection.identity.tags, ['new'])
    assert.deepEqual(told, [['new']])
    assert.equal(site.events.filter((event) => event.type === 'renewed' && event.by === 'recheck').length, 1)
  })

  test('what is no identity is an error', async () => {
    await using site = await asking(() => ({ subject: '' }))
    const opened = await site.open(password())
    const { outcome, cause } = await site.recheck()
    assert.equal(outcome, 'error')
    assert.match(String(cause), /subject/)
    assert.ok(isOpen(opened))
  })

  for (const how of ['throws', 'rejects', 'hangs'] as const) {
    test(`it ${how}: an error, until the grace is over; its signal says that nobody waits`, async () => {
      let signal: AbortSignal | undefined
      let away = true
      const check: RecheckCheck = (_identity, options) => {
        signal ??= options.signal
        if (!away) return true
        if (how === 'throws') throw new Error('the database is away')
        return how === 'rejects' ? Promise.reject(new Error('away')) : new Promise(() => undefined)
      }
      await using site = await asking(check)
      const opened = await site.open(password())
      const first = site.nextRecheck()
      await site.live(MINUTE + 3 * SECOND)
      const { outcome, cause } = await first
      assert.deepEqual([outcome, cause instanceof Error], ['error', true])
      assert.equal(signal?.aborted, how === 'hangs')
      away = false
      await site.live(MINUTE)
      away = true
      await site.live(2 * MINUTE)
      assert.ok(isOpen(opened), 'the grace began anew')
      await site.live(3 * MINUTE)
      assert.deepEqual(await opened.closed, { code: 1013, reason: 'recheck_failed' })
    })
  }

  test('once for all sockets of a person, whatever they came by; for each person apart', async () => {
    const asked: string[] = []
    await using site = await asking(({ subject }) => {
      asked.push(subject)
      return true
    })
    for (const headers of [
      password(),
      password(),
      password('bob'),
      { Authorization: `Basic ${Buffer.from('alice:other').toString('base64')}` },
    ])
      await site.open(headers)
    site.clock.pass(MINUTE)
    await turns()
    assert.deepEqual(asked.toSorted(), ['alice', 'bob'])
  })

  test('a password that is asked about lives longer than an hour', async () => {
    await using site = await asking(() => true)
    const opened = await site.open(password())
    for (let n = 0; n < (2 * HOUR) / MINUTE; n++) await site.recheck()
    assert.ok(isOpen(opened))
  })

  test('an answer that comes after the deadline changes nothing', async () => {
    let say: (answer: boolean) => void = () => undefined
    await using site = await asking(() => new Promise<boolean>((resolve) => (say = resolve)))
    const opened = await site.open(password())
    const first = site.nextRecheck()
    await site.live(MINUTE + 2 * SECOND)
    assert.equal((await first).outcome, 'error')
    say(false)
    await turns()
    assert.ok(isOpen(opened))
  })
})

describe('with sessions', () => {
  const gate = (check: RecheckCheck): AppOptions => ({
    watched: true,
    gate: { recheck: { every: '60s', jitter: 0, check } },
  })
  const EXPRESS_TTL = EXPRESS[2]!

  test('true does not move the end of a session; an identity with a later one does', async () => {
    for (const moves of [false, true]) {
      const until = { time: 0 }
      await using site = await start(
        EXPRESS_TTL,
        gate((identity) =>
          moves ? { ...identity, session: identity.session, expiresAt: new Date(until.time) } : true,
        ),
      )
      const opened = await site.openBy(await site.login())
      until.time = site.clock.now() + HOUR
      for (let n = 1; n < IDLE / MINUTE; n++) await site.recheck()
      if (moves) await site.recheck()
      else site.clock.pass(MINUTE)
      await turns()
      assert.equal(isOpen(opened), moves)
      if (moves) assert.deepEqual(opened.connection.expiresAt, new Date(until.time))
      else assert.deepEqual(await opened.closed, { code: 4401, reason: 'expired' })
    }
  })

  test('no session is read or written by it', async () => {
    await using site = await start(
      EXPRESS_TTL,
      gate(() => true),
    )
    await site.openBy(await site.login())
    const calls = site.rows.calls.length
    for (let n = 0; n < 5; n++) await site.recheck()
    assert.equal(site.rows.calls.length, calls)
  })

  test('it is asked at once about a session that was destroyed', async () => {
    const gone = new Set<string>()
    await using site = await start(
      EXPRESS_TTL,
      gate(({ session = '' }) => !gone.has(session)),
    )
    const cookie = await site.login()
    const opened = await site.openBy(cookie)
    const other = await site.openBy(await site.login())
    gone.add(opened.connection.identity.session ?? '')
    assert.equal((await site.ask('POST', '/logout', cookie)).status, 200)
    assert.equal((await opened.closed).code >= 4401, true)
    assert.ok(isOpen(other))
  })

  test('a logout at the sessionStore ends its sockets, also where the check knows of persons alone', async () => {
    await using site = await start(
      EXPRESS_TTL,
      gate(({ subject }) => subject === 'alice'),
    )
    const cookie = await site.login()
    const opened = await site.openBy(cookie)
    assert.equal((await site.ask('POST', '/logout', cookie)).status, 200)
    await turns()
    await site.live(2 * MINUTE)
    assert.ok(!isOpen(opened), 'it outlives its session')
    assert.deepEqual(await opened.closed, { code: 4401, reason: 'revoked' })
  })
})
