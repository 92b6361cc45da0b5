import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { inspect } from 'node:util'
import fc from 'fast-check'
import type { HeaderPairs, Refuse } from '../../../src/core/decision.ts'
import { readSecret } from '../../../src/credentials/keys.ts'
import { seal, unseal } from '../../../src/credentials/seal.ts'
import type { TicketRecord, TicketStore } from '../../../src/core/ticket-store.ts'
import { memoryTicketStore } from '../../../src/credentials/ticket-store.ts'
import { createTickets, type TicketOptions, type Tickets } from '../../../src/credentials/ticket.ts'
import { codeOf, HeldClock } from './helpers.ts'

const LIVE = { path: '/live', origin: 'https://app.example.com:443' }
const BEARER: HeaderPairs = [['authorization', 'Bearer alice-token']]
const INPUT = { ...LIVE, owner: 'alice', headers: BEARER }
const SECRET = randomBytes(32)

/** The memory store, with a dump and a count of what it is asked. */
class WatchedStore implements TicketStore {
  readonly dump = new Map<string, TicketRecord>()
  calls = 0
  readonly #store: TicketStore

  constructor(clock: HeldClock) {
    this.#store = memoryTicketStore(clock)
  }

  add(record: TicketRecord): Promise<boolean> {
    this.calls++
    this.dump.set(record.id, record)
    return this.#store.add(record)
  }

  take(id: string): Promise<Uint8Array | undefined> {
    this.calls++
    return this.#store.take(id)
  }
}

interface Made {
  readonly clock: HeldClock
  readonly store: WatchedStore
  readonly tickets: Tickets
}

function make(options: Partial<TicketOptions> = {}): Made {
  const clock = new HeldClock()
  const store = new WatchedStore(clock)
  const keys = readSecret(SECRET)
  return { clock, store, tickets: createTickets({ keys, store, clock, lifetime: 15_000, perOwner: 10, ...options }) }
}

async function mint(tickets: Tickets, change: Partial<typeof INPUT> = {}): Promise<string> {
  const made = await tickets.mint({ ...INPUT, ...change })
  assert.ok('ticket' in made, inspect(made))
  return made.ticket
}

test('a ticket gives the headers back, once', async () => {
  const { tickets } = make()
  const made = await tickets.mint(INPUT)
  assert.ok('ticket' in made)
  assert.match(made.ticket, /^[A-Za-z0-9_-]{64}$/)
  assert.equal(made.expiresIn, 15)
  assert.deepEqual(await tickets.redeem(made.ticket, LIVE), BEARER)
  assert.equal(codeOf(await tickets.redeem(made.ticket, LIVE)), 'invalid_ticket')
})

test('whatever headers there are come back as they were', async () => {
  const { tickets } = make({ perOwner: 1000 })
  const value = fc.string({
    unit: fc.integer({ min: 0x20, max: 0xff }).map((n) => String.fromCharCode(n)),
    minLength: 1,
  })
  const pairs = fc.array(fc.tuple(fc.constantFrom('authorization', 'cookie', 'x-api-key'), value), { minLength: 1 })
  await fc.assert(
    fc.asyncProperty(pairs, async (headers) => {
      assert.deepEqual(await tickets.redeem(await mint(tickets, { headers }), LIVE), headers)
    }),
  )
})

test('100 at the same time: exactly one gets it', async () => {
  const { tickets } = make()
  const ticket = await mint(tickets)
  const results = await Promise.all(Array.from({ length: 100 }, () => tickets.redeem(ticket, LIVE)))
  assert.equal(results.filter((result) => Array.isArray(result)).length, 1)
  assert.equal(results.filter((result) => codeOf(result) === 'invalid_ticket').length, 99)
})

const ELSEWHERE: ReadonlyArray<readonly [name: string, at: { path: string; origin: string | undefined }]> = [
  ['another path', { ...LIVE, path: '/live2' }],
  ['the path in another case', { ...LIVE, path: '/Live' }],
  ['the path with a slash', { ...LIVE, path: '/live/' }],
  ['another Origin', { ...LIVE, origin: 'https://evil.example:443' }],
  ['no Origin', { ...LIVE, origin: undefined }],
]

