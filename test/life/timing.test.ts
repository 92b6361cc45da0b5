import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { describe, it } from 'node:test'
import { WebSocket } from 'ws'
import { createGate, type GateEvent, type GateOptions, type IdentityInput } from '../../src/index.ts'
import type { IncomingMessage } from 'node:http'
import { listen } from '../support/servers.ts'
import type { Points } from './races-explorer.ts'
import { dialWire, quiet, type Client } from './races-wire.ts'
import { makeWorld, type World } from './races-world.ts'

// By a clock that the test holds: to the millisecond.

const START = Date.UTC(2026, 10, 23)
const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const FREE: Points = { at: async () => undefined }

interface Table extends AsyncDisposable {
  readonly world: World
  readonly events: GateEvent[]
  /** Lets this time pass, and everything settle that it has started. In steps, where much happens. */
  pass(ms: number, step?: number): Promise<void>
  open(headers: Readonly<Record<string, string>>, path?: string): Promise<Client>
}

function table(
  logins: Readonly<Record<string, Partial<IdentityInput>>>,
  options: Partial<GateOptions<IncomingMessage>> = {},
  points: Points = FREE,
): Table {
  const people = Object.entries(logins).map(([name, one]): [string, IdentityInput] => [
    name,
    { subject: 'ann', ...one },
  ])
  const world = makeWorld(points, new Map(people), options)
  const events: GateEvent[] = []
  world.gate.on('*', (event) => events.push(event))
  return {
    world,
    events,
    async pass(ms, step = ms): Promise<void> {
      for (let left = ms; left > 0; left -= step) {
        world.clock.pass(Math.min(left, step))
        await quiet()
      }
    },
    async open(headers, path = '/ws'): Promise<Client> {
      const client = dialWire(world.server, path, headers)
      await quiet()
      assert.equal(client.status, 101)
      return client
    },
    [Symbol.asyncDispose]: () => world.dispose(),
  }
}

const cookie = (name: string): Record<string, string> => ({ Cookie: `sid=${name}`, Origin: 'http://localhost' })
const bearer = (name: string): Record<string, string> => ({ Authorization: `Bearer ${name}` })
const in_ = (ms: number): Date => new Date(START + ms)
const count = (events: readonly GateEvent[], type: GateEvent['type']): number =>
  events.filter((event) => event.type === type).length

const EXPIRED = { code: 4401, reason: 'expired' }
const MAX_AGE = { code: 4401, reason: 'max_age' }

