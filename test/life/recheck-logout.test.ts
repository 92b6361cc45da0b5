import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { createGate } from '../../src/index.ts'
import { trapFaults } from '../support/trap.ts'
import { HONO, honoStack } from './recheck-hono.ts'
import { NEST } from './recheck-nest.ts'
import { MINUTE, start, turns, type Opened, type SessionStack, type Site } from './recheck-world.ts'
import { EXPRESS, FASTIFY, KOA } from './session-apps.ts'

const trap = trapFaults()
after(async () => await trap.assertNone())

const STACKS = [...EXPRESS, ...KOA, ...FASTIFY, ...HONO, ...NEST].filter(({ keeps }) => keeps === 'store')
/** Those whose store waits where a test wants it to. */
const HELD = STACKS.filter(({ name }) => !name.includes('MemoryStore'))

const REVOKED = { code: 4401, reason: 'revoked' }

interface LoggedIn {
  readonly cookie: string
  readonly opened: Opened
  readonly session: string
}

async function loggedIn(site: Site, name = 'alice'): Promise<LoggedIn> {
  const cookie = await site.login(name)
  const opened = await site.openBy(cookie)
  return { cookie, opened, session: opened.connection.identity.session ?? '' }
}

const asked = ({ events }: Site): ReadonlyArray<readonly [string, string, number]> =>
  events.flatMap((event) =>
    event.type === 'rechecked' ? [[event.why, event.outcome, event.connections] as const] : [],
  )

const isOpen = ({ ws }: Opened): boolean => ws.readyState === ws.OPEN

/** Every await of the app in one re-check. */
async function awaitsOf(stack: SessionStack): Promise<string[]> {
  await using site = await start(stack)
  await loggedIn(site)
  const before = site.points.passed.length
  await site.recheck()
  return site.points.passed.slice(before)
}

/** Logs out while a re-check waits there. */
async function loggedOutAt(site: Site, label: string): Promise<LoggedIn> {
  const login = await loggedIn(site)
  const held = site.points.hold(label)
  const rechecked = site.nextRecheck()
  site.clock.pass(MINUTE)
  const go = await held
  assert.equal((await site.ask('POST', '/logout', login.cookie)).status, 200)
  assert.equal(site.rows.rows.has(login.session), false)
  go()
  await rechecked
  return login
}

describe('a logout while a re-check is under way stays one', () => {
  for (const stack of HELD) {
    for (const watched of [false, true]) {
      test(`${stack.name}${watched ? ', sessionStore' : ''}: at every await of the app`, async (t) => {
        const labels = new Set(await awaitsOf(stack))
        assert.ok(
          labels.has('store: before get') && labels.has('guard: after the user is read') && labels.has('identify'),
        )
        for (const label of labels) {
          await t.test(label, async () => {
            await using site = await start(stack, { watched })
            const { opened, session, cookie } = await loggedOutAt(site, label)
            if (!watched) site.clock.pass(MINUTE)
            const { code } = await opened.closed
            assert.equal(code, 4401)
            assert.equal(site.rows.rows.has(session), false, 'the session is back')
            assert.equal((await site.ask('GET', '/page', cookie)).status, 401)
          })
        }
      })

      for (const label of ['store: before destroy', 'store: after destroy']) {
        test(`${stack.name}${watched ? ', sessionStore' : ''}: a whole re-check while the logout waits, ${label}`, async () => {
          await using site = await start(stack, { watched })
          const { cookie, opened, session } = await loggedIn(site)
          const held = site.points.hold(label)
          const logout = site.ask('POST', '/logout', cookie)
          const go = await held
          await site.recheck()
          go()
          assert.equal((await logout).status, 200)
          if (!watched) site.clock.pass(MINUTE)
          assert.equal((await opened.closed).code, 4401)
          assert.equal(site.rows.rows.has(session), false)
        })
      }
    }
  }
})

/** They save at the end of any answer, also of one that the app refuses with, before the response knows of it. */
const SAVE_BEFORE_THE_END = ['koa-session, rolling', '@fastify/session, rolling', 'NestJS, @fastify/session']

const savesBeforeTheEnd = ({ name }: SessionStack): boolean => SAVE_BEFORE_THE_END.includes(name)

/** LIMIT, not a pass: these are run, and say what happens. */
const LIMIT = {
  todo: 'LIMIT: what the session middleware writes before the response ends is written, unless it looks at gate.phase()',
}
const none = {}

