import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createDeadlines, type Timed } from '../../../src/connections/deadlines.ts'
import { HeldClock } from '../credentials/helpers.ts'
import { TwoClocks } from './helpers.ts'

class Item implements Timed {
  slot = -1
  readonly name: number
  constructor(name: number) {
    this.name = name
  }
}

const HOUR = 3_600_000

type Step =
  | { readonly do: 'set'; readonly item: number; readonly in: number }
  | { readonly do: 'delete'; readonly item: number }
  | { readonly do: 'pass'; readonly ms: number }

const ITEMS = 24
const steps = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constant('set' as const),
        item: fc.nat(ITEMS - 1),
        in: fc.integer({ min: -500, max: 40_000 }),
      }),
    },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('delete' as const), item: fc.nat(ITEMS - 1) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.integer({ min: 0, max: 25_000 }) }) },
  ),
  { maxLength: 120 },
)

test('whatever is set, moved and taken out: each is called once, in order, and not before its time', () => {
  fc.assert(
    fc.property(steps, (todo: readonly Step[]) => {
      const clock = new HeldClock()
      const items = Array.from({ length: ITEMS }, (_, name) => new Item(name))
      const expected = new Map<Item, number>()
      let seen: Array<readonly [number, number]> = []
      const deadlines = createDeadlines<Item>(clock, (item, now) => {
        const dueAt = expected.get(item)
        assert.ok(dueAt !== undefined, 'called, and was not in')
        assert.ok(dueAt <= now, `called ${dueAt - now} ms early`)
        assert.equal(now, clock.now())
        assert.equal(item.slot, -1, 'still in while it is called')
        expected.delete(item)
        seen.push([dueAt, item.name])
      })
      for (const step of todo) {
        if (step.do === 'set') {
          const item = items[step.item]!
          expected.set(item, clock.now() + step.in)
          deadlines.set(item, clock.now() + step.in)
        } else if (step.do === 'delete') {
          expected.delete(items[step.item]!)
          deadlines.delete(items[step.item]!)
        } else {
          const until = clock.now() + step.ms
          const due = [...expected.values()].filter((at) => at <= until).toSorted((a, b) => a - b)
          clock.pass(step.ms)
          assert.deepEqual(
            seen.map(([at]) => at),
            due,
          )
          seen = []
        }
        assert.equal(deadlines.size, expected.size)
        assert.equal(clock.timers, expected.size === 0 ? 0 : 1)
        const slots = items.filter(({ slot }) => slot >= 0).map(({ slot }) => slot)
        assert.deepEqual(
          slots.toSorted((a, b) => a - b),
          [...slots.keys()],
        )
      }
    }),
    { numRuns: 300 },
  )
})

test('what is due in more than 2^31 ms is not due at once: no timer is longer than ten seconds', () => {
  const clock = new TwoClocks()
  const due: number[] = []
  const deadlines = createDeadlines<Item>(clock, (_item, now) => due.push(now))
  const dueAt = clock.now() + 2 ** 31 + 5000
  deadlines.set(new Item(0), dueAt)
  clock.run(2 ** 31 + 4999)
  assert.deepEqual(due, [])
  clock.run(1)
  assert.deepEqual(due, [dueAt])
  assert.ok(
    clock.asked.every((ms) => ms >= 0 && ms <= 10_000),
    'a timer was longer',
  )
})

for (const [what, jump] of [
  ['the wall clock is set an hour forward', HOUR],
  ['the machine sleeps for a day', 24 * HOUR],
] as const) {
  test(`${what}: what is over by then is seen within ten seconds`, () => {
    const clock = new TwoClocks()
    const due: number[] = []
    const deadlines = createDeadlines<Item>(clock, ({ name }) => due.push(name))
    deadlines.set(new Item(1), clock.now() + jump / 2)
    deadlines.set(new Item(2), clock.now() + 2 * jump)
    clock.run(3000)
    clock.jump(jump)
    clock.run(10_000)
    assert.deepEqual(due, [1])
    assert.equal(clock.timers, 1)
  })
}

test('the wall clock is set an hour back: nothing ends early, and what is set then is on time', () => {
  const clock = new TwoClocks()
  const due: Array<readonly [number, number]> = []
  const deadlines = createDeadlines<Item>(clock, ({ name }, now) => due.push([name, now]))
  const first = clock.now() + 20_000
  deadlines.set(new Item(1), first)
  clock.run(15_000)
  clock.jump(-HOUR)
  const second = clock.now() + 2000
  deadlines.set(new Item(2), second)
  clock.run(2000)
  assert.deepEqual(due, [[2, second]])
  clock.run(HOUR + 2999)
  assert.equal(due.length, 1)
  clock.run(10_001)
  assert.equal(due.length, 2)
  assert.ok(due[1]![1] >= first && due[1]![1] <= first + 10_000)
})