describe('expiry', () => {
  for (const recheck of [false, { every: '24h', jitter: 0 }] as const) {
    it(`to the millisecond, ${recheck === false ? 'nobody asked' : 'asked once more'}`, async () => {
      await using t = table({ a: { expiresAt: in_(10 * MINUTE) } }, { recheck })
      const client = await t.open(cookie('a'))
      await t.pass(10 * MINUTE - 1)
      assert.equal(client.closed, undefined)
      await t.pass(1)
      assert.deepEqual(client.closed, EXPIRED)
      const asked = t.events.flatMap((event) => (event.type === 'rechecked' ? [event.why] : []))
      assert.deepEqual(asked, recheck === false ? [] : ['expiry'])
    })
  }

  it('a session that has moved on keeps its connections, until it has not', async () => {
    await using t = table(
      { a: { session: 'a', expiresAt: in_(10 * MINUTE) } },
      { recheck: { every: '24h', jitter: 0 } },
    )
    const client = await t.open(cookie('a'))
    await t.pass(9 * MINUTE)
    t.world.logins.set('a', { subject: 'ann', session: 'a', expiresAt: in_(19 * MINUTE) })
    await t.pass(2 * MINUTE, SECOND)
    assert.equal(client.closed, undefined)
    assert.deepEqual(t.world.served[0]?.connection.expiresAt, in_(19 * MINUTE))
    await t.pass(8 * MINUTE - 1)
    assert.equal(client.closed, undefined)
    await t.pass(1)
    assert.deepEqual(client.closed, EXPIRED)
  })

  it('a store that is away: a session waits for it, as long as the grace; whatever is not one does not', async () => {
    const options = { recheck: { every: '24h', jitter: 0, onError: { after: '5m' } } } as const
    await using t = table({ a: { expiresAt: in_(10 * MINUTE) }, b: { expiresAt: in_(10 * MINUTE) } }, options)
    const session = await t.open(cookie('a'))
    const token = await t.open(bearer('b'))
    for (const name of ['a', 'b']) t.world.statuses.set(name, 503)
    await t.pass(10 * MINUTE)
    assert.deepEqual([session.closed, token.closed], [undefined, EXPIRED])
    await t.pass(5 * MINUTE - SECOND, SECOND)
    assert.equal(session.closed, undefined)
    await t.pass(32 * SECOND, SECOND)
    assert.deepEqual(session.closed, EXPIRED)
  })

  it('a store that comes back within the grace, with a session that has moved on', async () => {
    await using t = table({ a: { expiresAt: in_(10 * MINUTE) } }, { recheck: { every: '24h', jitter: 0 } })
    const client = await t.open(cookie('a'))
    t.world.statuses.set('a', 503)
    await t.pass(10 * MINUTE + 20 * SECOND, SECOND)
    t.world.logins.set('a', { subject: 'ann', expiresAt: in_(HOUR) })
    t.world.statuses.clear()
    await t.pass(31 * SECOND, SECOND)
    assert.equal(client.closed, undefined)
    await t.pass(HOUR, MINUTE)
    assert.deepEqual(client.closed, EXPIRED)
  })

  it('a question that was asked just before it does not stand for the one at it', async () => {
    const held: Array<() => void> = []
    let holding = false
    const points: Points = {
      at: async (label) => {
        if (holding && label === 'recheck: identify') await new Promise<void>((go) => held.push(go))
      },
    }
    await using t = table({ a: { expiresAt: in_(10 * MINUTE) } }, { recheck: { every: 599_000, jitter: 0 } }, points)
    const client = await t.open(cookie('a'))
    holding = true
    await t.pass(599_500)
    assert.equal(held.length, 1, 'asked half a second before')
    // The session is used over HTTP meanwhile.
    t.world.logins.set('a', { subject: 'ann', expiresAt: in_(20 * MINUTE) })
    await t.pass(600)
    holding = false
    for (const go of held) go()
    await quiet()
    assert.equal(client.closed, undefined)
  })

  for (const recheck of [false, undefined] as const) {
    it(`a token's own exp, which the app does not say, ${recheck === false ? 'nobody asked' : 'asked again'}`, async () => {
      const payload = Buffer.from(JSON.stringify({ sub: 'ann', exp: START / 1000 + 600 })).toString('base64url')
      const token = `e30.${payload}.c2ln`
      await using t = table({ [token]: {} }, recheck === undefined ? {} : { recheck })
      const client = await t.open(bearer(token))
      await t.pass(10 * MINUTE - 1, 30 * SECOND)
      assert.equal(client.closed, undefined)
      await t.pass(1)
      assert.deepEqual(client.closed, EXPIRED)
    })
  }

  it('jitter: up to its part early, never late', async () => {
    await using t = table({ a: { expiresAt: in_(100 * SECOND) } }, { expiryJitter: 0.2, recheck: false })
    const clients: Client[] = []
    for (let n = 0; n < 60; n++) clients.push(await t.open(cookie('a')))
    await t.pass(80 * SECOND - 1)
    assert.ok(clients.every(({ closed }) => closed === undefined))
    await t.pass(10 * SECOND)
    const half = clients.filter(({ closed }) => closed !== undefined).length
    assert.ok(half > 5 && half < 55, `${half} of 60 in the first half`)
    await t.pass(10 * SECOND + 1)
    assert.ok(clients.every(({ closed }) => closed?.reason === 'expired'))
  })
})

