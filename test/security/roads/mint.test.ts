import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { createGate } from '../../../src/index.ts'
import type { RawResponse } from '../../support/raw.ts'
import { trapFaults } from '../../support/trap.ts'
import { HeldClock } from '../../unit/credentials/helpers.ts'
import { API_KEYS, expressApp, jwtFor, schemesApp, SESSION_APPS } from './apps.ts'
import { codeOf, ORIGIN, SECRET, serve, WatchedStore, type Headers, type Served } from './support.ts'

let trap: ReturnType<typeof trapFaults>
before(() => {
  trap = trapFaults()
})
after(() => trap.assertNone())

const bearer = (subject: string): Headers => ({ Authorization: `Bearer ${jwtFor(subject)}` })

function assertTicket(response: RawResponse, path = '/live'): string {
  assert.equal(response.status, 200, response.text)
  const answer = JSON.parse(response.text) as { ticket: string; expiresIn: number; url: string }
  assert.deepEqual(Object.keys(answer), ['ticket', 'expiresIn', 'url'])
  assert.match(answer.ticket, /^[A-Za-z0-9_-]{64}$/)
  assert.equal(answer.expiresIn, 15)
  assert.equal(answer.url, `${path}?ticket=${answer.ticket}`)
  return answer.ticket
}

/** What every answer of the ticket route has. */
function assertPrivate(response: RawResponse): void {
  assert.equal(response.header('cache-control'), 'no-store')
  assert.equal(response.header('x-content-type-options'), 'nosniff')
  assert.match(response.header('content-type') ?? '', /^application\/json/)
  for (const [name] of response.headers) assert.doesNotMatch(name, /^access-control-/i)
}

for (const [name, build] of Object.entries(SESSION_APPS)) {
  describe(`the ticket route on ${name}`, () => {
    it('needs JSON, an Origin that passes, and somebody who is logged in', async () => {
      const store = new WatchedStore()
      await using served = await serve(build, { tickets: { store }, secret: SECRET })
      const Cookie = await served.login('alice')
      const json = 'application/json'
      const rows: ReadonlyArray<readonly [headers: Headers, status: number, code: string | undefined]> = [
        [{ Cookie, Origin: ORIGIN, 'Content-Type': null }, 415, 'ticket_needs_json'],
        [{ Cookie, Origin: ORIGIN, 'Content-Type': 'text/plain' }, 415, 'ticket_needs_json'],
        [{ Cookie, Origin: ORIGIN, 'Content-Type': `text/plain; x=${json}` }, 415, 'ticket_needs_json'],
        [{ Cookie, Origin: ORIGIN, 'Content-Type': 'multipart/form-data; boundary=x' }, 415, 'ticket_needs_json'],
        [{ Cookie, Origin: ORIGIN, 'Content-Type': `${json}x` }, 415, 'ticket_needs_json'],
        [{ Cookie, Origin: 'https://evil.example' }, 403, 'bad_origin'],
        [{ Cookie, Origin: 'null' }, 403, 'bad_origin'],
        [{ Cookie, Origin: `${ORIGIN}/` }, 403, 'bad_origin'],
        [{ Cookie, Origin: ORIGIN, 'Sec-Fetch-Site': 'cross-site' }, 403, 'cross_site'],
        [{ Cookie }, 403, 'missing_origin'],
        [{ Cookie, Origin: 'http://evil.example', Host: 'evil.example' }, 421, 'host_not_allowed'],
        [{ Cookie: 'sid=nobody', Origin: ORIGIN }, 401, undefined],
        [{ Origin: ORIGIN }, 401, undefined],
        [{ Authorization: 'Bearer forged', Cookie, Origin: ORIGIN }, 401, undefined],
        [{ Cookie: `${Cookie}; __Host-a=1; __Host-a=2`, Origin: ORIGIN }, 400, 'duplicate_cookie'],
      ]
      for (const [headers, status, code] of rows) {
        const response = await served.mint(headers)
        assert.deepEqual([response.status, codeOf(response.body)], [status, code], JSON.stringify(headers))
        if (code !== undefined) assertPrivate(response)
      }
      const form = { Cookie, Origin: ORIGIN, 'Content-Type': 'application/x-www-form-urlencoded' }
      assert.equal((await served.ask('POST', '/live/ticket', form, 'a=b')).status, 415)
      assert.equal(store.calls, 0, 'nothing of this reaches the store')

      const own = await served.mint({ Cookie, Origin: ORIGIN, 'Content-Type': 'Application/JSON ; charset=utf-8' })
      assertTicket(own)
      assertPrivate(own)
      assertTicket(await served.mint(bearer('alice')))
      assertTicket(await served.mint({ ...bearer('alice'), Origin: ORIGIN }))
      assert.equal(store.calls, 3)
    })

    it('takes nothing from the body', async () => {
      await using served = await serve(build)
      const body = JSON.stringify({ userId: 'bob', subject: 'bob', path: '/other', origin: 'https://evil.example' })
      const headers = { ...bearer('alice'), 'Content-Type': 'application/json' }
      const ticket = assertTicket(await served.ask('POST', '/live/ticket', headers, body))
      const { seen } = await served.dial(`/live?ticket=${ticket}`)
      assert.equal(seen?.subject, 'alice')
    })
  })
}

