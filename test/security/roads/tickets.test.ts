import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { connect as connectHttp2, createServer as createHttp2 } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { after, before, describe, it } from 'node:test'
import { randomBytes } from 'node:crypto'
import { systemClock } from '../../../src/core/clock.ts'
import { createGate, memoryTicketStore, type TicketStore } from '../../../src/index.ts'
import { connectRaw, handshakeText, reset } from '../../support/raw.ts'
import { valuesOf } from '../../support/response.ts'
import { trapFaults } from '../../support/trap.ts'
import { HeldClock } from '../../unit/credentials/helpers.ts'
import { API_KEYS, expressApp, fastifyApp, jwtFor, koaApp, schemesApp, seen, type Build } from './apps.ts'
import { ORIGIN, SECRET, serve, serveMade, WatchedStore, type Dialled, type Headers, type Served } from './support.ts'

let trap: ReturnType<typeof trapFaults>
before(() => {
  trap = trapFaults()
})
after(() => trap.assertNone())

const alice: Headers = { Authorization: `Bearer ${jwtFor('alice')}` }
const bob: Headers = { Authorization: `Bearer ${jwtFor('bob')}` }
const aliceKey: Headers = { 'X-Api-Key': API_KEYS.alice }

const saidOf = ({ status, code, seen }: Dialled): unknown => (status === 101 ? seen?.subject : [status, code])

interface Watched {
  readonly store: WatchedStore
  readonly served: Served
}

async function watched(build: Build = expressApp): Promise<Watched> {
  const store = new WatchedStore()
  return { store, served: await serve(build, { tickets: { store }, secret: SECRET }) }
}

const APPS: ReadonlyArray<readonly [name: string, build: Build]> = [
  ['Express', expressApp],
  ['Koa', koaApp],
  ['Fastify', fastifyApp],
  ['schemes alone, before ws', schemesApp],
]

for (const [name, build] of APPS) {
  describe(`a ticket on ${name}`, () => {
    it('opens one handshake, and never another', async () => {
      const { store, served } = await watched(build)
      await using _ = served
      const ticket = await served.ticket(aliceKey)
      assert.equal(saidOf(await served.dial(`/live?ticket=${ticket}`)), 'alice')
      const calls = store.calls
      assert.deepEqual(saidOf(await served.dial(`/live?ticket=${ticket}`)), [401, 'invalid_ticket'])
      assert.equal(store.calls, calls + 1)
      const inItem = await served.ticket(aliceKey)
      const offered = { 'Sec-WebSocket-Protocol': `gate101, ticket.gate101.${inItem}` }
      const opened = await served.dial('/live', offered)
      assert.deepEqual([saidOf(opened), opened.protocol], ['alice', 'gate101'])
      assert.equal(opened.seen?.headers['sec-websocket-protocol'], 'gate101')
      assert.deepEqual(saidOf(await served.dial('/live', offered)), [401, 'invalid_ticket'])
      assert.deepEqual(saidOf(await served.dial(`/live?ticket=${inItem}`)), [401, 'invalid_ticket'])
    })

    it('100 at the same time: exactly one 101', async () => {
      await using served = await serve(build)
      const ticket = await served.ticket(aliceKey)
      const all = await Promise.all(Array.from({ length: 100 }, () => served.dial(`/live?ticket=${ticket}`)))
      assert.equal(all.filter(({ status }) => status === 101).length, 1)
      assert.equal(all.filter(({ status, code }) => status === 401 && code === 'invalid_ticket').length, 99)
      await served.listening.noneOpen()
      assert.equal(served.made.gate.connections.size, 0)
    })
  })
}