describe('the absolute age', () => {
  it('24 hours by default, whatever is renewed', async () => {
    await using t = table({ a: { session: 'a' } }, { recheck: false })
    const client = await t.open(cookie('a'))
    for (let n = 0; n < 47; n++) {
      await t.pass(30 * MINUTE)
      assert.equal(client.closed, undefined, `after ${(n + 1) / 2} h`)
      const { status } = await t.world.renew('a', undefined, cookie('a'))
      assert.equal(status, 200)
    }
    await t.pass(30 * MINUTE - 1)
    assert.equal(client.closed, undefined)
    await t.pass(1)
    assert.deepEqual(client.closed, MAX_AGE)
  })

  it('as `maxAge` says; re-checks do not move it', async () => {
    await using t = table({ a: {} }, { maxAge: '2h' })
    const client = await t.open(cookie('a'))
    await t.pass(2 * HOUR - 1, MINUTE)
    assert.equal(client.closed, undefined)
    await t.pass(1)
    assert.deepEqual(client.closed, MAX_AGE)
  })

  it('without re-checks, a renewal by a cookie does not shorten it', async () => {
    await using t = table({ a: { session: 'a' } }, { recheck: false })
    const client = await t.open(cookie('a'))
    const token = t.world.served[0]?.connection.token
    const { status, body } = await t.world.renew('a', token, cookie('a'))
    assert.deepEqual([status, body['renewed']], [200, 1])
    await t.pass(HOUR)
    assert.equal(client.closed, undefined)
  })

  const once_: ReadonlyArray<readonly [string, Record<string, string>]> = [
    ['a password', { Authorization: `Basic ${Buffer.from('ann:pass').toString('base64')}` }],
    ['Digest', { Authorization: 'Digest username="ann", response="0"' }],
    ['Negotiate', { Authorization: 'Negotiate YII=' }],
    ['NTLM', { Authorization: 'NTLM TlRM' }],
    ['DPoP', { Authorization: 'DPoP abc', DPoP: 'x.y.z' }],
    ['a bearer token bound by DPoP', { Authorization: 'Bearer a', DPoP: 'x.y.z' }],
    ['a signed request', { 'X-Api-Key': 'k', Signature: 'sig1=:aaaa:', 'Signature-Input': 'sig1=()' }],
  ]
  for (const [what, headers] of once_) {
    it(`an hour where the credential cannot be asked about again: ${what}`, async () => {
      await using t = table({ a: {} })
      const client = await t.open({ 'X-Login': 'a', ...headers })
      await t.pass(HOUR - 1, 10 * MINUTE)
      assert.equal(client.closed, undefined)
      assert.equal(count(t.events, 'rechecked'), 0, 'it was shown to the app again')
      await t.pass(1)
      assert.deepEqual(client.closed, MAX_AGE)
    })
  }

  it('an hour from each renewal for a password, 24 in all', async () => {
    const password = { 'X-Login': 'a', Authorization: `Basic ${Buffer.from('ann:pass').toString('base64')}` }
    await using t = table({ a: {} })
    const client = await t.open(password)
    const token = t.world.served[0]?.connection.token
    for (let n = 0; n < 24; n++) {
      await t.pass(59 * MINUTE)
      assert.equal(client.closed, undefined, `renewed ${n} times`)
      assert.equal((await t.world.renew('a', token, password)).status, 200)
    }
    await t.pass(24 * MINUTE - 1)
    assert.equal(client.closed, undefined)
    await t.pass(1)
    assert.deepEqual(client.closed, MAX_AGE)
  })

  it('with a check of the app, a password is asked about like anything else', async () => {
    const asked: string[] = []
    const check = (identity: { subject: string }): boolean => asked.push(identity.subject) > 0
    await using t = table({ a: {} }, { recheck: { every: '10m', jitter: 0, check }, maxAge: '3h' })
    const client = await t.open({
      'X-Login': 'a',
      Authorization: `Basic ${Buffer.from('ann:pass').toString('base64')}`,
    })
    await t.pass(3 * HOUR - 1, MINUTE)
    assert.equal(client.closed, undefined)
    assert.equal(asked.length, 17)
    await t.pass(1)
    assert.deepEqual(client.closed, MAX_AGE)
  })
})

