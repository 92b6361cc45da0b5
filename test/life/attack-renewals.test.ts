import assert from 'node:assert/strict'
import { createServer, type IncomingMessage } from 'node:http'
import { describe, it } from 'node:test'
import { createGate, type Gate, type GateOptions, type IdentityInput } from '../../src/index.ts'
import { HeldClock } from '../unit/credentials/helpers.ts'
import { dialWire, postWire, quiet } from './races-wire.ts'
import { makeWorld, type World } from './races-world.ts'

// A renewal gives time to who would be let in again, and to nobody else; and costs the server no more than it should.

const SECOND = 1000
const MINUTE = 60 * SECOND
const START = Date.UTC(2026, 10, 23)
const FREE = { at: async (): Promise<void> => undefined }

async function closeGate(gate: Pick<Gate, 'close'>, clock: HeldClock): Promise<void> {
  const closed = gate.close()
  await quiet()
  clock.pass(2000)
  await closed
}

function worldOf(login: Partial<IdentityInput> = {}, options: Partial<GateOptions<IncomingMessage>> = {}): World {
  return makeWorld(FREE, new Map([['a', { subject: 'ann', session: 'a', ...login }]]), options)
}

describe('somebody who is not let in at the endpoint any more, and may still log in', () => {
  it('is out at the next re-check, however often the connection is renewed', async () => {
    const clock = new HeldClock()
    const members = new Set(['ann'])
    const gate = createGate({
      clock,
      recheck: { every: '60s', jitter: 0 },
      identify: () => ({ subject: 'ann', session: 'a' }),
    })
    const room = gate.websocket(() => undefined)
    const renew = gate.renew()
    const server = createServer((req, res) => {
      if (req.url === '/live/renew') return renew(req, res) // behind the login alone, as in the guide
      if (members.has('ann')) return room(req, res)
      res.statusCode = 403
      res.end()
    })
    gate.attach(server)
    const headers = { Cookie: 'sid=a', Origin: 'http://localhost' }
    const ann = dialWire(server, '/live', headers)
    await quiet()
    members.delete('ann')
    for (let n = 0; n < 20 && ann.closed === undefined; n++) {
      clock.pass(30 * SECOND)
      await quiet()
      if (ann.closed === undefined) await postWire(server, '/live/renew', headers)
      await quiet()
    }
    assert.deepEqual(ann.closed, { code: 4403, reason: 'forbidden' })
    await closeGate(gate, clock)
  })
})

describe("a token's own exp, which the app does not say", () => {
  const token = ['e30', { exp: START / 1000 + 300 }, 'c2ln']
    .map((part) => (typeof part === 'string' ? part : Buffer.from(JSON.stringify(part)).toString('base64url')))
    .join('.')

  for (const [name, check] of [
    ['the door is asked', undefined],
    ['a check is asked', () => true],
  ] as const) {
    it(`holds where a connection that came with a password is renewed by it: ${name}`, async () => {
      const clock = new HeldClock()
      const gate = createGate({
        clock,
        recheck: { every: '60s', jitter: 0, ...(check === undefined ? {} : { check }) },
        identify: () => ({ subject: 'ann' }),
      })
      const [endpoint, renew] = [gate.websocket(() => undefined), gate.renew()]
      const server = createServer((req, res) => (req.url === '/renew' ? renew(req, res) : endpoint(req, res)))
      gate.attach(server)
      const basic = `Basic ${Buffer.from('ann:correct horse').toString('base64')}`
      const ann = dialWire(server, '/', { Authorization: basic })
      await quiet()
      const [connection] = [...gate.connections]
      const headers = { Authorization: `Bearer ${token}`, 'Gate101-Connection': connection!.token }
      assert.equal((await postWire(server, '/renew', headers)).status, 200)
      for (let n = 0; n < 6; n++) {
        clock.pass(MINUTE)
        await quiet()
      }
      assert.deepEqual(ann.closed, { code: 4401, reason: 'expired' })
      await closeGate(gate, clock)
    })
  }
})

describe('a flood', () => {
  it('of auth messages that are refused counts as one that is not', async () => {
    const world = worldOf()
    const ann = world.dial('/wait', 'a')
    await quiet()
    ann.ws.send('hello')
    await quiet()
    for (let n = 0; n < 30 && ann.closed === undefined; n++) {
      ann.ws.send(JSON.stringify({ type: 'auth', token: `guess${n}` }))
      await quiet()
    }
    assert.deepEqual(ann.closed, { code: 4429, reason: 'too_many_renewals' })
    await world.dispose()
  })

  it('of spaces in the list of tokens is read in no time', async () => {
    const world = worldOf()
    await world.renew('a', 'warm , up')
    let least = Infinity
    // The best of some: a machine with much else to do is slow now and then.
    for (let n = 0; n < 10; n++) {
      const began = performance.now()
      const { status } = await world.renew('a', `x${' '.repeat(15_000)}y`)
      least = Math.min(least, performance.now() - began)
      assert.equal(status, 404)
    }
    assert.ok(least < 100, `It took ${least.toFixed()} ms.`)
    await world.dispose()
  })

  it('of one token counts as the one connection that it is', async () => {
    const world = worldOf()
    world.dial('/ws', 'a')
    await quiet()
    const [connection] = [...world.gate.connections]
    const many = await world.renew('a', Array.from({ length: 12 }, () => connection!.token).join(', '))
    assert.deepEqual([many.status, many.body['renewed']], [200, 1])
    assert.equal((await world.renew('a')).status, 200)
    await world.dispose()
  })

  it('of connections of one session lets others have their turn', async () => {
    const world = worldOf({}, { limits: { handshakes: 5000, handshakesPerAddress: 5000 } })
    for (let n = 0; n < 1500; n++) world.dial(`/ws?${n}`, 'a')
    await quiet()
    assert.equal(world.gate.connections.size, 1500)
    let turn = 0
    let isOver = false
    const next = (): void => {
      turn++
      if (!isOver) setImmediate(next)
    }
    next()
    const turns = new Set<number>()
    world.gate.on('renewed', () => turns.add(turn))
    const { body } = await world.renew('a')
    isOver = true
    assert.equal(body['renewed'], 1500)
    assert.ok(turns.size > 1, 'All were renewed in one turn.')
    await world.dispose()
  })
})