for (const [name, at] of ELSEWHERE) {
  test(`not good for ${name}, and used up by it`, async () => {
    const { tickets } = make()
    const ticket = await mint(tickets)
    assert.equal(codeOf(await tickets.redeem(ticket, at)), 'ticket_mismatch')
    assert.equal(codeOf(await tickets.redeem(ticket, LIVE)), 'invalid_ticket')
  })
}

test('a ticket without Origin is good without one only', async () => {
  const { tickets } = make()
  const nowhere = { path: '/live', origin: undefined }
  for (const [at, code] of [
    [nowhere, undefined],
    [LIVE, 'ticket_mismatch'],
    [{ ...LIVE, origin: 'null' }, 'ticket_mismatch'],
    [{ ...LIVE, origin: '' }, 'ticket_mismatch'],
  ] as const) {
    const made = await tickets.mint({ ...INPUT, ...nowhere })
    assert.ok('ticket' in made)
    assert.equal(codeOf(await tickets.redeem(made.ticket, at)), code)
  }
})

test('a ticket expires, by the clock of the store and by ours', async () => {
  const { tickets, clock } = make()
  const [early, late] = [await mint(tickets), await mint(tickets)]
  clock.pass(14_999)
  assert.deepEqual(await tickets.redeem(early, LIVE), BEARER)
  clock.pass(1)
  assert.equal(codeOf(await tickets.redeem(late, LIVE)), 'invalid_ticket')
})

test('a store that forgets to expire does not prolong a ticket', async () => {
  const kept = new Map<string, Uint8Array>()
  const { tickets, clock } = make({
    store: {
      add: async ({ id, data }) => kept.set(id, data).size > 0,
      take: async (id) => kept.get(id),
    },
  })
  const ticket = await mint(tickets)
  assert.deepEqual(await tickets.redeem(ticket, LIVE), BEARER)
  clock.pass(15_000)
  assert.equal(codeOf(await tickets.redeem(ticket, LIVE)), 'invalid_ticket')
})

test('10,000 made-up tickets never reach the store', async () => {
  const { tickets, store } = make()
  for (let n = 0; n < 10_000; n++) {
    const made = randomBytes(48).toString('base64url')
    assert.equal(codeOf(await tickets.redeem(made, LIVE)), 'invalid_ticket')
  }
  assert.equal(store.calls, 0)
})

test('a ticket that was changed anywhere never reaches the store', async () => {
  const { tickets, store } = make()
  const ticket = await mint(tickets)
  const calls = store.calls
  const changed = Array.from({ length: 64 }, (_, n) => {
    const other = ticket[n] === 'A' ? 'B' : 'A'
    return `${ticket.slice(0, n)}${other}${ticket.slice(n + 1)}`
  })
  const misspelt = [
    '',
    `${ticket}=`,
    `${ticket}A`,
    ticket.slice(1),
    ` ${ticket}`,
    `${ticket}\n`,
    ticket.toLowerCase(),
    'x'.repeat(64),
  ]
  for (const wrong of [...changed, ...misspelt])
    assert.equal(codeOf(await tickets.redeem(wrong, LIVE)), 'invalid_ticket')
  assert.equal(store.calls, calls)
  assert.deepEqual(await tickets.redeem(ticket, LIVE), BEARER)
})

test('a dump of the store and the ticket open nothing without the secret', async () => {
  const { tickets, store } = make()
  const ticket = await mint(tickets)
  const [record] = store.dump.values()
  assert.ok(record)
  for (const part of ['alice', 'Bearer', 'token', '/live', 'app.example', ticket, ticket.slice(0, 20)]) {
    assert.ok(!Buffer.from(record.data).includes(part))
    assert.ok(!`${record.id} ${record.owner}`.includes(part))
  }
  let asked = 0
  const serving = { add: async () => true, take: async () => (asked++, record.data) }
  const thief = make({ keys: readSecret(randomBytes(32)), store: serving })
  assert.equal(codeOf(await thief.tickets.redeem(ticket, LIVE)), 'invalid_ticket')
  assert.equal(asked, 0)
  assert.deepEqual(await make({ store: serving }).tickets.redeem(ticket, LIVE), BEARER)
})