describe('the notice', () => {
  for (const [life, before] of [
    [100 * SECOND, 10 * SECOND],
    [600 * SECOND, 60 * SECOND],
    [2 * HOUR, MINUTE],
  ] as const) {
    it(`${before / SECOND} s before the end of ${life / SECOND} s: to the app, and to clients of auth messages`, async () => {
      await using t = table({ a: { expiresAt: in_(life) } }, { recheck: false })
      const plain = await t.open(cookie('a'))
      const spoken = await t.open({}, '/wait')
      spoken.ws.send(JSON.stringify({ type: 'auth', token: 'a' }))
      await quiet()
      const told: Array<readonly [number, Date]> = []
      for (const { connection } of t.world.served)
        connection.on('expiring', (at) => told.push([t.world.clock.now() - START, at]))
      await t.pass(life - before - 1)
      assert.deepEqual(told, [])
      await t.pass(1)
      assert.deepEqual(told, [
        [life - before, in_(life)],
        [life - before, in_(life)],
      ])
      assert.deepEqual(JSON.parse(spoken.messages.at(-1) ?? ''), { type: 'auth_expiring', expiresIn: before / SECOND })
      assert.deepEqual(plain.messages, [])
      await t.pass(before)
      assert.deepEqual([told.length, plain.closed, spoken.closed], [2, EXPIRED, EXPIRED])
      assert.equal(spoken.messages.length, 2)
    })
  }

  it('a renewal takes it back; there is another one later', async () => {
    await using t = table({ a: { session: 'a', expiresAt: in_(10 * MINUTE) } }, { recheck: false })
    const client = await t.open(cookie('a'))
    const told: number[] = []
    t.world.served[0]?.connection.on('expiring', () => told.push(t.world.clock.now() - START))
    await t.pass(8 * MINUTE)
    t.world.logins.set('a', { subject: 'ann', session: 'a', expiresAt: in_(20 * MINUTE) })
    const { body } = await t.world.renew('a', undefined, cookie('a'))
    assert.deepEqual(body, { renewed: 1, expiresAt: in_(20 * MINUTE).toISOString(), expiresIn: 720 })
    await t.pass(12 * MINUTE - 1, SECOND)
    assert.deepEqual(told, [19 * MINUTE])
    await t.pass(1)
    assert.deepEqual(client.closed, EXPIRED)
  })

  it('is given once, where a re-check between it and the end has changed something else', async () => {
    await using t = table({ a: { expiresAt: in_(10 * MINUTE) } }, { recheck: { every: 570_000, jitter: 0 } })
    await t.open(cookie('a'))
    let told = 0
    t.world.served[0]?.connection.on('expiring', () => void told++)
    await t.pass(9 * MINUTE)
    assert.equal(told, 1)
    t.world.logins.set('a', { subject: 'ann', tags: ['new'], expiresAt: in_(10 * MINUTE) })
    await t.pass(MINUTE, SECOND)
    assert.equal(told, 1)
  })
})

