import assert from 'node:assert/strict'
import { describe, it, test } from 'node:test'
import fc from 'fast-check'
import { itemsOf, sizeOf, withItem, withoutItem, type Bag } from '../../../src/connections/bag.ts'
import { IndexBy } from '../../../src/connections/index-by.ts'
import { ByNumber } from '../../../src/connections/numbered.ts'

interface Member {
  readonly number: number
}

const members: readonly Member[] = Array.from({ length: 6 }, (_, number) => ({ number }))

test('IndexBy is a map of sets, whatever is added and taken out how often', () => {
  const step = fc.record({ add: fc.boolean(), key: fc.constantFrom('a', 'b', '__proto__'), member: fc.nat(5) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const index = new IndexBy<Member>()
      const expected = new Map<string, Set<Member>>()
      for (const { add, key, member } of steps) {
        const one = members[member]!
        const set = expected.get(key) ?? new Set()
        if (add) {
          index.add(key, one)
          expected.set(key, set.add(one))
        } else {
          index.delete(key, one)
          set.delete(one)
          if (set.size === 0) expected.delete(key)
        }
        for (const name of ['a', 'b', '__proto__', 'never']) {
          const want = [...(expected.get(name) ?? [])]
          assert.deepEqual([...index.get(name)], want)
          assert.equal(index.get(name).size, want.length)
          assert.equal(index.count(name), want.length)
        }
        assert.equal(index.size, expected.size)
      }
    }),
  )
})

test('a bag of one is the thing itself, and the empty one nothing', () => {
  const [a, b] = [{ number: 1 }, { number: 2 }]
  let bag: Bag<Member> | undefined = withItem(undefined, a)
  assert.equal(bag, a)
  assert.equal(withItem(bag, a), a)
  assert.equal(withoutItem(bag, b), a)
  bag = withItem(bag, b)
  assert.deepEqual([...itemsOf(bag)], [a, b])
  assert.equal(sizeOf(bag), 2)
  bag = withoutItem(bag, a)
  assert.deepEqual([...itemsOf(bag)], [b])
  assert.equal(withoutItem(bag, b), undefined)
  assert.equal(sizeOf(undefined), 0)
})

describe('ByNumber', () => {
  it('is a map in the order of numbers, however they come and go', () => {
    const step = fc.record({ add: fc.boolean(), number: fc.integer({ min: 1, max: 400 }) })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 600, size: 'max' }), (steps) => {
        const list = new ByNumber<Member>()
        const expected = new Map<number, Member>()
        const used = new Set<number>()
        for (const { add, number } of steps) {
          if (add) {
            if (used.has(number)) continue // numbers are given once
            used.add(number)
            const member = { number }
            list.add(member)
            expected.set(number, member)
          } else {
            assert.equal(list.delete({ number }), expected.delete(number))
          }
          assert.equal(list.size, expected.size)
          assert.equal(list.get(number), expected.get(number))
        }
        assert.deepEqual(
          [...list.values()],
          [...expected.values()].toSorted((a, b) => a.number - b.number),
        )
      }),
      { numRuns: 60 },
    )
  })

  it('whoever goes through it may take out what it likes: each that stays is met once, in order', () => {
    const list = new ByNumber<Member>()
    for (let number = 1; number <= 1000; number++) list.add({ number })
    const met: number[] = []
    for (const member of list.values()) {
      met.push(member.number)
      if (member.number % 10 !== 0) list.delete(member)
      list.delete({ number: member.number % 10 === 0 ? 0 : member.number - 5 })
    }
    assert.deepEqual(
      met,
      Array.from({ length: 1000 }, (_, n) => n + 1),
    )
    assert.deepEqual(
      [...list.values()].filter(({ number }) => number % 10 !== 0),
      [],
    )
    assert.equal(list.size, [...list.values()].length)
  })

  it('nothing is found under what is no number', () => {
    const list = new ByNumber<Member>()
    list.add({ number: 1 })
    for (const number of [NaN, 0, -1, 2, 0.5, Infinity]) assert.equal(list.get(number), undefined)
    assert.equal(list.delete({ number: NaN }), false)
  })
})
