import assert from 'node:assert/strict'
import { describe, it, test } from 'node:test'
import fc from 'fast-check'
import {
  createRevocations,
  type Hash,
  type Revocation,
  type Revocations,
} from '../../../src/connections/revocations.ts'
import { HeldClock } from '../credentials/helpers.ts'
import { identityOf } from './helpers.ts'

const hash: Hash = (kind, text) => `${kind}:${text}`
const DAY = 86_400_000
const HOUR = 3_600_000

interface Table {
  readonly clock: HeldClock
  readonly revocations: Revocations
  revoke(key: string, more?: Partial<Revocation>): void
}

function table(): Table {
  const clock = new HeldClock()
  const revocations = createRevocations(clock, [hash])
  let order = 100
  const revoke = (key: string, more: Partial<Revocation> = {}): void => {
    const forGood = /^(?:session|credential):/.test(key)
    const at = clock.now()
    revocations.add({ key, forGood, at, order: ++order, except: [], until: at + 90 * DAY, ...more })
  }
  return { clock, revocations, revoke }
}

const ofIssuer = (issuer: string, subject: string): string => hash('of issuer', JSON.stringify([issuer, subject]))

describe('rule V1', () => {
  it('a session and a credential are out for good, whenever they were made', () => {
    const { clock, revocations, revoke } = table()
    revoke('session:s')
    revoke('credential:k')
    const issuedAt = new Date(clock.now() + DAY)
    assert.equal(revocations.covers(identityOf({ session: 's', issuedAt }), Infinity), true)
    assert.equal(revocations.covers(identityOf({ credential: 'k', issuedAt }), Infinity), true)
    assert.equal(revocations.covers(identityOf({ session: 'k', credential: 's', issuedAt }), 0), false)
    assert.equal(revocations.covers(identityOf({ subject: 's' }), 0), false)
  })

  it('a subject and a tag: whole seconds of issuedAt, the second of the revocation included', () => {
    const { clock, revocations, revoke } = table()
    clock.pass(700)
    revoke('subject:ann')
    revoke('tag:t')
    const second = Math.floor(clock.now() / 1000) * 1000
    for (const [ms, out] of [
      [-DAY, true],
      [0, true],
      [999, true],
      [1000, false],
      [DAY, false],
    ] as const) {
      const issuedAt = new Date(second + ms)
      assert.equal(revocations.covers(identityOf({ issuedAt }), Infinity), out, `ann, ${ms} ms`)
      assert.equal(
        revocations.covers(identityOf({ subject: 'bob', tags: ['u', 't'], issuedAt }), Infinity),
        out,
        `t, ${ms} ms`,
      )
    }
  })

  it('without issuedAt: out where it was asked about before, in where it comes later', () => {
    const { revocations, revoke } = table()
    revoke('subject:ann', { order: 10 })
    for (const issuedAt of [undefined, null]) {
      assert.equal(revocations.covers(identityOf({ issuedAt }), 9), true)
      assert.equal(revocations.covers(identityOf({ issuedAt }), 11), false)
    }
    revoke('session:s', { order: 10 })
    assert.equal(revocations.covers(identityOf({ subject: 'bob', session: 's' }), 11), true)
  })

  it('with an issuer, that of this issuer alone; without, of all', () => {
    const { clock, revocations, revoke } = table()
    const issuedAt = new Date(clock.now() - DAY)
    revoke(ofIssuer('https://a', 'ann'))
    assert.equal(revocations.covers(identityOf({ issuer: 'https://a', issuedAt }), 0), true)
    assert.equal(revocations.covers(identityOf({ issuer: 'https://b', issuedAt }), 0), false)
    // No two pairs have one text.
    revoke(ofIssuer('x","y', 'z'))
    assert.equal(revocations.covers(identityOf({ issuer: 'x', subject: 'y","z', issuedAt }), 0), false)
    revoke('subject:ann')
    assert.equal(revocations.covers(identityOf({ issuer: 'https://b', issuedAt }), 0), true)
  })

  it('exceptions: the session, the credential or the connection named stays', () => {
    const { clock, revocations, revoke } = table()
    const issuedAt = new Date(clock.now() - DAY)
    revoke('subject:ann', { except: ['session:s', 'credential:k', 'connection:c1-1'] })
    const out = (session?: string, credential?: string, connection?: string): boolean =>
      revocations.covers(identityOf({ session, credential, issuedAt }), 0, connection)
    assert.equal(out(), true)
    assert.equal(out('s'), false)
    assert.equal(out('other', 'k'), false)
    assert.equal(out('other', undefined, 'c1-1'), false)
    assert.equal(out('other', 'other', 'c1-2'), true)
    // What is revoked by itself is not saved by the exception of another revocation.
    revoke('session:s')
    assert.equal(out('s'), true)
  })

  it('a session or credential may be out for all but one', () => {
    const { revocations, revoke } = table()
    revoke('credential:k', { except: ['connection:c1-1'] })
    assert.equal(revocations.covers(identityOf({ credential: 'k' }), Infinity, 'c1-1'), false)
    assert.equal(revocations.covers(identityOf({ credential: 'k' }), Infinity, 'c1-2'), true)
    assert.equal(revocations.covers(identityOf({ credential: 'k' }), Infinity), true)
  })
})