describe('re-checks', () => {
  it('every minute by default, up to a fifth sooner; one for all connections of a credential', async () => {
    await using t = table({ a: {}, b: {} })
    for (let n = 0; n < 3; n++) await t.open(cookie('a'))
    await t.pass(47_999, SECOND)
    assert.equal(count(t.events, 'rechecked'), 0)
    await t.pass(12_001, SECOND)
    assert.deepEqual(
      t.events.flatMap((event) => (event.type === 'rechecked' ? [[event.outcome, event.why, event.connections]] : [])),
      [['accepted', 'schedule', 3]],
    )
    await t.pass(10 * MINUTE, SECOND)
    const asked = count(t.events, 'rechecked') - 1
    assert.ok(asked >= 10 && asked <= 13, `${asked} in ten minutes`)
  })

  it('`false` switches them off, and nothing is kept', async () => {
    await using t = table({ a: {} }, { recheck: false })
    await t.open(cookie('a'))
    t.world.statuses.set('a', 401)
    await t.pass(HOUR, MINUTE)
    assert.equal(count(t.events, 'rechecked'), 0)
    assert.equal(t.world.gate.connections.size, 1)
    const [live] = t.world.state.registry.values()
    assert.equal(live?.facts, undefined)
  })

  for (const [status, closed] of [
    [401, { code: 4401, reason: 'unauthorized' }],
    [302, { code: 4401, reason: 'unauthorized' }],
    [307, { code: 4401, reason: 'unauthorized' }],
    [403, { code: 4403, reason: 'forbidden' }],
    [404, { code: 4403, reason: 'forbidden' }],
    [410, { code: 4403, reason: 'forbidden' }],
    [400, { code: 4403, reason: 'forbidden' }],
    [408, undefined],
    [425, undefined],
    [429, undefined],
    [500, undefined],
    [502, undefined],
    [503, undefined],
  ] as const) {
    it(`rule R3: ${status} ${closed === undefined ? 'is an error' : 'ends it'}`, async () => {
      await using t = table({ a: {} }, { recheck: { every: '60s', jitter: 0 } })
      const client = await t.open(cookie('a'))
      t.world.statuses.set('a', status)
      await t.pass(MINUTE)
      assert.deepEqual(client.closed, closed)
      assert.equal(
        t.events.find((event) => event.type === 'rechecked')?.outcome,
        closed === undefined ? 'error' : 'refused',
      )
    })
  }

  it('an answer that does not come within the deadline is an error, and asked again', async () => {
    let hang = false
    const points: Points = {
      at: async (label) => {
        if (hang && label.startsWith('recheck')) await new Promise(() => undefined)
      },
    }
    await using t = table({ a: {} }, { recheck: { every: '60s', jitter: 0 }, limits: { deadline: 3000 } }, points)
    const client = await t.open(cookie('a'))
    hang = true
    await t.pass(MINUTE)
    await t.pass(2999)
    assert.equal(count(t.events, 'rechecked'), 0)
    await t.pass(1)
    assert.deepEqual(
      t.events.flatMap((event) => (event.type === 'rechecked' ? [event.outcome, event.ms] : [])),
      ['error', 3000],
    )
    hang = false
    await t.pass(SECOND)
    assert.equal(count(t.events, 'rechecked'), 2)
    assert.equal(client.closed, undefined)
  })

  it('ten minutes without an answer end it with 1013, not sooner; `keep` does not', async () => {
    for (const how of ['close', 'keep'] as const) {
      // oxlint-disable-next-line no-thenable -- the name of the option
      await using t = table({ a: {} }, { recheck: { every: '60s', jitter: 0, onError: { then: how } } })
      const client = await t.open(cookie('a'))
      t.world.statuses.set('a', 503)
      await t.pass(11 * MINUTE - 1, SECOND)
      assert.equal(client.closed, undefined)
      await t.pass(31 * SECOND, SECOND)
      assert.deepEqual(client.closed, how === 'close' ? { code: 1013, reason: 'recheck_failed' } : undefined)
      if (how === 'keep') await t.pass(2 * HOUR, 10 * SECOND)
      assert.equal(client.closed === undefined, how === 'keep')
    }
  })

  it('one answer in between, and the ten minutes begin anew', async () => {
    await using t = table({ a: {} }, { recheck: { every: '60s', jitter: 0 } })
    const client = await t.open(cookie('a'))
    t.world.statuses.set('a', 503)
    await t.pass(9 * MINUTE, SECOND)
    t.world.statuses.clear()
    await t.pass(MINUTE, SECOND)
    t.world.statuses.set('a', 503)
    await t.pass(10 * MINUTE, SECOND)
    assert.equal(client.closed, undefined)
  })
})

