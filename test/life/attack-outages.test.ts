import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { describe, it } from 'node:test'
import { createGate, type IdentityInput } from '../../src/index.ts'
import { HeldClock } from '../unit/credentials/helpers.ts'
import { dialWire, quiet } from './races-wire.ts'
import { makeWorld } from './races-world.ts'

// What holds while somebody cannot be asked: each bound holds for all, and for as long as it says.

const SECOND = 1000
const MINUTE = 60 * SECOND
const START = Date.UTC(2026, 10, 23)

describe('an app that hangs', () => {
  const MANY = 100
  /** A minute until they are asked about, the grace, and the deadlines of the first and the last question. */
  const BOUND = 60 * SECOND + 10 * MINUTE + 20 * SECOND

  it('nobody stays longer than the grace, however many wait to be asked about', async () => {
    const names = Array.from({ length: MANY }, (_, n) => `u${n}`)
    const logins = new Map(names.map((name): [string, IdentityInput] => [name, { subject: name }]))
    let isHung = false
    const points = {
      at: async (label: string): Promise<void> => {
        if (isHung && label.startsWith('recheck')) await new Promise(() => undefined)
      },
    }
    // As sixteen at a time are for 1600 of them.
    const world = makeWorld(points, logins, { recheck: { every: '60s', jitter: 0, concurrency: 1 } })
    for (const name of names) world.dial('/ws', name)
    await quiet()
    assert.equal(world.gate.connections.size, MANY)
    isHung = true
    for (let passed = 0; passed <= BOUND; passed += 10 * SECOND) {
      world.clock.pass(10 * SECOND)
      await quiet()
    }
    assert.equal(world.gate.connections.size, 0)
    isHung = false
    await world.dispose()
  })

  it('nor does a session that has expired meanwhile', async () => {
    const names = Array.from({ length: MANY }, (_, n) => `u${n}`)
    const logins = new Map(
      names.map((name): [string, IdentityInput] => [
        name,
        { subject: name, session: name, expiresAt: new Date(START + 30 * SECOND) },
      ]),
    )
    let isHung = false
    const points = {
      at: async (label: string): Promise<void> => {
        if (isHung && label.startsWith('recheck')) await new Promise(() => undefined)
      },
    }
    const world = makeWorld(points, logins, { recheck: { every: '60s', jitter: 0, concurrency: 1 } })
    for (const name of names) world.dial('/ws', name)
    await quiet()
    isHung = true
    for (let passed = 0; passed <= BOUND; passed += 10 * SECOND) {
      world.clock.pass(10 * SECOND)
      await quiet()
    }
    assert.equal(world.gate.connections.size, 0)
    isHung = false
    await world.dispose()
  })
})

describe('a wall clock that is set back by an hour', () => {
  class SetClock extends HeldClock {
    ahead = 0
    override now(): number {
      return super.now() + this.ahead
    }
  }

  it('does not put re-checks off by an hour', async () => {
    const clock = new SetClock()
    const world = makeWorld({ at: async () => undefined }, new Map([['a', { subject: 'ann' }]]), { clock })
    const ann = world.dial('/ws', 'a')
    await quiet()
    clock.pass(SECOND)
    clock.ahead = -60 * MINUTE
    world.logins.delete('a')
    for (let n = 0; n < 18; n++) {
      clock.pass(10 * SECOND)
      await quiet()
    }
    assert.deepEqual(ann.closed, { code: 4401, reason: 'unauthorized' })
    const closed = world.gate.close()
    await quiet()
    clock.pass(2000)
    await closed
  })
})

describe('a logout that the gate has seen, while the app answers 429', () => {
  it('ends the connection: who has stolen a session could else keep it by a flood', async () => {
    const clock = new HeldClock()
    const sessions = new Set(['a'])
    let isLimited = false
    const store = {
      destroy(id: string, done: () => void): void {
        sessions.delete(id)
        done()
      },
    }
    const gate = createGate({
      clock,
      sessionStore: store,
      recheck: { every: '60s', jitter: 0 },
      identify: () => ({ subject: 'ann', session: 'a' }),
    })
    const endpoint = gate.websocket(() => undefined)
    const server = createServer((_req, res) => {
      res.statusCode = isLimited ? 429 : 401 // the rate limiter stands in front of the sessions
      if (!isLimited && sessions.has('a')) return endpoint(_req, res)
      res.end()
    })
    gate.attach(server)
    const thief = dialWire(server, '/', { Cookie: 'sid=a', Origin: 'http://localhost' })
    await quiet()
    assert.equal(thief.status, 101)
    isLimited = true
    store.destroy('a', () => undefined)
    await quiet()
    for (let n = 0; n < 6; n++) {
      clock.pass(10 * SECOND)
      await quiet()
    }
    assert.deepEqual(thief.closed, { code: 4401, reason: 'revoked' })
    const closed = gate.close()
    await quiet()
    clock.pass(2000)
    await closed
  })
})