test('a dump of the store and the secret open nothing without the ticket', async () => {
  const { tickets, store } = make()
  const ticket = await mint(tickets)
  const [record] = store.dump.values()
  assert.ok(record)
  const { first } = readSecret(SECRET)
  const salts = [
    undefined,
    Buffer.from(record.id),
    Buffer.from(record.id, 'base64url'),
    Buffer.from(record.owner, 'base64url'),
  ]
  for (const salt of salts) assert.equal(unseal(first.derive('ticket seal', salt), record.id, record.data), undefined)
  const random = Buffer.from(ticket, 'base64url').subarray(0, 32)
  assert.match(unseal(first.derive('ticket seal', random), record.id, record.data) ?? '', /alice-token/)
})

test('a header that no road may set is not taken from another version of the gate either', async () => {
  const { tickets, store, clock } = make()
  const ticket = await mint(tickets)
  const [record] = store.dump.values()
  assert.ok(record)
  const key = readSecret(SECRET).first.derive('ticket seal', Buffer.from(ticket, 'base64url').subarray(0, 32))
  const redeem = async (change: object): Promise<object> => {
    const sealed = { purpose: 'connect', ...LIVE, expiresAt: clock.now() + 1000, headers: BEARER, ...change }
    const data = seal(key, record.id, JSON.stringify(sealed))
    return await make({ store: { add: async () => true, take: async () => data } }).tickets.redeem(ticket, LIVE)
  }
  assert.deepEqual(await redeem({}), BEARER)
  assert.equal(codeOf(await redeem({ headers: [...BEARER, ['x-remote-user', 'root']] })), 'invalid_ticket')
  assert.equal(codeOf(await redeem({ purpose: 'renew' })), 'ticket_mismatch')
})

test('what is sealed under one id does not open under another, nor with another key', () => {
  const { first } = readSecret(SECRET)
  const sealed = seal(first.derive('a'), 'id', 'text')
  assert.equal(unseal(first.derive('a'), 'id', sealed), 'text')
  assert.equal(unseal(first.derive('a'), 'other', sealed), undefined)
  assert.equal(unseal(first.derive('b'), 'id', sealed), undefined)
})

test('who writes to the store can make no ticket, and give nobody the credential of another', async () => {
  const { tickets, store } = make()
  const alice = await mint(tickets)
  await mint(tickets, { owner: 'mallory', headers: [['authorization', 'Bearer mallory-token']] })
  const [mine, other] = [...store.dump.values()].map(({ data }) => Buffer.from(data))
  assert.ok(mine && other)
  const truncated = Array.from({ length: mine.length }, (_, n) => mine.subarray(0, n))
  const flipped = Array.from({ length: mine.length }, (_, n) =>
    Buffer.from(mine.map((byte, at) => (at === n ? byte ^ 1 : byte))),
  )
  const plain = Buffer.from(
    JSON.stringify({ ...LIVE, purpose: 'connect', expiresAt: 9e15, headers: [['authorization', 'x']] }),
  )
  const forged: unknown[] = [
    other,
    plain,
    randomBytes(mine.length),
    Buffer.concat([mine, mine]),
    ...truncated,
    ...flipped,
  ]
  for (const data of [...forged, mine.toString('latin1'), null, undefined, 7, {}, [...mine]]) {
    const serving = make({ store: { add: async () => true, take: async () => data as Uint8Array } })
    assert.equal(codeOf(await serving.tickets.redeem(alice, LIVE)), 'invalid_ticket')
  }
})

