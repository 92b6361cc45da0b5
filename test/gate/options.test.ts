import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import { describe, it } from 'node:test'
import { createGate, loginLimiter, type GateOptions, type TicketStore } from '../../src/index.ts'

const SECRET = randomBytes(32)
const store: TicketStore = { add: async () => true, take: async () => undefined }

/** As an app in JavaScript could write it. */
function make(options: object): unknown {
  return createGate({ identify: () => null, ...options } as GateOptions)
}

const WRONG: Readonly<Record<string, readonly object[]>> = {
  tickets: [
    { tickets: { lifetime: 30_001 } },
    { tickets: { lifetime: 0 } },
    { tickets: { lifetime: -1 } },
    { tickets: { lifetime: 1.5 } },
    { tickets: { lifetime: Number.NaN } },
    { tickets: { lifetime: Infinity } },
    { tickets: { lifetime: '15000' } },
    { tickets: { perSession: 0 } },
    { tickets: { perSession: 2.5 } },
    { tickets: { perSession: '10' } },
    { tickets: { perSession: Infinity } },
    { tickets: { ttl: 15_000 } },
    { tickets: { store } },
    { tickets: { store: {} }, secret: SECRET },
    { tickets: { store: { add: store.add } }, secret: SECRET },
    { tickets: { store: 'redis://localhost' }, secret: SECRET },
  ],
  secret: [
    { secret: '' },
    { secret: 'short' },
    { secret: 'a'.repeat(64) },
    { secret: randomBytes(31) },
    { secret: [] },
    { secret: [SECRET, 'short'] },
    { secret: null },
    { secret: 7 },
  ],
  subprotocolTokens: [
    { subprotocolTokens: 'gate101' },
    { subprotocolTokens: ['gate102'] },
    { subprotocolTokens: ['gate101', 7] },
    { subprotocolTokens: 1 },
    { subprotocolTokens: null },
    { subprotocolTokens: ['toString'] },
  ],
  dangerouslyAllowQueryToken: [
    { dangerouslyAllowQueryToken: '' },
    { dangerouslyAllowQueryToken: 'ticket' },
    { dangerouslyAllowQueryToken: 'a=b' },
    { dangerouslyAllowQueryToken: 'a'.repeat(65) },
    { dangerouslyAllowQueryToken: 1 },
    { dangerouslyAllowQueryToken: null },
  ],
  recheck: [
    { recheck: true },
    { recheck: null },
    { recheck: 'off' },
    { recheck: { interval: 1000 } },
    { recheck: { every: 0 } },
    { recheck: { every: 99 } },
    { recheck: { every: -1 } },
    { recheck: { every: 1000.5 } },
    { recheck: { every: Infinity } },
    { recheck: { every: '1 minute' } },
    { recheck: { every: '60' } },
    { recheck: { jitter: -0.1 } },
    { recheck: { jitter: 1.1 } },
    { recheck: { jitter: Number.NaN } },
    { recheck: { concurrency: 0 } },
    { recheck: { concurrency: 1.5 } },
    { recheck: { check: 'isActive' } },
    { recheck: { onError: 'keep' } },
    { recheck: { onError: null } },
    { recheck: { onError: { then: 'end' } } },
    { recheck: { onError: { after: 'soon' } } },
    { recheck: { onError: { grace: 1 } } },
  ],
  maxAge: [{ maxAge: 0 }, { maxAge: '24' }, { maxAge: null }, { maxAge: Number.NaN }, { maxAge: new Date() }],
  maxCredentialAge: [{ maxCredentialAge: 0 }, { maxCredentialAge: '90 days' }, { maxCredentialAge: -1 }],
  expiryJitter: [{ expiryJitter: 0.21 }, { expiryJitter: -0.01 }, { expiryJitter: '0.1' }, { expiryJitter: null }],
  closeCodes: [
    { closeCodes: 'graphql' },
    { closeCodes: 'toString' },
    { closeCodes: 4401 },
    { closeCodes: null },
    { closeCodes: { banned: 4001 } },
    { closeCodes: { expired: 1000 } },
    { closeCodes: { expired: 1005 } },
    { closeCodes: { expired: 1006 } },
    { closeCodes: { expired: 1010 } },
    { closeCodes: { expired: 2999 } },
    { closeCodes: { expired: 5000 } },
    { closeCodes: { expired: '4401' } },
  ],
  sessionStore: [
    { sessionStore: {} },
    { sessionStore: null },
    { sessionStore: { destroy: true } },
    { sessionStore: 'redis' },
  ],
  'limits of connections': [
    { limits: { connections: 0 } },
    { limits: { connections: Infinity } },
    { limits: { connectionsPerSubject: -1 } },
    { limits: { connectionsPerSession: 1.5 } },
    { limits: { connectionsPerAddress: '10' } },
    { limits: { renewalsPerMinute: 0 } },
    { limits: { overflow: 'replace' } },
    { limits: { overflow: true } },
  ],
  sessionCookies: [
    { sessionCookies: 'sid' },
    { sessionCookies: [''] },
    { sessionCookies: [7] },
    { sessionCookies: {} },
  ],
  refuse: [{ refuse: 'close' }, { refuse: true }, { refuse: null }],
  clock: [{ clock: {} }, { clock: { now: () => 0 } }, { clock: 7 }],
  firstMessage: [
    { firstMessage: true },
    { firstMessage: {} },
    { firstMessage: { paths: [] } },
    { firstMessage: { paths: ['/live'], path: '/live' } },
    { firstMessage: { paths: ['live'] } },
    { firstMessage: { paths: ['/live'], on: [] } },
    { firstMessage: { paths: ['/live'], on: [200] } },
    { firstMessage: { paths: ['/live'], on: [500] } },
    { firstMessage: { paths: ['/live'], on: 401 } },
    { firstMessage: { paths: ['/live'], headers: [] } },
    { firstMessage: { paths: ['/live'], headers: ['X-Remote-User'] } },
    { firstMessage: { paths: ['/live'], headers: ['X-Forwarded-For'] } },
    { firstMessage: { paths: ['/live'], headers: ['Origin'] } },
    { firstMessage: { paths: ['/live'], toHeaders: {} } },
    { firstMessage: { paths: ['/live'], limiter: {} } },
  ],
  limits: [
    { limits: { waiting: 0 } },
    { limits: { waitingPerAddress: -1 } },
    { limits: { firstMessage: Infinity } },
    { limits: { firstMessage: '5s' } },
  ],
  'what nobody knows': [{ ticket: {} }, { queryToken: true }, { allowQueryToken: true }],
}