describe("a check of the app's own", () => {
  it('true: each stays as it is, whoever else has the same session', async () => {
    const logins = {
      a: { session: 's', expiresAt: in_(2 * HOUR), tags: ['reader'], claims: { tab: 'a' } },
      b: { session: 's', expiresAt: in_(3 * HOUR), tags: ['writer'], claims: { tab: 'b' } },
    }
    await using t = table(logins, { recheck: { every: '60s', jitter: 0, check: () => true } })
    await t.open(cookie('a'))
    await t.open(cookie('b'))
    await t.pass(MINUTE)
    const now = t.world.served.map(({ connection }) => [
      connection.expiresAt,
      connection.identity.tags,
      connection.identity.claims,
    ])
    assert.deepEqual(now, [
      [in_(2 * HOUR), ['reader'], { tab: 'a' }],
      [in_(3 * HOUR), ['writer'], { tab: 'b' }],
    ])
    assert.equal(count(t.events, 'renewed'), 0)
  })

  for (const [said, closed] of [
    [true, undefined],
    [false, { code: 4403, reason: 'forbidden' }],
    [null, { code: 4403, reason: 'forbidden' }],
    [undefined, { code: 4403, reason: 'forbidden' }],
    [{ subject: 'bob' }, { code: 4403, reason: 'identity_changed' }],
    [
      { subject: 'ann', issuer: 'elsewhere' },
      { code: 4403, reason: 'identity_changed' },
    ],
  ] as const) {
    it(`it says ${JSON.stringify(said)}`, async () => {
      await using t = table({ a: {} }, { recheck: { every: '60s', jitter: 0, check: () => said } })
      const client = await t.open(cookie('a'))
      await t.pass(MINUTE)
      assert.deepEqual(client.closed, closed)
    })
  }

  it('an identity that moves its expiry is the new end; one that is over ends it', async () => {
    let expiresAt = in_(20 * MINUTE)
    await using t = table(
      { a: { expiresAt: in_(10 * MINUTE) } },
      {
        recheck: { every: '60s', jitter: 0, check: () => ({ subject: 'ann', expiresAt }) },
      },
    )
    const client = await t.open(cookie('a'))
    await t.pass(10 * MINUTE, SECOND)
    assert.equal(client.closed, undefined)
    assert.deepEqual(t.world.served[0]?.connection.expiresAt, in_(20 * MINUTE))
    expiresAt = in_(-MINUTE)
    await t.pass(MINUTE + SECOND, SECOND)
    assert.deepEqual(client.closed, EXPIRED)
  })

  it('a throw and a hang are errors; the signal says that nobody waits any more', async () => {
    let signal: AbortSignal | undefined
    let how: 'throw' | 'hang' = 'throw'
    const check = (_identity: unknown, options: { signal: AbortSignal }): Promise<boolean> => {
      if (how === 'throw') throw new Error('away')
      signal = options.signal
      return new Promise(() => undefined)
    }
    await using t = table({ a: {} }, { recheck: { every: '60s', jitter: 0, check } })
    const client = await t.open(cookie('a'))
    await t.pass(MINUTE)
    how = 'hang'
    await t.pass(SECOND)
    assert.equal(signal?.aborted, false)
    await t.pass(10 * SECOND)
    assert.equal(signal?.aborted, true)
    assert.deepEqual(
      t.events.flatMap((event) => (event.type === 'rechecked' ? [event.outcome] : [])),
      ['error', 'error'],
    )
    assert.equal(client.closed, undefined)
  })
})