test('after a jump forward a new item is at most ten seconds late', () => {
  const clock = new TwoClocks()
  const due: number[] = []
  const deadlines = createDeadlines<Item>(clock, ({ name }, now) => due.push(now - name))
  deadlines.set(new Item(0), clock.now() + 12 * HOUR)
  clock.jump(HOUR)
  const dueAt = clock.now() + 1000
  deadlines.set(new Item(dueAt), dueAt)
  clock.run(10_000)
  assert.equal(due.length, 1)
  assert.ok(due[0]! >= 0 && due[0]! <= 9000)
})

test('100,000 items have one timer; all due at once, they are called in slices and in order', () => {
  const clock = new HeldClock()
  const called: number[] = []
  const deadlines = createDeadlines<Item>(clock, ({ name }) => called.push(name))
  const all = Array.from({ length: 100_000 }, (_, name) => new Item(name))
  const start = clock.now() + 60_000
  // A fixed order that is no order at all.
  for (const item of all) deadlines.set(item, start + ((item.name * 7919) % 100_003))
  assert.equal(deadlines.size, 100_000)
  assert.equal(clock.timers, 1)
  deadlines.set(all[0]!, clock.now() + 1)
  assert.equal(clock.timers, 1)
  clock.pass(1)
  assert.deepEqual(called, [0])
  clock.pass(60_000 + 100_003)
  assert.equal(called.length, 100_000)
  const keys = called.slice(1).map((name) => (name * 7919) % 100_003)
  assert.deepEqual(
    keys,
    keys.toSorted((a, b) => a - b),
  )
  assert.equal(clock.timers, 0)
})

test('a herd that is due at once lets others in between', () => {
  const clock = new TwoClocks()
  let calls = 0
  const burn = (): void => {
    calls++
    for (const began = performance.now(); performance.now() - began < 0.5;);
  }
  const deadlines = createDeadlines<Item>(clock, burn)
  for (let n = 0; n < 60; n++) deadlines.set(new Item(n), clock.now() + 1000)
  const timersBefore = clock.asked.length
  clock.run(1000)
  assert.equal(calls, 60)
  assert.ok(clock.asked.length - timersBefore >= 3, 'all in one turn')
})

test('all taken out, no timer is left; stopped, none comes back', () => {
  const clock = new HeldClock()
  let calls = 0
  const deadlines = createDeadlines<Item>(clock, () => void calls++)
  const all = Array.from({ length: 100 }, (_, name) => new Item(name))
  for (const item of all) deadlines.set(item, clock.now() + 5000)
  for (const item of all) deadlines.delete(item)
  for (const item of all) deadlines.delete(item)
  assert.deepEqual([deadlines.size, clock.timers], [0, 0])
  for (const item of all) deadlines.set(item, clock.now() + 5000)
  deadlines.stop()
  deadlines.set(new Item(1), clock.now() + 1)
  assert.equal(clock.timers, 0)
  clock.pass(60_000)
  assert.equal(calls, 0)
})

test('a callback may set itself again, take others out, and throw: the others are called all the same', () => {
  const clock = new HeldClock()
  const called: string[] = []
  const [a, b, c, d] = [new Item(0), new Item(1), new Item(2), new Item(3)]
  const deadlines = createDeadlines<Item>(clock, (item, now) => {
    called.push(`${item.name}@${now - start}`)
    if (item === a && called.length < 3) deadlines.set(a, now + 10)
    if (item === b) deadlines.delete(c)
    if (item === b) throw new Error('a mistake')
  })
  const start = clock.now()
  deadlines.set(a, start + 1)
  deadlines.set(b, start + 5)
  deadlines.set(c, start + 6)
  deadlines.set(d, start + 7)
  assert.throws(() => clock.pass(20), /a mistake/)
  clock.pass(20)
  assert.deepEqual(called, ['0@1', '1@5', '3@7', '0@11'])
})

test('steady: what is due after a while stays so, although the wall clock is set back', () => {
  const clock = new TwoClocks()
  const due: number[] = []
  const deadlines = createDeadlines<Item>(clock, ({ name }) => due.push(name), { isSteady: true })
  deadlines.set(new Item(1), clock.now() + 60_000)
  clock.run(20_000)
  clock.jump(-HOUR)
  clock.run(39_999)
  assert.deepEqual(due, [])
  clock.run(10_001)
  assert.deepEqual(due, [1])
})

test('steady: what is set after the wall clock was set back is not called early', () => {
  const clock = new TwoClocks()
  const due: number[] = []
  const deadlines = createDeadlines<Item>(clock, ({ name }) => due.push(name), { isSteady: true })
  deadlines.set(new Item(1), clock.now() + 60_000)
  clock.run(1000)
  clock.jump(-HOUR)
  deadlines.set(new Item(2), clock.now() + 30_000)
  clock.run(29_999)
  assert.deepEqual(due, [])
  clock.run(10_001)
  assert.deepEqual(due, [2])
  clock.run(20_000 + 10_000)
  assert.deepEqual(due, [2, 1])
})
