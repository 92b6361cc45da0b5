import assert from 'node:assert/strict'
import { createServer, type IncomingMessage } from 'node:http'
import { describe, it } from 'node:test'
import { createGate, type Gate, type IdentityInput } from '../../src/index.ts'
import { HeldClock } from '../unit/credentials/helpers.ts'
import { dialWire, postWire, quiet } from './races-wire.ts'

// Time that is known must hold, whatever others do; and what is asked or kept has a bound.

const SECOND = 1000
const MINUTE = 60 * SECOND
const START = Date.UTC(2026, 10, 23)

async function closeGate(gate: Pick<Gate, 'close'>, clock: HeldClock): Promise<void> {
  const closed = gate.close()
  await quiet()
  clock.pass(2000)
  await closed
}

async function live(clock: HeldClock, ms: number, step = 10 * SECOND): Promise<void> {
  for (let left = ms; left > 0; left -= step) {
    clock.pass(step)
    await quiet()
  }
}

describe('an outage with onError.then "keep"', () => {
  it('an app that is away for an hour is asked no more often than at its beginning', async () => {
    const clock = new HeldClock()
    let isAway = false
    const gate = createGate({
      clock,
      // oxlint-disable-next-line unicorn/no-thenable -- the option is called so
      recheck: { every: '60s', jitter: 0, onError: { after: '10m', then: 'keep' } },
      identify: () => ({ subject: 'ann' }),
    })
    const endpoint = gate.websocket(() => undefined)
    let asked = 0
    const server = createServer((req, res) => {
      if (!isAway) return endpoint(req, res)
      asked++
      res.statusCode = 503
      res.setHeader('Retry-After', '300')
      return res.end()
    })
    gate.attach(server)
    const ann = dialWire(server, '/', { 'X-Api-Key': 'of-ann' })
    await quiet()
    isAway = true
    await live(clock, 30 * MINUTE, SECOND)
    asked = 0
    await live(clock, 10 * MINUTE, SECOND)
    assert.ok(asked <= 20, `It was asked ${asked} times in 10 minutes.`)
    assert.equal(ann.closed, undefined)
    await closeGate(gate, clock)
  })
})

describe('an expiry, while others keep the app', () => {
  it('of a key: who waits to be asked about is not let off', async () => {
    const clock = new HeldClock()
    const gate = createGate({
      clock,
      recheck: { every: '1h', jitter: 0, concurrency: 1 },
      identify: ({ headers }: IncomingMessage): IdentityInput => {
        const isSlow = String(headers['x-api-key']).startsWith('slow')
        return { subject: 'ann', expiresAt: new Date(START + MINUTE + (isSlow ? 0 : SECOND)) }
      },
    })
    const endpoint = gate.websocket(() => undefined)
    const server = createServer((req, res) => {
      if (gate.phase(req) !== 'recheck' || !String(req.headers['x-api-key']).startsWith('slow'))
        return endpoint(req, res)
      return undefined // asks somebody who does not answer
    })
    gate.attach(server)
    for (let n = 0; n < 60; n++) dialWire(server, '/', { 'X-Api-Key': `slow${n}` })
    await quiet()
    const ann = dialWire(server, '/', { 'X-Api-Key': 'of-ann' })
    await quiet()
    await live(clock, 5 * MINUTE)
    assert.deepEqual(ann.closed, { code: 4401, reason: 'expired' })
    await closeGate(gate, clock)
  })
})

describe('what a connection lived by', () => {
  it('is not remembered without bound, by a client that renews with a new token each time', async () => {
    const clock = new HeldClock()
    let n = 0
    const gate = createGate({ clock, recheck: false, identify: () => ({ subject: 'ann', credential: `jti-${n++}` }) })
    const [endpoint, renew] = [gate.websocket(() => undefined), gate.renew()]
    const server = createServer((req, res) => (req.url === '/renew' ? renew(req, res) : endpoint(req, res)))
    gate.attach(server)
    dialWire(server, '/', { 'X-Api-Key': 'k' })
    await quiet()
    const [connection] = [...gate.connections]
    const headers = { 'X-Api-Key': 'k', 'Gate101-Connection': connection!.token }
    for (let minute = 0; minute < 30; minute++) {
      for (let m = 0; m < 10; m++) await postWire(server, '/renew', headers)
      clock.pass(MINUTE)
    }
    const { former } = connection as unknown as { former: readonly unknown[] }
    assert.ok(former.length <= 100, `It remembers ${former.length}.`)
    await closeGate(gate, clock)
  })
})