for (const watched of [true, false]) {
  const how = watched ? 'sessionStore' : 'no sessionStore'

  describe(`a re-check that the app refuses writes nothing either, ${how}`, () => {
    for (const stack of HELD) {
      for (const status of [403, 429, 503]) {
        const limit = savesBeforeTheEnd(stack) && !watched ? LIMIT : none
        test(`${stack.name}: a logout while it is about to answer ${status} stays one`, limit, async () => {
          await using site = await start(stack, { watched })
          const login = await loggedIn(site)
          site.people.statuses.set('alice', status)
          const held = site.points.hold('guard: after the user is read')
          const rechecked = site.nextRecheck()
          site.clock.pass(MINUTE)
          const go = await held
          site.people.statuses.delete('alice')
          await site.ask('POST', '/logout', login.cookie)
          assert.equal(site.rows.rows.has(login.session), false)
          go()
          await rechecked
          await assertLoggedOut(site, login)
        })
      }
    }

    for (const stack of HELD) {
      const limit = savesBeforeTheEnd(stack) ? LIMIT : none
      test(`${stack.name}: no session is kept alive by re-checks that get 503`, limit, async () => {
        await using site = await start(stack, { watched })
        const { opened } = await loggedIn(site)
        site.people.statuses.set('alice', 503)
        const writes = site.rows.writes.length
        for (const wait of [MINUTE, 1000, 2000, 4000]) assert.equal((await site.recheck(wait)).outcome, 'error')
        await site.ask('GET', '/page', '')
        assert.deepEqual(site.rows.writes.slice(writes), [])
        assert.ok(isOpen(opened))
      })
    }
  })

  describe(`a session middleware of the app that saves after next(), whatever the phase is, ${how}`, () => {
    const stack = honoStack('careless', false)

    test('a re-check saves nothing', LIMIT, async () => {
      await using site = await start(stack, { watched })
      await loggedIn(site)
      const writes = site.rows.writes.length
      await site.recheck()
      assert.deepEqual(site.rows.writes.slice(writes), [])
    })

    // With the store, what was written back is destroyed once more.
    test('a logout while a re-check is under way stays one', watched ? none : LIMIT, async () => {
      await using site = await start(stack, { watched })
      await assertLoggedOut(site, await loggedOutAt(site, 'guard: after the user is read'))
    })
  })

  describe(`a session into which the app writes at each request, ${how}`, () => {
    for (const stack of HELD) {
      test(`${stack.name}: a re-check does not save it`, async () => {
        await using site = await start(stack, { notes: true, watched })
        const { opened } = await loggedIn(site)
        const writes = site.rows.writes.length
        for (let n = 1; n < 4; n++) await site.recheck()
        assert.deepEqual(site.rows.writes.slice(writes), [])
        assert.ok(isOpen(opened))
      })

      test(`${stack.name}: a logout while a re-check is under way stays one`, async () => {
        await using site = await start(stack, { notes: true, watched })
        await assertLoggedOut(site, await loggedOutAt(site, 'guard: after the user is read'))
      })
    }
  })
}

async function assertLoggedOut(site: Site, { session, cookie }: LoggedIn): Promise<void> {
  // What is saved behind an answer is saved by the time that another request has come and gone.
  await site.ask('GET', '/page', '')
  assert.equal(site.rows.rows.has(session), false, 'the session is back')
  assert.equal((await site.ask('GET', '/page', cookie)).status, 401)
}