describe('a ticket is good for', () => {
  it('its path and its Origin, each exactly, and is used up by any other', async () => {
    await using served = await serve(expressApp, { origins: ['http://localhost', 'https://app.example.com'] })
    const from: Headers = { ...alice, Origin: 'https://app.example.com' }
    const rows: ReadonlyArray<readonly [minted: Headers, target: string, used: Headers, said: unknown]> = [
      [from, '/live', { Origin: 'https://app.example.com' }, 'alice'],
      [from, '/live', { Origin: 'HTTPS://App.Example.COM:443' }, 'alice'],
      [from, '/live', { Origin: 'http://localhost' }, [403, 'ticket_mismatch']],
      [from, '/live', {}, [403, 'ticket_mismatch']],
      [alice, '/live', {}, 'alice'],
      [alice, '/live', { Origin: 'https://app.example.com' }, [403, 'ticket_mismatch']],
      [alice, '/other', {}, [403, 'ticket_mismatch']],
      [alice, '/LIVE', {}, [403, 'ticket_mismatch']],
      [alice, '/live/', {}, [403, 'ticket_mismatch']],
      [alice, '/rooms/7/live', {}, [403, 'ticket_mismatch']],
      [alice, '/nothing', {}, [403, 'ticket_mismatch']],
    ]
    for (const [minted, target, used, said] of rows) {
      const ticket = await served.ticket(minted)
      const why = `${target} ${JSON.stringify(used)}`
      assert.deepEqual(saidOf(await served.dial(`${target}?ticket=${ticket}`, used)), said, why)
      const again: Headers = minted['Origin'] === undefined ? {} : { Origin: minted['Origin'] }
      assert.deepEqual(saidOf(await served.dial(`/live?ticket=${ticket}`, again)), [401, 'invalid_ticket'], why)
    }
  })

  it('15 s by default, and not a moment longer than it was given', async () => {
    const clock = new HeldClock()
    await using served = await serve(expressApp, { clock })
    const [early, late] = [await served.ticket(alice), await served.ticket(alice)]
    clock.pass(14_999)
    assert.equal(saidOf(await served.dial(`/live?ticket=${early}`)), 'alice')
    clock.pass(1)
    assert.deepEqual(saidOf(await served.dial(`/live?ticket=${late}`)), [401, 'invalid_ticket'])
  })

  it('its lifetime also where the store keeps it for ever', async () => {
    const kept = new Map<string, Uint8Array>()
    const store: TicketStore = {
      async add({ id, data }) {
        kept.set(id, data)
        return true
      },
      async take(id) {
        return kept.get(id)
      },
    }
    const clock = new HeldClock()
    await using served = await serve(expressApp, { tickets: { store, lifetime: 100 }, secret: SECRET, clock })
    const ticket = await served.ticket(alice)
    clock.pass(100)
    assert.deepEqual(saidOf(await served.dial(`/live?ticket=${ticket}`)), [401, 'invalid_ticket'])
  })
})

/** Everything that is refused before a ticket is taken; `%` stands for the ticket. */
const NOT_TAKEN: ReadonlyArray<readonly [target: string, headers: Headers, status: number, code: string]> = [
  ['/live?ticket=%', { 'Sec-WebSocket-Version': '8' }, 426, 'bad_version'],
  ['/live?ticket=%', { 'Sec-WebSocket-Key': 'short' }, 400, 'bad_key'],
  ['/live?ticket=%', { Upgrade: 'h2c' }, 426, 'upgrade_required'],
  ['/live?ticket=%', { Host: 'evil.example' }, 421, 'host_not_allowed'],
  ['/live?ticket=%', { Origin: 'https://evil.example' }, 403, 'bad_origin'],
  ['/live?ticket=%', { Origin: 'null' }, 403, 'bad_origin'],
  ['/live?ticket=%', { Origin: ORIGIN, 'Sec-Fetch-Site': 'cross-site' }, 403, 'cross_site'],
  ['/x/../live?ticket=%', {}, 400, 'bad_target'],
  ['/live?ticket=%', bob, 400, 'credential_conflict'],
  ['/live?ticket=%', { Authorization: 'Bearer forged' }, 400, 'credential_conflict'],
  ['/live?ticket=%', { 'X-Api-Key': 'x' }, 400, 'credential_conflict'],
  ['/live?ticket=%&ticket=%', {}, 401, 'invalid_ticket'],
  ['/live?ticket=%&%74icket=x', {}, 401, 'invalid_ticket'],
  ['/live?ticket=%', { 'Sec-WebSocket-Protocol': 'gate101, ticket.gate101.%' }, 400, 'credential_conflict'],
  [
    '/live',
    { 'Sec-WebSocket-Protocol': 'gate101, ticket.gate101.%, ticket.gate101.other' },
    400,
    'credential_conflict',
  ],
  ['/live', { 'Sec-WebSocket-Protocol': 'ticket.gate101.%' }, 400, 'subprotocol_required'],
  ['/live', { 'Sec-WebSocket-Protocol': 'ticket.gate101.%, refusal.gate101' }, 400, 'subprotocol_required'],
  ['/live', { 'Sec-WebSocket-Protocol': 'gate101, ticket.gate101.%', ...bob }, 400, 'credential_conflict'],
  [
    '/live?ticket=%',
    { 'Sec-WebSocket-Protocol': 'gate101, base64url.bearer.authorization.gate101.YWJj' },
    400,
    'credential_conflict',
  ],
  ['/live?ticket=%&access_token=abc', {}, 400, 'credential_conflict'],
  ['/live?ticket=%', { Cookie: '__Host-a=1; __Host-a=2', Origin: ORIGIN }, 400, 'duplicate_cookie'],
]

