import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  createRechecks,
  type Recheck,
  type RecheckPolicy,
  type RecheckVerdict,
} from '../../../src/connections/rechecks.ts'
import { ENDS } from '../../../src/core/end.ts'
import { HeldClock } from '../credentials/helpers.ts'
import { identityOf, makeConnection } from './helpers.ts'

const POLICY: RecheckPolicy = { every: 60_000, jitter: 0, concurrency: 16, grace: 600_000, closeAfterGrace: true }
const ACCEPTED: RecheckVerdict = { type: 'accepted', identity: identityOf() }
const ERROR: RecheckVerdict = { type: 'error' }

interface Question {
  readonly recheck: Recheck
  readonly at: number
  answer(verdict: RecheckVerdict): Promise<void>
}

/** A schedule whose questions the test answers. */
function table(given: Partial<RecheckPolicy> = {}) {
  const clock = new HeldClock()
  const start = clock.now()
  const questions: Question[] = []
  const settled: Array<{ readonly verdict: RecheckVerdict; readonly isLast: boolean; readonly at: number }> = []
  let order = 0
  const rechecks = createRechecks({
    clock,
    policy: { ...POLICY, ...given },
    nextOrder: () => ++order,
    ask: async (recheck) =>
      await new Promise<RecheckVerdict>((resolve) => {
        const answer = async (verdict: RecheckVerdict): Promise<void> => {
          resolve(verdict)
          await new Promise(setImmediate)
        }
        questions.push({ recheck, at: clock.now() - start, answer })
      }),
    settle: (_recheck, verdict, isLast) => settled.push({ verdict, isLast, at: clock.now() - start }),
  })
  const join = (key: string): ReturnType<typeof makeConnection>['connection'] => {
    const { connection } = makeConnection({ left: (one) => rechecks.leave(one) })
    rechecks.join(connection, key, key, undefined)
    return connection
  }
  /** Goes on until `ms` have passed in all, answering at once. */
  const run = async (until: number, verdict: RecheckVerdict): Promise<void> => {
    for (let asked = questions.length; clock.now() - start < until;) {
      clock.pass(Math.min(500, until - (clock.now() - start)))
      for (; asked < questions.length; asked++) await questions[asked]!.answer(verdict)
    }
  }
  return { clock, rechecks, questions, settled, join, run }
}

