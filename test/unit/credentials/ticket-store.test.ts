import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TicketRecord } from '../../../src/core/ticket-store.ts'
import { memoryTicketStore } from '../../../src/credentials/ticket-store.ts'
import { HeldClock } from './helpers.ts'

const record = (id: string, change: Partial<TicketRecord> = {}): TicketRecord => ({
  id,
  owner: 'alice',
  data: Buffer.from(id),
  lifetime: 1000,
  limit: 3,
  ...change,
})

test('a record is taken once', async () => {
  const store = memoryTicketStore(new HeldClock())
  assert.equal(await store.add(record('a')), true)
  assert.equal(Buffer.from((await store.take('a')) ?? []).toString(), 'a')
  assert.equal(await store.take('a'), undefined)
  assert.equal(await store.take('b'), undefined)
})

test('a record is gone when its lifetime has passed', async () => {
  const clock = new HeldClock()
  const store = memoryTicketStore(clock)
  await store.add(record('a'))
  await store.add(record('b'))
  clock.pass(999)
  assert.notEqual(await store.take('a'), undefined)
  clock.pass(1)
  assert.equal(await store.take('b'), undefined)
})

test('an owner has so many outstanding, and no other owner is hindered', async () => {
  const store = memoryTicketStore(new HeldClock())
  for (const id of ['a', 'b', 'c']) assert.equal(await store.add(record(id)), true)
  assert.equal(await store.add(record('d')), false)
  assert.equal(await store.take('d'), undefined)
  assert.equal(await store.add(record('e', { owner: 'bob' })), true)
  await store.take('a')
  assert.equal(await store.add(record('f')), true)
  assert.equal(await store.add(record('g')), false)
})

test('what has expired does not count, however long others live', async () => {
  const clock = new HeldClock()
  const store = memoryTicketStore(clock)
  await store.add(record('long', { owner: 'bob', lifetime: 30_000 }))
  for (const id of ['a', 'b', 'c']) await store.add(record(id))
  clock.pass(1000)
  assert.equal(await store.add(record('d')), true)
  assert.notEqual(await store.take('long'), undefined)
})

test('an id is never overwritten', async () => {
  const store = memoryTicketStore(new HeldClock())
  await store.add(record('a'))
  await assert.rejects(store.add(record('a', { owner: 'mallory', data: Buffer.from('x') })))
  assert.equal(Buffer.from((await store.take('a')) ?? []).toString(), 'a')
})

test('the store is bounded as a whole, and takes again when something has expired', async () => {
  const clock = new HeldClock()
  const store = memoryTicketStore(clock, 100)
  for (let n = 0; n < 100; n++) await store.add(record(`${n}`, { owner: `${n}` }))
  await assert.rejects(store.add(record('more', { owner: 'more' })), /100 tickets/)
  clock.pass(1000)
  assert.equal(await store.add(record('more', { owner: 'more' })), true)
})

test('one timer sweeps for all, and none is left when nothing is kept', async () => {
  const clock = new HeldClock()
  const store = memoryTicketStore(clock)
  for (let n = 0; n < 50; n++) {
    await store.add(record(`${n}`, { owner: `${n}` }))
    clock.pass(10)
    assert.ok(clock.timers <= 1)
  }
  clock.pass(2000)
  assert.equal(clock.timers, 0)
  for (let n = 0; n < 50; n++) assert.equal(await store.take(`${n}`), undefined)
})

test('a timer that is late prolongs nothing and fills nothing', async () => {
  class LateClock extends HeldClock {
    override after(): () => void {
      return () => undefined
    }
  }
  const clock = new LateClock()
  const store = memoryTicketStore(clock, 2)
  await store.add(record('a'))
  await store.add(record('b'))
  clock.pass(1000)
  assert.equal(await store.take('a'), undefined)
  assert.equal(await store.add(record('c', { owner: 'bob' })), true)
  assert.equal(await store.add(record('d', { owner: 'carol' })), true)
})
