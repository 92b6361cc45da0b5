import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { trapFaults } from '../support/trap.ts'
import { HONO } from './recheck-hono.ts'
import { NEST } from './recheck-nest.ts'
import { HOUR, IDLE, MINUTE, start, type Opened, type Site } from './recheck-world.ts'
import { EXPRESS, FASTIFY, KOA } from './session-apps.ts'

// The session middlewares as apps use them. What a re-check may never do to a session, and what it must see.

const trap = trapFaults()
after(async () => await trap.assertNone())

const STACKS = [...EXPRESS, ...KOA, ...FASTIFY, ...HONO, ...NEST]
const IN_STORES = STACKS.filter(({ keeps }) => keeps === 'store')
const ONLY_AT_EXPIRY = { gate: { recheck: { every: '24h', jitter: 0 } } } as const

const renewedBy = ({ events }: Site): string[] =>
  events.flatMap((event) => (event.type === 'renewed' ? [event.by] : []))
const askedWhy = ({ events }: Site): string[] =>
  events.flatMap((event) => (event.type === 'rechecked' ? [event.why] : []))

async function loggedIn(site: Site): Promise<{ cookie: string; opened: Opened }> {
  const cookie = await site.login()
  return { cookie, opened: await site.openBy(cookie) }
}

describe('an idle session ends on time, however often it is asked about', () => {
  for (const stack of STACKS) {
    test(stack.name, async () => {
      await using site = await start(stack)
      const { opened } = await loggedIn(site)
      const { expiresAt } = opened.connection
      assert.deepEqual(expiresAt, new Date(site.clock.now() + IDLE))
      const writes = site.rows.writes.length
      const bytes = opened.received()
      for (let n = 1; n < IDLE / MINUTE; n++) {
        const { outcome } = await site.recheck()
        assert.equal(outcome, 'accepted')
      }
      assert.deepEqual(site.rows.writes.slice(writes), [], 'a re-check has written to the store')
      assert.equal(opened.received(), bytes, 'a re-check has sent something')
      assert.deepEqual(opened.connection.expiresAt, expiresAt)
      assert.deepEqual(renewedBy(site), [])
      await new Promise(setImmediate) // the 'close' of the last response
      assert.equal(site.resources.taken, site.resources.released)

      site.clock.pass(MINUTE)
      assert.deepEqual(await opened.closed, { code: 4401, reason: 'expired' })
    })
  }
})

describe('a session that was used over HTTP meanwhile keeps its connections (R6)', () => {
  for (const stack of STACKS.filter(({ moves }) => moves)) {
    test(`${stack.name}: at its old end the app is asked once more`, async () => {
      await using site = await start(stack, ONLY_AT_EXPIRY)
      const { cookie, opened } = await loggedIn(site)
      const before = opened.connection.expiresAt
      site.clock.pass(20 * MINUTE)
      assert.equal((await site.ask('GET', '/page', cookie)).status, 200)
      assert.deepEqual(askedWhy(site), [])

      const { outcome, why } = await site.recheck(10 * MINUTE)
      assert.deepEqual([outcome, why], ['accepted', 'expiry'])
      assert.deepEqual(renewedBy(site), ['recheck'])
      assert.deepEqual(opened.connection.expiresAt, new Date(before!.getTime() + 20 * MINUTE))
      assert.equal(opened.ws.readyState, opened.ws.OPEN)

      site.clock.pass(20 * MINUTE)
      assert.deepEqual(await opened.closed, { code: 4401, reason: 'expired' })
    })
  }

  test('its "renewed" tells the app', async () => {
    await using site = await start(EXPRESS[2]!)
    const { cookie, opened } = await loggedIn(site)
    const told: Array<Date | null | undefined> = []
    opened.connection.on('renewed', ({ expiresAt }) => told.push(expiresAt))
    site.clock.pass(30_000)
    await site.ask('GET', '/page', cookie)
    const until = new Date(site.clock.now() + IDLE)
    await site.recheck(30_000)
    await site.recheck()
    assert.deepEqual(told, [until])
  })

  test('one in a cookie cannot move on behind the back of the connection', async () => {
    const stack = STACKS.find(({ keeps }) => keeps === 'cookie')
    assert.ok(stack !== undefined)
    await using site = await start(stack, ONLY_AT_EXPIRY)
    const { cookie, opened } = await loggedIn(site)
    site.clock.pass(20 * MINUTE)
    assert.equal((await site.ask('GET', '/page', cookie)).status, 200)
    site.clock.pass(10 * MINUTE)
    assert.deepEqual(await opened.closed, { code: 4401, reason: 'expired' })
  })
})

describe('what the app does not let in any more is over at the next re-check, with no line of integration', () => {
  for (const stack of IN_STORES.filter(({ name }) => !name.includes('MemoryStore'))) {
    test(`${stack.name}: the row is deleted in the store`, async () => {
      await using site = await start(stack)
      const { opened } = await loggedIn(site)
      const other = await site.openBy(await site.login('bob'))
      site.rows.rows.delete(opened.connection.identity.session ?? '')
      site.clock.pass(MINUTE)
      assert.deepEqual(await opened.closed, { code: 4401, reason: 'unauthorized' })
      assert.equal(other.ws.readyState, other.ws.OPEN)
    })
  }

  for (const stack of STACKS) {
    for (const [status, code, reason] of [
      [401, 4401, 'unauthorized'],
      [403, 4403, 'forbidden'],
      [302, 4401, 'unauthorized'],
    ] as const) {
      test(`${stack.name}: the guard answers ${status}`, async () => {
        await using site = await start(stack)
        const { opened } = await loggedIn(site)
        const other = await site.openBy(await site.login('bob'))
        site.people.statuses.set('alice', status)
        site.clock.pass(MINUTE)
        assert.deepEqual(await opened.closed, { code, reason })
        assert.equal(other.ws.readyState, other.ws.OPEN)
      })
    }
  }
})

test('`maxAge` is the end, whatever the session does', async () => {
  await using site = await start(EXPRESS[2]!, { gate: { maxAge: '1h', recheck: { every: '24h', jitter: 0 } } })
  const { cookie, opened } = await loggedIn(site)
  for (let n = 1; n < 6; n++) {
    // What it has moved on to is asked for when it was to end: after 30 minutes, and after 50.
    if (n === 3 || n === 5) await site.recheck(10 * MINUTE)
    else site.clock.pass(10 * MINUTE)
    assert.equal((await site.ask('GET', '/page', cookie)).status, 200)
  }
  assert.equal(opened.connection.expiresAt?.getTime(), opened.connection.openedAt.getTime() + HOUR)
  site.clock.pass(10 * MINUTE)
  assert.deepEqual(await opened.closed, { code: 4401, reason: 'max_age' })
})