describe('the ticket route', () => {
  it('is a POST of JSON', async () => {
    await using served = await serve(expressApp)
    for (const type of [
      'application/json, text/plain',
      'application/json-patch+json',
      'text/json',
      '"application/json"',
    ]) {
      const response = await served.mint({ ...bearer('alice'), 'Content-Type': type })
      assert.deepEqual([response.status, codeOf(response.body)], [415, 'ticket_needs_json'], type)
    }
    for (const method of ['GET', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
      const response = await served.ask(method, '/live/ticket', {
        ...bearer('alice'),
        'Content-Type': 'application/json',
      })
      assert.deepEqual([response.status, codeOf(response.body)], [405, 'ticket_needs_post'], method)
      assert.equal(response.header('allow'), 'POST')
      assertPrivate(response)
    }
  })

  it('says 401 where no app guards it and nothing was sent, and 403 where identify knows nobody', async () => {
    await using served = await serve(expressApp)
    const nothing = await served.mint({}, '/open/ticket')
    assert.deepEqual([nothing.status, codeOf(nothing.body)], [401, 'missing_credential'])
    const nobody = await served.mint(bearer('alice'), '/open/ticket')
    assert.deepEqual([nobody.status, codeOf(nobody.body)], [403, 'no_identity'])
    const twice = await served.mint({ Authorization: ['Bearer a', 'Bearer b'] }, '/open/ticket')
    assert.deepEqual([twice.status, codeOf(twice.body)], [400, 'duplicate_header'])
    assert.deepEqual(served.refused(), ['missing_credential', 'no_identity', 'duplicate_header'])
  })

  it('asks the schemes where there is no app', async () => {
    await using served = await serve(schemesApp)
    assertTicket(await served.mint({ 'X-Api-Key': API_KEYS.alice }))
    assert.equal((await served.mint({ 'X-Api-Key': 'wrong-key' })).status, 401)
    assert.equal((await served.mint({})).status, 401)
    const foreign = await served.mint({ 'X-Api-Key': API_KEYS.alice, Origin: 'https://evil.example' })
    assert.deepEqual([foreign.status, codeOf(foreign.body)], [403, 'bad_origin'])
  })

  it('makes the path of the request, and nothing that is no path', async () => {
    await using served = await serve(expressApp)
    const ticket = assertTicket(await served.mint(bearer('alice'), '/rooms/7/ticket'), '/rooms/7/live')
    assert.equal((await served.dial(`/rooms/7/live?ticket=${ticket}`)).seen?.url, '/rooms/7/live')
    for (const room of ['%2e%2e', 'a%3Fb', 'a%23b', 'a%2F%2Fb', 'a%5Cb', '%C3%A9', 'a%3Bb', '*']) {
      const response = await served.mint(bearer('alice'), `/rooms/${room}/ticket`)
      assert.deepEqual([response.status, codeOf(response.body)], [500, 'app_error'], room)
      assertPrivate(response)
    }
  })

  it('is refused while the gate closes', async () => {
    const made = await expressApp()
    await using served = await serve(async () => made)
    await (made.gate as unknown as { close(): Promise<void> }).close()
    const response = await served.mint(bearer('alice'))
    assert.deepEqual([response.status, codeOf(response.body)], [503, 'closing'])
  })
})

describe('a session may have 10 tickets outstanding', () => {
  it('one more is 429, a use frees one; another session has its own 10', async () => {
    await using served = await serve(expressApp)
    const headers = { Cookie: await served.login('alice'), Origin: ORIGIN }
    const tickets = await outstanding(served, headers, 10)
    const refused = await served.mint(headers)
    assert.deepEqual([refused.status, codeOf(refused.body)], [429, 'too_many_tickets'])
    assert.equal(refused.header('retry-after'), '15')
    assertPrivate(refused)
    assert.equal((await served.mint({ Cookie: await served.login('alice'), Origin: ORIGIN })).status, 200)
    assert.equal((await served.dial(`/live?ticket=${tickets[3]}`, { Origin: ORIGIN })).status, 101)
    assert.equal((await served.mint(headers)).status, 200)
    assert.equal((await served.mint(headers)).status, 429)
    // Used up by a mistake is used up as well.
    assert.equal((await served.dial(`/other?ticket=${tickets[4]}`, { Origin: ORIGIN })).status, 403)
    assert.equal((await served.mint(headers)).status, 200)
  })

  it('at the same time, too', async () => {
    await using served = await serve(expressApp, { tickets: { perSession: 3 } })
    const statuses = await Promise.all(
      Array.from({ length: 20 }, async () => (await served.mint(bearer('alice'))).status),
    )
    assert.equal(statuses.filter((status) => status === 200).length, 3)
    assert.equal(statuses.filter((status) => status === 429).length, 17)
  })

  it('expiry frees them', async () => {
    const clock = new HeldClock()
    await using served = await serve(expressApp, { tickets: { lifetime: 700, perSession: 2 }, clock })
    await outstanding(served, bearer('alice'), 2)
    assert.equal((await served.mint(bearer('alice'))).status, 429)
    clock.pass(700)
    await outstanding(served, bearer('alice'), 2)
    assert.equal((await served.mint(bearer('alice'))).status, 429)
  })
})

async function outstanding(served: Served, headers: Headers, count: number): Promise<string[]> {
  return Promise.all(Array.from({ length: count }, () => served.ticket(headers)))
}

describe('a store that fails', () => {
  it('is 503, at once or after 3 s, and no ticket', async () => {
    const store = new WatchedStore()
    await using served = await serve(expressApp, { tickets: { store }, secret: SECRET })
    const broken: Array<() => Promise<never>> = [
      () => Promise.reject(new Error('the store is down')),
      () => {
        throw new Error('the store is down')
      },
      () => 'yes' as never,
      () => Promise.resolve(undefined as never),
      () => new Promise<never>(() => undefined),
    ]
    for (const instead of broken) {
      store.instead = instead
      const response = await served.mint(bearer('alice'))
      assert.deepEqual([response.status, codeOf(response.body)], [503, 'tickets_unavailable'], String(instead))
      assert.equal(response.header('retry-after'), '5')
      assert.ok(!response.text.includes('the store is down'))
      assertPrivate(response)
    }
    store.instead = undefined
    assertTicket(await served.mint(bearer('alice')))
  })
})

it('only headers that a road may set are sealed', async () => {
  const credentialHeaders = ['authorization', 'x-remote-user', 'x-forwarded-user', 'x-api-key']
  await using served = await serve(expressApp, { credentialHeaders })
  const forged = { 'X-Remote-User': 'root', 'X-Forwarded-User': 'root', 'X-Forwarded-For': '203.0.113.9', Via: '1.1 x' }
  const ticket = assertTicket(await served.mint({ ...bearer('alice'), ...forged }))
  const { seen, status } = await served.dial(`/live?ticket=${ticket}`)
  assert.equal(status, 101)
  assert.equal(seen?.headers.authorization, bearer('alice')['Authorization'])
  for (const name of Object.keys(forged)) assert.equal(seen?.headers[name.toLowerCase()], undefined, name)
  // What stands on the handshake itself is not the ticket's, and as explicit as any other credential.
  const another = assertTicket(await served.mint(bearer('alice')))
  const conflict = await served.dial(`/live?ticket=${another}`, { 'X-Remote-User': 'root' })
  assert.deepEqual([conflict.status, conflict.code], [400, 'credential_conflict'])
})

it('a ticket route on a gate that knows no such path is a mistake at start', () => {
  const gate = createGate({ identify: () => null })
  for (const path of ['live', '', '/live?a=b', '/rooms/*', '//live', '/a/../b', '/a%2fb', 7, undefined, null]) {
    assert.throws(() => gate.ticket(path as string), { code: 'GATE101_CONFIG' }, String(path))
  }
})