for (const [name, wrong] of Object.entries(WRONG)) {
  describe(`createGate: ${name}`, () => {
    for (const options of wrong) {
      it(inspect(options, { breakLength: Infinity }).slice(0, 100), () => {
        assert.throws(() => make(options), { code: 'GATE101_CONFIG' })
      })
    }
  })
}

it('the bounds themselves are good', () => {
  for (const options of [
    { tickets: {} },
    { tickets: { lifetime: 30_000, perSession: 1 } },
    { tickets: { lifetime: 1 } },
    { tickets: { store }, secret: SECRET },
    { tickets: { store }, secret: [SECRET, randomBytes(40)] },
    { secret: SECRET.toString('base64url') },
    { subprotocolTokens: true },
    { subprotocolTokens: false },
    { subprotocolTokens: ['gate101', 'kubernetes', 'phoenix', 'openai', 'bearer'] },
    { dangerouslyAllowQueryToken: false },
    { dangerouslyAllowQueryToken: true },
    { dangerouslyAllowQueryToken: 'jwt' },
    { sessionCookies: ['connect.sid'] },
    { refuse: 'http' },
    { refuse: 'auto' },
    { firstMessage: { paths: ['/live', '/rooms/*'], on: [401, 302], headers: ['Authorization', 'X-Api-Key'] } },
    { firstMessage: { paths: ['/*'], limiter: loginLimiter() } },
    { limits: { waiting: 1, waitingPerAddress: 1, firstMessage: 1 } },
    { clock: { now: () => 0, after: () => () => undefined } },
  ])
    assert.ok(make(options), inspect(options))
})

it('a secret shows in no error, and in no inspect of the gate', () => {
  const text = 'x9Q-weak-but-mine-x9Q'
  assert.throws(
    () => make({ secret: text }),
    (error: Error) => !inspect(error, { showHidden: true, depth: 9 }).includes(text),
  )
  const gate = make({ secret: SECRET.toString('base64url'), tickets: { store } })
  const shown = inspect(gate, { showHidden: true, depth: 12 }) + JSON.stringify(gate)
  assert.ok(!shown.includes(SECRET.toString('base64url')))
})