describe('a ticket is not taken', () => {
  it('where the handshake breaks a rule, and is good afterwards', async () => {
    const store = new WatchedStore()
    await using served = await serve(expressApp, {
      tickets: { store },
      secret: SECRET,
      subprotocolTokens: true,
      dangerouslyAllowQueryToken: true,
    })
    const ticket = await served.ticket(alice)
    const filled = (text: string): string =>
      text.replaceAll('%74', '\n').replaceAll('%', ticket).replaceAll('\n', '%74')
    for (const [target, headers, status, code] of NOT_TAKEN) {
      const sent = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, filled(String(value))]))
      const { length } = served.made.runs
      const answer = await served.dial(filled(target), sent)
      assert.deepEqual([answer.status, answer.code], [status, code], `${target} ${JSON.stringify(headers)}`)
      assert.equal(served.made.runs.length, length, 'the app is not asked')
    }
    assert.equal(store.calls, 1, 'nothing but the minting')
    assert.equal(saidOf(await served.dial(`/live?ticket=${ticket}`)), 'alice')
  })

  it('by inject(), and by a plain request', async () => {
    const { store, served } = await watched()
    await using _ = served
    const ticket = await served.ticket(alice)
    const peer = { address: '192.0.2.7' }
    for (const request of [
      { url: `/live?ticket=${ticket}` },
      { url: '/live', headers: { 'Sec-WebSocket-Protocol': `gate101, ticket.gate101.${ticket}` } },
    ]) {
      const decision = await served.made.gate.inject({ ...request, peer })
      assert.equal(decision.type === 'refuse' && decision.code, 'invalid_ticket')
    }
    for (const method of ['GET', 'POST']) {
      const { status } = await served.ask(method, `/live?ticket=${ticket}`)
      assert.ok(status === 401 || status === 404, method)
    }
    assert.equal(store.calls, 1)
    assert.equal(saidOf(await served.dial(`/live?ticket=${ticket}`)), 'alice')
  })

  it('10,000 that were made up, cut or changed never reach the store', async () => {
    const { store, served } = await watched()
    await using _ = served
    const real = await served.ticket(alice)
    const decide = async (ticket: string): Promise<void> => {
      const decision = await served.made.gate.inject({ url: `/live?ticket=${ticket}`, peer: { address: '192.0.2.7' } })
      assert.equal(decision.type, 'refuse')
    }
    const bytes = Buffer.from(real, 'base64url')
    for (let n = 0; n < 200; n++) await decide(randomBytes(48).toString('base64url'))
    // On the wire, so that redemption itself is asked; a few connections, one after the other on each.
    const made = Array.from({ length: 10_000 }, (_, n) => forgery(n, bytes))
    let next = 0
    const worker = async (): Promise<void> => {
      for (let ticket = made[next++]; ticket !== undefined; ticket = made[next++]) {
        const answer = await served.dial(`/live?ticket=${ticket}`)
        assert.equal(answer.status, 401)
        assert.equal(answer.code, 'invalid_ticket')
      }
    }
    await Promise.all(Array.from({ length: 32 }, worker))
    assert.equal(store.calls, 1)
    assert.equal(served.made.runs.length, 1, 'nor the app')
    assert.equal(saidOf(await served.dial(`/live?ticket=${await served.ticket(alice)}`)), 'alice')
  })
})