describe('renewals', () => {
  it('ten a minute over HTTP; what is too much is 429 and changes nothing', async () => {
    await using t = table({ a: { session: 'a' } })
    const client = await t.open(cookie('a'))
    const renew = async (): Promise<number> => (await t.world.renew('a', undefined, cookie('a'))).status
    for (let n = 0; n < 10; n++) assert.equal(await renew(), 200)
    assert.deepEqual([await renew(), await renew()], [429, 429])
    await t.pass(MINUTE - 1)
    assert.equal(await renew(), 429)
    await t.pass(1)
    assert.equal(await renew(), 200)
    assert.equal(client.closed, undefined)
  })

  it('in band, the eleventh ends the connection', async () => {
    await using t = table({ a: {} }, { limits: { renewalsPerMinute: 3 } })
    const client = await t.open({}, '/wait')
    const auth = JSON.stringify({ type: 'auth', token: 'a' })
    for (let n = 0; n < 4; n++) {
      client.ws.send(auth)
      await quiet()
    }
    assert.equal(client.messages.length, 4, 'the login, and three renewals')
    await t.pass(MINUTE)
    for (let n = 0; n < 3; n++) {
      client.ws.send(auth)
      await quiet()
    }
    assert.equal(client.closed, undefined)
    client.ws.send(auth)
    await quiet()
    assert.deepEqual(client.closed, { code: 4429, reason: 'too_many_renewals' })
  })

  it('a connection that is renewed often keeps no more than one that is not', async () => {
    await using t = table({ a: {} })
    const client = await t.open({}, '/wait')
    const auth = JSON.stringify({ type: 'auth', token: 'a' })
    client.ws.send(auth)
    await quiet()
    const [live] = t.world.state.registry.values()
    assert.ok(live !== undefined)
    let listeners = 0
    const on = live.on.bind(live)
    live.on = ((event: 'end', listener: () => void) => {
      listeners++
      return on(event, listener)
    }) as typeof live.on
    for (let n = 0; n < 20; n++) {
      await t.pass(10 * SECOND)
      client.ws.send(auth)
      await quiet()
    }
    assert.equal(client.messages.filter((text) => text.includes('auth_ok')).length, 21)
    // Nothing takes them off again before it has ended.
    assert.ok(listeners <= 1, `${listeners} listeners`)
  })
})

describe('close', () => {
  it('without drain, all at once', async () => {
    await using t = table({ a: {} })
    const clients = [await t.open(cookie('a')), await t.open(cookie('a'))]
    const closed = t.world.gate.close()
    await quiet()
    assert.deepEqual(
      clients.map((client) => client.closed),
      [
        { code: 1012, reason: 'restart' },
        { code: 1012, reason: 'restart' },
      ],
    )
    await closed
  })

  it('drain: one after the other, over the whole time; new ones are refused from the start', async () => {
    await using t = table({ a: {} })
    const clients: Client[] = []
    for (let n = 0; n < 10; n++) clients.push(await t.open(cookie('a')))
    let isOver = false
    const closed = t.world.gate.close({ drain: '10s' }).then(() => {
      isOver = true
    })
    const left: number[] = []
    for (let n = 0; n < 10; n++) {
      await t.pass(n === 0 ? 0 : SECOND)
      await t.pass(1)
      left.push(clients.filter((client) => client.closed === undefined).length)
      const late = dialWire(t.world.server, '/ws', cookie('a'))
      await quiet()
      assert.equal(late.status, 503)
      assert.equal(isOver, n === 9)
    }
    assert.deepEqual(left, [9, 8, 7, 6, 5, 4, 3, 2, 1, 0])
    await closed
  })

  it('drain does not wait for those who go by themselves', async () => {
    await using t = table({ a: {} })
    const clients = [await t.open(cookie('a')), await t.open(cookie('a'))]
    const closed = t.world.gate.close({ drain: '1h' })
    for (const client of clients) client.ws.close(1000)
    await quiet()
    await closed
    assert.equal(t.world.clock.timers, 0)
  })
})

it('by the real clock: not before its time, and soon after it', async () => {
  const life = 400
  let expiresAt = 0
  const gate = createGate({
    identify: () => {
      expiresAt = Date.now() + life
      return { subject: 'ann', expiresAt: new Date(expiresAt) }
    },
    recheck: false,
  })
  const route = gate.websocket(() => undefined)
  const server = createServer((req, res) => route(req, res))
  gate.attach(server)
  await using listening = await listen(server)
  const ws = new WebSocket(`ws://127.0.0.1:${listening.port}/`, { headers: { 'X-Api-Key': 'k' } })
  const [code, reason] = (await once(ws, 'close')) as [number, Buffer]
  const late = Date.now() - expiresAt
  assert.deepEqual([code, String(reason)], [4401, 'expired'])
  // Ten seconds are the longest that a timer of the gate waits before it looks at the clock.
  assert.ok(late >= 0 && late < 5000, `${late} ms after its time`)
  await gate.close()
})