describe('sessionStore: its sockets end at once, the others stay', () => {
  for (const stack of STACKS) {
    for (const path of ['/logout', '/regenerate']) {
      test(`${stack.name}: ${path}`, async () => {
        await using site = await start(stack, { watched: true })
        const { cookie, opened } = await loggedIn(site)
        const own = [opened, await site.openBy(cookie), await site.openBy(cookie)]
        const others = [await loggedIn(site), await loggedIn(site, 'bob')].map((login) => login.opened)
        assert.equal((await site.ask('POST', path, cookie)).status, 200)
        for (const one of own) assert.deepEqual(await one.closed, REVOKED)
        assert.deepEqual(asked(site)[0], ['session', 'refused', 3])
        assert.ok(
          asked(site).every(([why]) => why === 'session'),
          'somebody else was asked about',
        )
        assert.ok(others.every(isOpen))
        await site.recheck()
        assert.ok(others.every(isOpen))
      })
    }
  }

  for (const stack of HELD) {
    test(`${stack.name}: a destroy that fails ends nobody whose session is still there`, async () => {
      await using site = await start(stack, { watched: true })
      const { cookie, opened } = await loggedIn(site)
      site.rows.failing.add('destroy')
      const rechecked = site.nextRecheck()
      assert.equal((await site.ask('POST', '/logout', cookie)).status, 500)
      const { why, outcome } = await rechecked
      assert.deepEqual([why, outcome], ['session', 'accepted'])
      assert.ok(isOpen(opened))
      site.rows.failing.clear()
      assert.equal((await site.ask('POST', '/logout', cookie)).status, 200)
      assert.deepEqual(await opened.closed, REVOKED)
    })
  }

  test('a connection that cannot be asked about ends with its session', async () => {
    await using site = await start(EXPRESS[2]!, { watched: true, gate: { recheck: false } })
    const { cookie, opened } = await loggedIn(site)
    const other = await loggedIn(site)
    await site.ask('POST', '/logout', cookie)
    assert.deepEqual(await opened.closed, REVOKED)
    assert.ok(isOpen(other.opened))
  })

  test('nor does a destroy that fails, where nobody can be asked', async () => {
    await using site = await start(EXPRESS[2]!, { watched: true, gate: { recheck: false } })
    const { cookie, opened } = await loggedIn(site)
    site.rows.failing.add('destroy')
    assert.equal((await site.ask('POST', '/logout', cookie)).status, 500)
    await site.ask('GET', '/page', cookie)
    assert.ok(isOpen(opened))
  })

  test('three sockets of one session are one question', async () => {
    await using site = await start(EXPRESS[2]!, { watched: true })
    const { cookie } = await loggedIn(site)
    for (let n = 0; n < 2; n++) await site.openBy(cookie)
    site.rows.failing.add('destroy')
    const rechecked = site.nextRecheck()
    await site.ask('POST', '/logout', cookie)
    await rechecked
    await turns()
    assert.deepEqual(asked(site), [['session', 'accepted', 3]])
  })

  test('without sessionStore, a logout is seen at the next re-check', async () => {
    await using site = await start(EXPRESS[2]!)
    const { cookie, opened } = await loggedIn(site)
    await site.ask('POST', '/logout', cookie)
    assert.ok(isOpen(opened))
    site.clock.pass(MINUTE)
    assert.deepEqual(await opened.closed, { code: 4401, reason: 'unauthorized' })
  })
})

describe('the store', () => {
  const identify = (): { subject: string } => ({ subject: 'alice' })

  test('gets its own destroy back when the gate closes', async () => {
    const site = await start(EXPRESS[2]!, { watched: true })
    const store = site.store
    assert.ok(store !== undefined)
    assert.ok(Object.hasOwn(store, 'destroy'))
    await site[Symbol.asyncDispose]()
    assert.equal(Object.hasOwn(store, 'destroy'), false)

    const destroy = (): void => undefined
    const own = { destroy }
    const gate = createGate({ identify, sessionStore: own })
    assert.notEqual(own.destroy, destroy)
    await gate.close()
    assert.equal(own.destroy, destroy)
  })

  test('destroys with the same arguments, this and result as before', async () => {
    const calls: unknown[] = []
    const store = {
      destroy(this: unknown, ...args: unknown[]): string {
        calls.push([this, ...args])
        return 'done'
      },
    }
    const gate = createGate({ identify, sessionStore: store })
    assert.equal((store.destroy as (...args: unknown[]) => unknown)('id', { ctx: 1 }), 'done')
    assert.deepEqual(calls, [[store, 'id', { ctx: 1 }]])
    await gate.close()
  })

  for (const name of ['set', 'touch'] as const) {
    test(`its ${name} works as before where nobody is asked again`, async () => {
      const calls: unknown[] = []
      const store = {
        destroy: () => undefined,
        [name](this: unknown, ...args: unknown[]): string {
          calls.push([this, ...args])
          return 'done'
        },
      }
      const original = store[name]
      const gate = createGate({ identify, sessionStore: store })
      assert.equal(store[name]?.('id', { a: 1 }), 'done')
      assert.deepEqual(calls, [[store, 'id', { a: 1 }]])
      await gate.close()
      assert.equal(store[name], original)
    })
  }

  for (const order of ['first', 'last']) {
    test(`two gates, the one that came ${order} closes first`, async () => {
      const destroy = (): void => undefined
      const store = { destroy }
      const gates = [createGate({ identify, sessionStore: store }), createGate({ identify, sessionStore: store })]
      if (order === 'last') gates.reverse()
      for (const gate of gates) await gate.close()
      assert.equal(store.destroy, destroy)
    })
  }
})