/** Random ones, and neighbours of a real one. */
function forgery(n: number, real: Buffer): string {
  const changed = Buffer.from(real)
  if (n % 4 === 0) return randomBytes(48).toString('base64url')
  if (n % 4 === 1) {
    const bit = n % (real.length * 8)
    changed[bit >> 3]! ^= 1 << (bit & 7)
    return changed.toString('base64url')
  }
  if (n % 4 === 2) return real.subarray(0, n % real.length).toString('base64url') || 'x'
  return Buffer.concat([changed, randomBytes(1 + (n % 40))]).toString('base64url')
}

describe('once taken a ticket is gone', () => {
  it('whatever the app says', async () => {
    await using served = await serve(expressApp, {}) // logged out in between
    const Cookie = await served.login('alice')
    const ticket = await served.ticket({ Cookie, Origin: ORIGIN })
    await served.ask('POST', '/logout', { Cookie })
    assert.deepEqual(saidOf(await served.dial(`/live?ticket=${ticket}`, { Origin: ORIGIN })), [401, undefined])
    assert.deepEqual(served.refused(), ['app'])
    assert.deepEqual(saidOf(await served.dial(`/live?ticket=${ticket}`, { Origin: ORIGIN })), [401, 'invalid_ticket'])
  })

  it('where the client resets while the store is slow', async () => {
    const { store, served } = await watched()
    await using _ = served
    const ticket = await served.ticket(alice)
    let goOn = (): void => undefined
    const held = new Promise<void>((resolve) => {
      goOn = resolve
    })
    const asked = new Promise<void>((resolve) => {
      store.before = async () => {
        resolve()
        await held
      }
    })
    const connection = await connectRaw(served.listening)
    connection.send(handshakeText({ target: `/live?ticket=${ticket}` }))
    await asked
    const aborted = once(eventsOf(served, 'aborted'), 'aborted')
    reset(connection.socket)
    await aborted
    goOn()
    store.before = undefined
    await served.listening.noneOpen()
    assert.equal(served.made.runs.filter(({ url }) => url?.startsWith('/live?') || url === '/live').length, 0)
    assert.deepEqual(saidOf(await served.dial(`/live?ticket=${ticket}`)), [401, 'invalid_ticket'])
    assert.equal(served.made.gate.connections.size, 0)
  })

  it('where the handshake runs out of time', async () => {
    const store = new WatchedStore()
    await using served = await serve(expressApp, { tickets: { store }, secret: SECRET, limits: { deadline: 120 } })
    const ticket = await served.ticket(alice)
    let go = (): void => undefined
    const held = new Promise<void>((resolve) => (go = resolve))
    store.before = () => held
    assert.deepEqual(saidOf(await served.dial(`/live?ticket=${ticket}`)), [503, 'handshake_timeout'])
    store.before = undefined
    go()
    assert.deepEqual(saidOf(await served.dial(`/live?ticket=${ticket}`)), [401, 'invalid_ticket'])
  })
})

function eventsOf(served: Served, type: 'aborted'): EventTarget {
  const target = new EventTarget()
  served.made.gate.on(type, () => target.dispatchEvent(new Event(type)))
  return target
}

