import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { endOf, limitOf, MAX_AGE_UNASKED, noticeOf } from '../../../src/connections/life.ts'
import { createRegistry } from '../../../src/connections/registry.ts'
import { createRenewals } from '../../../src/connections/renewals.ts'
import { numberOf, select } from '../../../src/connections/select.ts'
import { inSlices } from '../../../src/connections/slices.ts'
import { HeldClock } from '../credentials/helpers.ts'
import { identityOf, makeConnection, TwoClocks } from './helpers.ts'

describe('renewals', () => {
  it('ten a minute for each connection, and ten more in the next', () => {
    const clock = new HeldClock()
    const renewals = createRenewals(clock, 10)
    const [one, other] = [{}, {}]
    const enter = (times: number): boolean[] => Array.from({ length: times }, () => renewals.enter(one))
    assert.ok(enter(10).every(Boolean))
    clock.pass(59_999)
    assert.deepEqual(enter(2), [false, false])
    assert.equal(renewals.enter(other), true)
    clock.pass(1)
    assert.deepEqual(enter(11), [...Array.from({ length: 10 }, () => true), false])
  })

  it('a clock that is set back does not lock anybody out', () => {
    const clock = new TwoClocks()
    const renewals = createRenewals(clock, 1)
    const one = {}
    assert.deepEqual([renewals.enter(one), renewals.enter(one)], [true, false])
    clock.jump(-3_600_000)
    assert.equal(renewals.enter(one), true)
  })
})

describe('inSlices', () => {
  it('does each once, in order; what is short, at once', () => {
    const done: number[] = []
    void inSlices([1, 2, 3], (item) => done.push(item))
    assert.deepEqual(done, [1, 2, 3])
  })

  it('lets others in between where it takes long, and comes to its end all the same', async () => {
    const done: number[] = []
    let turns = 0
    const count = (): void => {
      turns++
      if (done.length < 40) setImmediate(count)
    }
    setImmediate(count)
    await inSlices([...Array.from({ length: 40 }).keys()], (item) => {
      for (const began = performance.now(); performance.now() - began < 1;);
      done.push(item)
    })
    assert.deepEqual(done, [...done.keys()])
    assert.equal(done.length, 40)
    assert.ok(turns >= 5, `${turns} turns`)
  })

  it('rejects where the act throws', async () => {
    await assert.rejects(
      inSlices([1], () => {
        throw new Error('a mistake')
      }),
      /a mistake/,
    )
  })
})

describe('select', () => {
  const registry = createRegistry(() => undefined)
  const open = (identity: Parameters<typeof identityOf>[0]): ReturnType<typeof makeConnection>['connection'] => {
    const { carrier, connection } = makeConnection({ identity: identity ?? {}, left: (one) => registry.left(one) })
    registry.add(carrier, connection)
    return connection
  }
  const ann = open({ session: 's', credential: 'k', tags: ['t'] })
  const otherAnn = open({ issuer: 'https://idp', session: 's' })
  const bob = open({ subject: 'bob', tags: ['t'] })

  it('by each kind of selector', () => {
    assert.deepEqual(select(registry, { subject: 'ann' }), [ann, otherAnn])
    assert.deepEqual(select(registry, { subject: 'ann', issuer: undefined }), [ann, otherAnn])
    assert.deepEqual(select(registry, { subject: 'ann', issuer: 'https://idp' }), [otherAnn])
    assert.deepEqual(select(registry, { subject: 'ann', issuer: 'nobody' }), [])
    assert.deepEqual(select(registry, { session: 's' }), [ann, otherAnn])
    assert.deepEqual(select(registry, { credential: 'k' }), [ann])
    assert.deepEqual(select(registry, { tag: 't' }), [ann, bob])
    assert.deepEqual(select(registry, { connection: bob.id }), [bob])
  })

  it('the id of another process, or what is none, means nobody', () => {
    const number = bob.id.split('-')[1] ?? ''
    for (const connection of [
      `c1-${number}`,
      `x${bob.id}`,
      `${bob.id}-1`,
      `${bob.id} `,
      '',
      'c-',
      `c0${bob.id.slice(1)}`,
    ]) {
      assert.deepEqual(select(registry, { connection }), [], connection)
    }
    assert.ok(Number.isNaN(numberOf('')))
    assert.equal(numberOf('c1-zz'), 35 * 36 + 35)
  })
})

describe('how long a connection lasts', () => {
  const HOUR = 3_600_000
  const opened = Date.UTC(2026, 0, 1)
  const life = (expiresAt: number | null, trustedUntil = Infinity): Parameters<typeof endOf>[1] => ({
    identity: identityOf({ expiresAt: expiresAt === null ? null : new Date(expiresAt) }),
    openedAtMs: opened,
    trust: { until: trustedUntil },
  })
  const policy = { maxAge: 24 * HOUR, jitter: 0 }

  it('until the first of expiry, maxAge and what it is trusted for', () => {
    assert.equal(endOf(policy, life(null), opened), opened + 24 * HOUR)
    assert.equal(endOf(policy, life(opened + 10), opened), opened + 10)
    assert.equal(endOf(policy, life(opened + 25 * HOUR), opened), opened + 24 * HOUR)
    assert.equal(endOf(policy, life(opened + 2 * HOUR, opened + HOUR), opened), opened + HOUR)
    assert.equal(limitOf(policy.maxAge, life(opened + 10, opened + HOUR)), opened + HOUR)
    assert.equal(MAX_AGE_UNASKED, HOUR)
  })

  it('jitter cuts off up to its part of what is left, and never adds', () => {
    const seen = new Set<number>()
    for (let n = 0; n < 500; n++) {
      const end = endOf({ ...policy, jitter: 0.2 }, life(opened + HOUR), opened)
      assert.ok(end > opened + 0.8 * HOUR - 1 && end <= opened + HOUR)
      seen.add(end)
    }
    assert.ok(Math.min(...seen) < opened + 0.85 * HOUR && Math.max(...seen) > opened + 0.95 * HOUR)
    assert.equal(endOf({ ...policy, jitter: 0.2 }, life(opened - 5), opened), opened - 5)
  })

  it('the notice is a tenth of what is left before the end, at most a minute', () => {
    assert.equal(noticeOf(opened + 100_000, opened), opened + 90_000)
    assert.equal(noticeOf(opened + 600_000, opened), opened + 540_000)
    assert.equal(noticeOf(opened + 24 * HOUR, opened), opened + 24 * HOUR - 60_000)
    assert.equal(noticeOf(opened - 5, opened), opened - 5)
    fc.assert(
      fc.property(fc.integer({ min: -HOUR, max: 48 * HOUR }), (left) => {
        const at = noticeOf(opened + left, opened)
        assert.ok(at <= opened + left && opened + left - at <= 60_000)
        if (left > 0) assert.ok(at > opened)
      }),
    )
  })
})
