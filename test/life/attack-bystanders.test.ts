import assert from 'node:assert/strict'
import { createServer, type IncomingMessage } from 'node:http'
import { describe, it } from 'node:test'
import { createGate, type Gate, type GateOptions, type IdentityInput } from '../../src/index.ts'
import { HeldClock } from '../unit/credentials/helpers.ts'
import { dialWire, postWire, quiet } from './races-wire.ts'
import { makeWorld, type World } from './races-world.ts'

// What happens to one is nobody else's end, and nobody's way around their own.

const SECOND = 1000
const MINUTE = 60 * SECOND
const FREE = { at: async (): Promise<void> => undefined }

async function closeGate(gate: Pick<Gate, 'close'>, clock: HeldClock): Promise<void> {
  const closed = gate.close()
  await quiet()
  clock.pass(2000)
  await closed
}

function worldOf(names: readonly string[], options: Partial<GateOptions<IncomingMessage>>): World {
  return makeWorld(FREE, new Map(names.map((name): [string, IdentityInput] => [name, { subject: name }])), options)
}

describe('one user about whom the app fails, where an error ends at once', () => {
  it('others who wait for their turn are asked about before they are ended', async () => {
    const world = worldOf(['ann', 'bob'], {
      recheck: { every: '60s', jitter: 0, concurrency: 1, onError: { after: 0 } },
    })
    const [ann, bob] = [world.dial('/ws', 'ann'), world.dial('/ws', 'bob')]
    await quiet()
    world.statuses.set('ann', 429) // by a flood of requests: a limiter counts each user
    world.clock.pass(MINUTE)
    await quiet()
    assert.deepEqual(ann.closed, { code: 1013, reason: 'recheck_failed' })
    assert.equal(bob.closed, undefined)
    await world.dispose()
  })

  it('nor does a slow app end them that answers everybody else', async () => {
    const names = Array.from({ length: 40 }, (_, n) => `u${n}`)
    const waits: Array<() => void> = []
    let isSlow = false
    const points = {
      at: async (label: string): Promise<void> => {
        if (isSlow && label === 'recheck: before the login is read') await new Promise<void>((go) => waits.push(go))
      },
    }
    const logins = new Map(names.map((name): [string, IdentityInput] => [name, { subject: name }]))
    const world = makeWorld(points, logins, {
      recheck: { every: '60s', jitter: 0, concurrency: 1, onError: { after: '20s' } },
    })
    const clients = names.map((name) => world.dial('/ws', name))
    await quiet()
    isSlow = true
    world.clock.pass(MINUTE)
    for (let n = 0; n < 40; n++) {
      await quiet()
      world.clock.pass(SECOND) // for each answer
      // A fault of one user's data: whoever it is whose turn this is.
      if (n === 30) for (const name of names) world.statuses.set(name, 500)
      waits.shift()?.()
      await quiet()
      world.statuses.clear()
    }
    await quiet()
    isSlow = false
    for (const go of waits.splice(0)) go()
    await quiet()
    const ended = clients.filter(({ closed }) => closed !== undefined)
    assert.ok(ended.length <= 1, `${ended.length} were ended.`)
    await world.dispose()
  })
})

describe('a renewal while nobody can be asked about the endpoint', () => {
  it('does not begin the grace anew', async () => {
    const clock = new HeldClock()
    let isLimited = false
    const gate = createGate({
      clock,
      recheck: { every: '60s', jitter: 0 },
      identify: () => ({ subject: 'ann', session: 'a' }),
    })
    const [room, renew] = [gate.websocket(() => undefined), gate.renew()]
    const server = createServer((req, res) => {
      if (req.url === '/live/renew') return renew(req, res)
      if (!isLimited) return room(req, res)
      res.statusCode = 429 // who floods this path is not asked whether they are still a member
      res.end()
    })
    gate.attach(server)
    const headers = { Cookie: 'sid=a', Origin: 'http://localhost' }
    const ann = dialWire(server, '/live', headers)
    await quiet()
    isLimited = true
    for (let n = 0; n < 30 && ann.closed === undefined; n++) {
      clock.pass(30 * SECOND)
      await quiet()
      if (ann.closed === undefined) await postWire(server, '/live/renew', headers)
      await quiet()
    }
    assert.deepEqual(ann.closed, { code: 1013, reason: 'recheck_failed' })
    await closeGate(gate, clock)
  })
})

describe('a check that returns the identity that it was given', () => {
  it('gives nobody the claims of another token of the same second', async () => {
    const logins = new Map<string, IdentityInput>([
      ['full', { subject: 'ann', claims: { scope: 'read write' } }],
      ['part', { subject: 'ann', claims: { scope: 'read' } }],
    ])
    const world = makeWorld(FREE, logins, { recheck: { every: '60s', jitter: 0, check: (identity) => identity } })
    for (const name of logins.keys()) {
      world.dial('/ws', name)
      await quiet()
    }
    const [, part] = [...world.gate.connections]
    world.clock.pass(MINUTE)
    await quiet()
    assert.deepEqual(part?.identity.claims, { scope: 'read' })
    await world.dispose()
  })
})

describe('a logout that the gate has seen, while the app hangs', () => {
  it('ends the connection when it is asked about, however long it has waited for that', async () => {
    let isHung = false
    const points = {
      at: async (label: string): Promise<void> => {
        if (isHung && label.startsWith('recheck')) await new Promise(() => undefined)
      },
    }
    const names = Array.from({ length: 6 }, (_, n) => `u${n}`)
    const logins = new Map(names.map((name): [string, IdentityInput] => [name, { subject: name, session: name }]))
    const world = makeWorld(points, logins, { recheck: { every: '60s', jitter: 0, concurrency: 1 } })
    for (const name of names) world.dial('/ws', name)
    await quiet()
    const thief = world.dial('/ws?of=the-thief', 'u5')
    await quiet()
    isHung = true
    // All of them log out; five are asked about before the last one, for ten seconds each.
    for (const name of names) world.store.destroy(name)
    await quiet()
    for (let n = 0; n < 12; n++) {
      world.clock.pass(10 * SECOND)
      await quiet()
    }
    assert.deepEqual(thief.closed, { code: 4401, reason: 'revoked' })
    await world.dispose()
  })
})