describe('whoever has the store', () => {
  it('gets nothing: a dump and the ticket without the secret open nothing', async () => {
    const store = new WatchedStore()
    await using mine = await serve(expressApp, { tickets: { store }, secret: SECRET })
    await using theirs = await serve(expressApp, { tickets: { store }, secret: randomBytes(32) })
    const ticket = await mine.ticket(alice)
    assert.deepEqual(saidOf(await theirs.dial(`/live?ticket=${ticket}`)), [401, 'invalid_ticket'])
    assert.equal(store.calls, 1)
    const dump = Buffer.concat(store.records.map(({ data }) => data)).toString('latin1') + JSON.stringify(store.records)
    for (const word of [ticket, String(alice['Authorization']), jwtFor('alice').split('.')[1] ?? '', 'alice', '/live'])
      assert.ok(!dump.includes(word), word)
    assert.equal(saidOf(await mine.dial(`/live?ticket=${ticket}`)), 'alice')
  })

  it('makes nothing: a record that was forged, changed or moved to another id', async () => {
    const records = new Map<string, Uint8Array>()
    const store: TicketStore = {
      async add({ id, data }) {
        records.set(id, data)
        return true
      },
      async take(id) {
        const data = records.get(id)
        records.delete(id)
        return data
      },
    }
    await using served = await serve(expressApp, { tickets: { store }, secret: SECRET })
    const forgeries: Array<(mine: string, data: Uint8Array, another: Uint8Array) => unknown> = [
      (_mine, _data, another) => another,
      (_mine, data) => Buffer.concat([data.subarray(0, -1), Buffer.of((data.at(-1) ?? 0) ^ 1)]),
      (_mine, data) => data.subarray(0, -1),
      () => Buffer.from(JSON.stringify({ headers: [['authorization', 'Bearer forged']] })),
      () => Buffer.alloc(0),
      () => 'a text',
      () => ({}),
      () => null,
      (_mine, data) => Buffer.concat([data, Buffer.from('x')]),
      (_mine, data) => Buffer.concat([Buffer.from([2]), data.subarray(1)]),
    ]
    for (const forge of forgeries) {
      records.clear()
      const [ticket, bobs] = [await served.ticket(alice), await served.ticket(bob)]
      const [[mine, data], [, another]] = [...records] as [[string, Uint8Array], [string, Uint8Array]]
      records.set(mine, forge(mine, data, another) as Uint8Array)
      assert.deepEqual(saidOf(await served.dial(`/live?ticket=${ticket}`)), [401, 'invalid_ticket'], String(forge))
      assert.equal(saidOf(await served.dial(`/live?ticket=${bobs}`)), 'bob')
    }
  })

  it('makes the gate wait for 3 s at most, and never opens', async () => {
    const { store, served } = await watched()
    await using _ = served
    const broken: Array<() => Promise<never>> = [
      () => Promise.reject(new Error('the store is down')),
      () => {
        throw new Error('the store is down')
      },
      () => 7 as never,
      () => new Promise<never>(() => undefined),
    ]
    for (const instead of broken) {
      const ticket = await served.ticket(alice)
      store.instead = instead
      const [status, code] = saidOf(await served.dial(`/live?ticket=${ticket}`)) as [number, string]
      store.instead = undefined
      const expected = String(instead).includes('7') ? [401, 'invalid_ticket'] : [503, 'tickets_unavailable']
      assert.deepEqual([status, code], expected, String(instead))
    }
  })
})

describe('a ticket of one and the credential of another', () => {
  it('the sealed Cookie takes the place of the one that came', async () => {
    await using served = await serve(expressApp)
    const [hers, his] = [await served.login('alice'), await served.login('bob')]
    for (const Cookie of [his, 'sid=forged', `theme=dark; ${his}`, `${hers}; other=1`]) {
      const ticket = await served.ticket({ Cookie: hers, Origin: ORIGIN })
      const { seen } = await served.dial(`/live?ticket=${ticket}`, { Cookie, Origin: ORIGIN })
      assert.equal(seen?.subject, 'alice')
      assert.equal(seen.headers.cookie, hers)
      assert.equal(seen.rawHeaders.filter((text) => text.includes('sid=')).length, 1)
    }
    const bearer = await served.ticket(alice)
    const { seen } = await served.dial(`/live?ticket=${bearer}`, { Cookie: his })
    assert.deepEqual([seen?.subject, seen?.headers.cookie], ['alice', undefined])
  })

  it('a bad ticket is refused beside a good cookie', async () => {
    await using served = await serve(expressApp)
    const Cookie = await served.login('alice')
    for (const ticket of ['', 'x', randomBytes(48).toString('base64url'), '%00', 'a b'.replace(' ', '+'), '%ZZ']) {
      const answer = await served.dial(`/live?ticket=${ticket}`, { Cookie, Origin: ORIGIN })
      assert.equal(answer.status, 401, ticket)
      assert.equal(answer.code, 'invalid_ticket', ticket)
    }
  })
})

