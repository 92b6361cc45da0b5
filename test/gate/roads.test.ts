import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage } from 'node:http'
import { describe, it } from 'node:test'
import express from 'express'
import type { HeaderPairs, Refuse } from '../../src/core/decision.ts'
import { systemClock, type Clock } from '../../src/core/clock.ts'
import { readSecret } from '../../src/credentials/keys.ts'
import { createTickets, type Tickets } from '../../src/credentials/ticket.ts'
import { createGate, memoryTicketStore, type Gate, type GateOptions, type Injected } from '../../src/index.ts'
import { bearer } from '../../src/schemes.ts'
import { listen } from '../support/servers.ts'
import { HeldClock } from '../unit/credentials/helpers.ts'

/** The roads as `gate.inject()` sees them: decisions as data, and nothing used up. */

const TOKEN = 'token-of-alice'
const ITEM = `base64url.bearer.authorization.gate101.${Buffer.from(TOKEN).toString('base64url')}`
const peer = { address: '192.0.2.7' }

interface Made {
  readonly gate: Gate
  readonly ran: Array<Pick<IncomingMessage, 'url' | 'headers' | 'rawHeaders'>>
}

function make(options: Omit<GateOptions<IncomingMessage>, 'authenticate' | 'identify'> = {}): Made {
  const gate = createGate({ identify: () => ({ subject: 'alice' }), ...options })
  const app = express()
  const ran: Made['ran'] = []
  app.use((req, res, next) => {
    const { url, headers, rawHeaders } = req
    ran.push({ url, headers: { ...headers }, rawHeaders: [...rawHeaders] })
    if (headers.authorization === `Bearer ${TOKEN}`) next()
    else res.sendStatus(401)
  })
  app.get(
    '/live',
    gate.websocket(() => assert.fail('inject() opens nothing')),
  )
  gate.attach(createServer(app))
  return { gate, ran }
}

const saidBy = (decision: Injected): unknown => (decision.type === 'accept' ? decision.identity.subject : decision.code)

describe('gate.inject() and the roads', () => {
  it('turns a token into its header, and shows neither where it came from', async () => {
    const { gate, ran } = make({ subprotocolTokens: true, dangerouslyAllowQueryToken: true })
    for (const [url, headers, left] of [
      ['/live?a=1', { 'Sec-WebSocket-Protocol': `${ITEM}, chat` }, '/live?a=1'],
      [`/live?a=1&access_token=${TOKEN}`, { Cookie: 'a=1' }, '/live?a=1'],
    ] as const) {
      assert.equal(saidBy(await gate.inject({ url, headers, peer })), 'alice')
      const run = ran.at(-1)
      assert.equal(run?.url, left)
      assert.equal(run.headers.cookie, undefined)
      assert.ok(!JSON.stringify(run).includes(ITEM))
      assert.equal(run.rawHeaders.filter((text) => text.includes(TOKEN)).length, 1)
    }
  })

  it('refuses in the order of the rules: form, Origin, credential, app', async () => {
    const { gate, ran } = make({ subprotocolTokens: true, dangerouslyAllowQueryToken: true, tickets: {} })
    const evil = { Origin: 'https://evil.example' }
    const two = `${ITEM}, ${ITEM}x, chat`
    for (const [url, headers, code] of [
      ['/a/../live', { ...evil, 'Sec-WebSocket-Protocol': two }, 'bad_target'],
      ['/live', { ...evil, 'Sec-WebSocket-Protocol': two }, 'bad_origin'],
      ['/live', { 'Sec-WebSocket-Protocol': two }, 'credential_conflict'],
      ['/live', { 'Sec-WebSocket-Protocol': ITEM }, 'subprotocol_required'],
      ['/live?access_token=wrong', { 'Sec-WebSocket-Protocol': `${ITEM}, chat` }, 'credential_conflict'],
      ['/live?access_token=wrong', {}, 'app'],
      ['/live?ticket=x', { ...evil }, 'bad_origin'],
      ['/live?ticket=x', {}, 'invalid_ticket'],
    ] as const) {
      const before = ran.length
      assert.equal(saidBy(await gate.inject({ url, headers, peer })), code, `${url} ${JSON.stringify(headers)}`)
      assert.equal(ran.length - before, code === 'app' ? 1 : 0)
    }
  })

  it('answers with HTTP data, whatever `refuse` is', async () => {
    const { gate } = make({ refuse: 'auto' })
    const decision = await gate.inject({
      url: '/live',
      headers: { 'Sec-WebSocket-Protocol': 'refusal.gate101, a' },
      peer,
    })
    assert.deepEqual([decision.type, decision.type === 'refuse' && decision.status], ['refuse', 401])
  })
})

describe('tickets of nodes whose clocks differ', () => {
  const PLACE = { path: '/live', origin: undefined }
  const HEADERS: HeaderPairs = [['authorization', `Bearer ${TOKEN}`]]

  /** A node whose clock is so many milliseconds before or behind the store's. */
  function nodeAt(skew: number, of: HeldClock, store: ReturnType<typeof memoryTicketStore>, secret: Buffer): Tickets {
    const clock: Clock = { now: () => of.now() + skew, after: (ms, call) => of.after(ms, call) }
    return createTickets({ keys: readSecret(secret), store, clock, lifetime: 15_000, perOwner: 10 })
  }

  async function ageOf(skew: number, age: number): Promise<HeaderPairs | Refuse> {
    const clock = new HeldClock()
    const [store, secret] = [memoryTicketStore(clock), randomBytes(32)]
    const [one, two] = [nodeAt(0, clock, store, secret), nodeAt(skew, clock, store, secret)]
    const minted = await one.mint({ ...PLACE, owner: 'alice', headers: HEADERS })
    assert.ok('ticket' in minted)
    clock.pass(age)
    return two.redeem(minted.ticket, PLACE)
  }

  it('no ticket is good for longer than its lifetime by the clock of the store', async () => {
    for (const skew of [-60_000, -5000, 0, 5000]) {
      const redeemed = await ageOf(skew, 15_000)
      assert.equal('code' in redeemed && redeemed.code, 'invalid_ticket', `${skew} ms`)
    }
    for (const skew of [-60_000, -5000, 0]) assert.deepEqual(await ageOf(skew, 14_999), HEADERS, `${skew} ms`)
  })

  it('a node that is ahead takes them for a shorter time', async () => {
    assert.deepEqual(await ageOf(5000, 9999), HEADERS)
    const redeemed = await ageOf(5000, 10_000)
    assert.equal('code' in redeemed && redeemed.code, 'invalid_ticket')
  })
})

it('systemClock tells the time of day: tickets of several processes are compared by it', () => {
  assert.ok(Math.abs(systemClock.now() - Date.now()) < 1000)
})

it('the schemes are asked once about a request that comes through gate.authenticate() to a ticket', async () => {
  let asked = 0
  const gate = createGate({
    authenticate: bearer({
      verify: () => {
        asked++
        return { subject: 'alice' }
      },
    }),
  })
  const [guard, ticket] = [gate.authenticate(), gate.ticket('/live')]
  await using server = await listen(createServer((req, res) => void guard(req, res, () => ticket(req, res))))
  const response = await fetch(`http://127.0.0.1:${server.port}/ticket`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${TOKEN}`, 'Content-Type': 'application/json' },
    body: '{}',
  })
  assert.deepEqual([response.status, asked], [200, 1])
})