describe('the schedule of re-checks', () => {
  it('one question for each credential, every minute, while somebody lives by it', async () => {
    const { clock, rechecks, questions, join, run } = table()
    const [one, two, three] = [join('a'), join('a'), join('b')]
    assert.equal(rechecks.size, 2)
    assert.equal(clock.timers, 1)
    await run(59_999, ACCEPTED)
    assert.equal(questions.length, 0)
    await run(180_500, ACCEPTED)
    assert.equal(questions.length, 6)
    assert.deepEqual(
      questions.filter(({ recheck }) => recheck.facts.key === 'a').map(({ recheck }) => recheck.members),
      [
        [one, two],
        [one, two],
        [one, two],
      ],
    )
    assert.ok(questions.every(({ recheck }) => recheck.why === 'schedule'))
    one.end()
    two.end()
    await run(300_500, ACCEPTED)
    assert.ok(questions.slice(6).every(({ recheck }) => recheck.facts.key === 'b'))
    three.end()
    assert.deepEqual([rechecks.size, clock.timers], [0, 0])
  })

  it('jitter: up to its part sooner, never later', () => {
    const { clock, questions, join } = table({ jitter: 0.5, concurrency: 1000 })
    for (let n = 0; n < 300; n++) join(String(n))
    clock.pass(29_999)
    assert.equal(questions.length, 0)
    clock.pass(30_001)
    assert.equal(questions.length, 300)
    const times = questions.map(({ at }) => at)
    assert.ok(Math.min(...times) < 35_000 && Math.max(...times) > 55_000)
  })

  it('as many at a time as `concurrency` says; what somebody waits for comes first', async () => {
    const { clock, rechecks, questions, join } = table({ concurrency: 2 })
    const all = Array.from({ length: 6 }, (_, n) => {
      clock.pass(1)
      return join(String(n))
    })
    clock.pass(60_000)
    assert.equal(questions.length, 2)
    rechecks.now(all[5]!.facts!, 'session')
    rechecks.now(all[4]!.facts!, 'expiry')
    assert.equal(questions.length, 2)
    for (let n = 0; n < 6; n++) await questions[n]!.answer(ACCEPTED)
    assert.deepEqual(
      questions.map(({ recheck }) => `${recheck.facts.key} ${recheck.why}`),
      ['0 schedule', '1 schedule', '5 session', '4 expiry', '2 schedule', '3 schedule'],
    )
  })

  it('what comes up while a question is under way is asked afterwards, once', async () => {
    const { clock, rechecks, questions, join } = table()
    const { facts } = join('a')
    clock.pass(60_000)
    rechecks.now(facts!, 'expiry')
    rechecks.now(facts!, 'session')
    assert.equal(questions.length, 1)
    await questions[0]!.answer(ACCEPTED)
    assert.deepEqual(
      questions.map(({ recheck }) => recheck.why),
      ['schedule', 'session'],
    )
    await questions[1]!.answer(ACCEPTED)
    assert.equal(questions.length, 2)
    clock.pass(59_999)
    assert.equal(questions.length, 2)
    clock.pass(1)
    assert.equal(questions.length, 3)
  })

  it('whoever joins while it is asked is no part of the question; whoever leaves, of nothing more', async () => {
    const { clock, questions, settled, rechecks, join } = table()
    const first = join('a')
    clock.pass(60_000)
    const second = join('a')
    assert.deepEqual(questions[0]!.recheck.members, [first])
    first.end()
    second.end()
    assert.equal(rechecks.size, 0)
    const third = join('a')
    await questions[0]!.answer({ type: 'refused', end: ENDS.unauthorized })
    assert.equal(settled.length, 1)
    clock.pass(59_999)
    assert.equal(questions.length, 1)
    clock.pass(1)
    assert.deepEqual(questions[1]?.recheck.members, [third])
  })

  it('errors: asked again after 1, 2, 4, 8, 16 seconds, then every 30; after an answer, every minute again', async () => {
    const { questions, join, run } = table()
    join('a')
    await run(60_000 + 1000 + 2000 + 4000 + 8000 + 16_000 + 30_000 + 30_000, ERROR)
    const gaps = questions.slice(1).map(({ at }, n) => at - questions[n]!.at)
    assert.deepEqual(gaps, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000])
    const before = questions.length
    await run(300_000, ACCEPTED)
    const after = questions.slice(before).map(({ at }) => at)
    assert.equal(after[0], 181_000)
    assert.deepEqual(
      after.slice(1).map((at, n) => at - after[n]!),
      [60_000],
    )
  })

  it('the grace: its end is said when it is over, and not long after', async () => {
    const { questions, settled, join, run } = table()
    join('a')
    await run(900_000, ERROR)
    const first = settled[0]!.at
    const last = settled.find(({ isLast }) => isLast)
    assert.ok(last !== undefined && last.at >= first + 600_000 && last.at <= first + 630_000)
    assert.ok(questions.length > 20)
  })

  for (const seconds of [59, 400, 599, 601, 100_000]) {
    it(`Retry-After: ${seconds} does not lengthen the grace by more than half a minute`, async () => {
      const { settled, join, run } = table()
      join('a')
      await run(60_000 + 1_400_000, { type: 'error', retryAfter: seconds * 1000 })
      const first = settled[0]!.at
      const last = settled.find(({ isLast }) => isLast)
      assert.ok(last !== undefined, 'never said')
      assert.ok(last.at >= first + 600_000 && last.at <= first + 630_000, `said after ${(last.at - first) / 1000} s`)
    })
  }

  it('Retry-After is heeded where it is within the grace', async () => {
    const { questions, join, run } = table()
    join('a')
    await run(60_000 + 120_000, { type: 'error', retryAfter: 100_000 })
    assert.deepEqual(
      questions.map(({ at }) => at),
      [60_000, 160_000],
    )
  })

  it('with `keep`, the end is never said', async () => {
    const { settled, join, run } = table({ closeAfterGrace: false, grace: 5000 })
    join('a')
    await run(600_000, ERROR)
    assert.ok(settled.length > 10 && settled.every(({ isLast }) => !isLast))
  })

  it('a grace of nothing: the first error is the last', async () => {
    const { settled, join, run } = table({ grace: 0 })
    join('a')
    await run(60_500, ERROR)
    assert.deepEqual(
      settled.map(({ isLast }) => isLast),
      [true],
    )
  })

  it('a question that is never answered does not keep the other credentials from theirs', async () => {
    const { clock, questions, join, run } = table({ concurrency: 2 })
    join('hangs')
    clock.pass(60_000)
    join('b')
    for (let n = 0; n < 3; n++) {
      clock.pass(60_000)
      await questions.at(-1)!.answer(ACCEPTED)
    }
    assert.deepEqual(
      questions.map(({ recheck }) => recheck.facts.key),
      ['hangs', 'b', 'b', 'b'],
    )
    await run(0, ACCEPTED)
  })

  it('stopped, it asks nothing any more and keeps no timer', async () => {
    const { clock, rechecks, questions, join } = table({ concurrency: 1 })
    join('a')
    join('b')
    clock.pass(60_000)
    assert.equal(questions.length, 1)
    rechecks.stop()
    await questions[0]!.answer(ACCEPTED)
    clock.pass(600_000)
    assert.deepEqual([questions.length, clock.timers], [1, 0])
  })
})