it('nodes with one secret and one store take each other’s tickets, once', async () => {
  const store = memoryTicketStore(systemClock)
  const options = { tickets: { store }, secret: SECRET }
  await using one = await serve(expressApp, options)
  await using two = await serve(koaApp, options)
  const ticket = await one.ticket(alice)
  const all = await Promise.all(
    Array.from({ length: 100 }, async (_, n) => (n % 2 === 0 ? one : two).dial(`/live?ticket=${ticket}`)),
  )
  assert.equal(all.filter(({ status }) => status === 101).length, 1)
})

for (const [name, build] of [
  ['Express', expressApp],
  ['Fastify', fastifyApp],
] as const) {
  it(`on ${name}: who holds a ticket gets no session by it, and loses none`, async () => {
    await using served = await serve(build)
    const [hers, his] = [await served.login('alice'), await served.login('bob')]
    const used: Headers = { Cookie: his, Origin: ORIGIN }
    const [opens, fails] = [
      await served.ticket({ Cookie: hers, Origin: ORIGIN }),
      await served.ticket({ Cookie: hers, Origin: ORIGIN }),
    ]
    const opened = await served.dial(`/live?ticket=${opens}`, used)
    assert.equal(opened.seen?.subject, 'alice')
    assert.deepEqual(valuesOf(opened.response.headers, 'set-cookie'), [], 'the session itself')
    await served.ask('POST', '/logout', { Cookie: hers })
    const refused = await served.dial(`/live?ticket=${fails}`, used)
    assert.equal(refused.status, 401)
    assert.deepEqual(valuesOf(refused.response.headers, 'set-cookie'), [], "which takes away the other one's")
    assert.equal((await served.dial('/live', used)).seen?.subject, 'bob')
  })
}

it('a ticket that was asked for over HTTP/2, with its cookies in pieces, opens over HTTP/1.1', async () => {
  const gate = createGate({ identify: () => ({ subject: 'alice' }) })
  const mint = gate.ticket('/live')
  const live = gate.websocket((socket, req) => socket.send(JSON.stringify({ subject: 'alice', ...seen(req) })))
  const server = createServer(live)
  gate.attach(server)
  await using served = await serveMade({ server, gate: gate as never, runs: [], log: [] })
  const modern = createHttp2((req, res) => mint(req as never, res as never))
  modern.listen(0, '127.0.0.1')
  await once(modern, 'listening')
  const client = connectHttp2(`http://127.0.0.1:${(modern.address() as AddressInfo).port}`)
  const ask = async (headers: object): Promise<{ ticket?: string; error?: string }> => {
    const asked = { ':method': 'POST', ':path': '/live/ticket', 'content-type': 'application/json', ...headers }
    const stream = client.request(asked)
    stream.end('{}')
    return JSON.parse(await text(stream)) as { ticket?: string; error?: string }
  }
  try {
    const cookie = ['theme=dark', 'sid=of-alice', 'lang=en']
    const { ticket } = await ask({ cookie, authorization: 'Bearer x' })
    const opened = await served.dial(`/live?ticket=${ticket}`)
    assert.equal(opened.seen?.headers.cookie, cookie.join('; '))
    assert.equal(opened.seen.headers.authorization, 'Bearer x')
    assert.equal((await ask({ cookie })).error, 'missing_origin')
    assert.equal((await ask({ cookie, origin: 'https://evil.example' })).error, 'bad_origin')
    assert.equal((await ask({ cookie, ':method': 'PUT' })).error, 'ticket_needs_post')
  } finally {
    client.destroy()
    modern.close()
  }
})