describe('what is remembered', () => {
  it('a later revocation that says all that an earlier one says takes its place', () => {
    const { clock, revocations, revoke } = table()
    for (let n = 0; n < 50; n++) {
      revoke('subject:ann')
      clock.pass(1000)
    }
    assert.equal(revocations.size, 1)
    const before = identityOf({ issuedAt: new Date(clock.now() - 60_000) })
    assert.equal(revocations.covers(before, 0), true)
  })

  it('one with more exceptions does not undo an earlier one', () => {
    const { clock, revocations, revoke } = table()
    const issuedAt = new Date(clock.now() - DAY)
    revoke('subject:ann')
    clock.pass(1000)
    revoke('subject:ann', { except: ['session:s'] })
    assert.equal(revocations.covers(identityOf({ session: 's', issuedAt }), 0), true)
    const later = new Date(clock.now())
    assert.equal(revocations.covers(identityOf({ session: 's', issuedAt: later }), 0), false)
    assert.equal(revocations.covers(identityOf({ session: 'other', issuedAt: later }), 0), true)
  })

  it('one that ends sooner does not shorten an earlier one', () => {
    const { clock, revocations, revoke } = table()
    const issuedAt = new Date(clock.now() - DAY)
    for (const key of ['subject:ann', 'credential:k']) {
      revoke(key)
      revoke(key, { until: clock.now() + 1000 })
    }
    clock.pass(2 * HOUR)
    assert.equal(revocations.covers(identityOf({ issuedAt }), 0), true)
    assert.equal(revocations.covers(identityOf({ subject: 'bob', credential: 'k' }), 0), true)
  })

  it('until its time is over, and an hour more at most; then nothing is left, no timer either', () => {
    const { clock, revocations, revoke } = table()
    const issuedAt = new Date(clock.now())
    revoke('session:s')
    revoke('subject:ann')
    revoke('tag:t', { except: ['session:x'] })
    assert.equal(clock.timers, 1)
    clock.pass(90 * DAY - 1)
    assert.equal(revocations.covers(identityOf({ session: 's' }), Infinity), true)
    assert.equal(revocations.covers(identityOf({ issuedAt }), Infinity), true)
    assert.equal(revocations.covers(identityOf({ subject: 'bob', tags: ['t'], issuedAt }), Infinity), true)
    clock.pass(HOUR + 1)
    assert.deepEqual([revocations.size, clock.timers], [0, 0])
    assert.equal(revocations.covers(identityOf({ session: 's', issuedAt }), 0), false)
  })

  it('of several of one subject, each goes when its own time is over', () => {
    const { clock, revocations, revoke } = table()
    const early = new Date(clock.now())
    revoke('subject:ann', { until: clock.now() + 10 * DAY })
    clock.pass(DAY)
    const late = new Date(clock.now())
    revoke('subject:ann', { until: clock.now() + DAY, except: ['session:s'] })
    clock.pass(DAY + HOUR)
    assert.equal(revocations.covers(identityOf({ issuedAt: early }), 0), true)
    assert.equal(revocations.covers(identityOf({ issuedAt: late }), 0), false)
    clock.pass(9 * DAY)
    assert.deepEqual([revocations.size, clock.timers], [0, 0])
  })

  it('one that is to be remembered for ten years does not keep those behind it', () => {
    const { clock, revocations, revoke } = table()
    revoke('credential:an-api-key', { until: clock.now() + 3650 * DAY })
    for (let n = 0; n < 1000; n++) revoke(`session:${n}`)
    clock.pass(91 * DAY)
    assert.equal(revocations.size, 1)
  })
})

test('any revocations, any identity: as a plain list of all of them says', () => {
  const word = fc.constantFrom('a', 'b', 'c')
  const key = fc.oneof(
    fc.tuple(fc.constantFrom('session', 'credential', 'subject', 'tag'), word).map(([kind, text]) => `${kind}:${text}`),
    fc.tuple(word, word).map(([issuer, subject]) => ofIssuer(issuer, subject)),
  )
  const except = fc.uniqueArray(fc.constantFrom('session:a', 'session:b', 'credential:a', 'connection:c'), {
    maxLength: 2,
  })
  const revoked = fc.record({ key, except, wait: fc.nat(3000) })
  const who = fc.record({
    issuer: word,
    subject: word,
    session: fc.option(word, { nil: undefined }),
    credential: fc.option(word, { nil: undefined }),
    tags: fc.option(fc.uniqueArray(word, { maxLength: 2 }), { nil: undefined }),
    issued: fc.option(fc.nat(8000), { nil: undefined }),
    order: fc.nat(8),
    connection: fc.constantFrom(undefined, 'c', 'd'),
  })
  fc.assert(
    fc.property(fc.array(revoked, { maxLength: 7 }), fc.array(who, { minLength: 1, maxLength: 8 }), (given, people) => {
      const clock = new HeldClock()
      const start = clock.now()
      const revocations = createRevocations(clock, [hash])
      const all: Revocation[] = []
      for (const [n, { key, except, wait }] of given.entries()) {
        clock.pass(wait)
        const forGood = /^(?:session|credential):/.test(key)
        const one = { key, except, forGood, at: clock.now(), order: n + 1, until: clock.now() + DAY }
        all.push(one)
        revocations.add(one)
      }
      for (const { issued, order, connection, ...input } of people) {
        const issuedAt = issued === undefined ? null : new Date(start + issued)
        const { session, credential, issuer, subject, tags = [] } = input
        const keys = [`session:${session}`, `credential:${credential}`, `subject:${subject}`, ofIssuer(issuer, subject)]
        const names = new Set([...keys, ...tags.map((tag) => `tag:${tag}`)])
        const own = new Set([`session:${session}`, `credential:${credential}`, `connection:${connection}`])
        const expected = all.some((one) => {
          if (!names.has(one.key) || one.except.some((name) => own.has(name))) return false
          if (one.forGood) return true
          if (issuedAt === null) return one.order > order
          return Math.floor(issuedAt.getTime() / 1000) <= Math.floor(one.at / 1000)
        })
        assert.equal(revocations.covers(identityOf({ ...input, issuedAt }), order, connection), expected)
      }
    }),
    { numRuns: 500 },
  )
})