test('several secrets: the first makes, all verify', async () => {
  const next = randomBytes(32)
  const clock = new HeldClock()
  const store = memoryTicketStore(clock)
  const node = (...secrets: Uint8Array[]): Tickets => make({ keys: readSecret(secrets), store, clock }).tickets
  assert.deepEqual(await node(next, SECRET).redeem(await mint(node(SECRET)), LIVE), BEARER)
  assert.deepEqual(await node(SECRET, next).redeem(await mint(node(next, SECRET)), LIVE), BEARER)
  assert.equal(codeOf(await node(SECRET).redeem(await mint(node(next, SECRET)), LIVE)), 'invalid_ticket')
})

test('only headers that a road may set are sealed', async () => {
  const { tickets } = make()
  const headers: HeaderPairs = [
    ['x-remote-user', 'root'],
    ['authorization', 'Bearer alice-token'],
    ['x-forwarded-for', '127.0.0.1'],
    ['host', 'internal'],
    ['x-api-key', ''],
  ]
  assert.deepEqual(await tickets.redeem(await mint(tickets, { headers }), LIVE), BEARER)
})

test('nothing to seal, no ticket', async () => {
  const { tickets, store } = make()
  for (const headers of [[], [['x-remote-user', 'root']], [['authorization', '']]] as HeaderPairs[])
    assert.equal(codeOf(await tickets.mint({ ...INPUT, headers })), 'missing_credential')
  assert.equal(store.calls, 0)
})

test('an owner has so many outstanding', async () => {
  const { tickets, store } = make({ perOwner: 3 })
  const made = await Promise.all(Array.from({ length: 20 }, () => tickets.mint(INPUT)))
  assert.equal(made.filter((result) => 'ticket' in result).length, 3)
  assert.equal(made.filter((result) => codeOf(result) === 'too_many_tickets').length, 17)
  await mint(tickets, { owner: 'bob' })
  const owners = new Set([...store.dump.values()].map(({ owner }) => owner))
  assert.equal(owners.size, 2)
  for (const { lifetime, limit } of store.dump.values()) assert.deepEqual([lifetime, limit], [15_000, 3])
})

const BROKEN: ReadonlyArray<readonly [name: string, answer: () => Promise<never>]> = [
  ['rejects', () => Promise.reject(new Error('down'))],
  [
    'throws',
    () => {
      throw new Error('down')
    },
  ],
  ['hangs', () => new Promise(() => undefined)],
  ['returns no promise', () => undefined as never],
]

for (const [name, answer] of BROKEN) {
  test(`a store that ${name} refuses`, async () => {
    const { tickets: good } = make()
    const ticket = await mint(good)
    const { tickets, clock } = make({ store: { add: answer, take: answer } })
    for (const ask of [
      (): Promise<object> => tickets.mint(INPUT),
      (): Promise<object> => tickets.redeem(ticket, LIVE),
    ]) {
      const asked = ask()
      await Promise.resolve()
      clock.pass(3000)
      const result = await asked
      assert.equal(codeOf(result), 'tickets_unavailable')
      assert.ok((result as Refuse).cause instanceof Error)
      assert.equal(clock.timers, 0)
    }
  })
}

test('a store that answers 2.999 s late is in time', async () => {
  const clock = new HeldClock()
  const add = (): Promise<boolean> => new Promise((resolve) => void clock.after(2999, () => resolve(true)))
  const { tickets } = make({ clock, store: { add, take: async () => undefined } })
  const minted = tickets.mint(INPUT)
  clock.pass(2999)
  assert.ok('ticket' in (await minted))
  assert.equal(clock.timers, 0)
})

test('a store that says neither yes nor no gives no ticket', async () => {
  for (const answer of [undefined, null, 'OK', 1]) {
    const { tickets } = make({ store: { add: async () => answer as unknown as boolean, take: async () => undefined } })
    assert.equal(codeOf(await tickets.mint(INPUT)), 'tickets_unavailable')
  }
})

test('nothing shows a ticket or what is sealed', async () => {
  const { tickets, store } = make()
  const ticket = await mint(tickets)
  const refused = await tickets.redeem(ticket, { ...LIVE, path: '/other' })
  const shown =
    inspect([tickets, store, refused], { showHidden: true, depth: null }) + JSON.stringify([tickets, refused])
  for (const part of [ticket, 'alice-token']) assert.ok(!shown.includes(part))
})
