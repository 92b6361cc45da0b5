import assert from 'node:assert/strict'
import { duplexPair, type Duplex } from 'node:stream'
import type { IdentityInput, SelectorInput, SessionStoreLike } from '../../src/index.ts'
import { NOBODY, type Person, type Served } from './adapters-apps.ts'
import { closed, HOUR, isOpen, MINUTE, ORIGIN, SECOND, type Answer, type LifeCase, type Site } from './adapters-site.ts'
import { quiet, type Client } from './races-wire.ts'

// What is asked of every adapter beyond the outcome of each step: what HTTP answers, what events tell, what stays as it was.

const KEY_OF_ANN = { 'X-Api-Key': 'ann' }

/** A promise that a case lets go on. */
function held(): { readonly until: Promise<void>; readonly go: () => void } {
  let go = (): void => undefined
  const until = new Promise<void>((resolve) => (go = resolve))
  return { until, go: () => go() }
}

/** To the millisecond. */
async function passExactly(site: Site, ms: number): Promise<void> {
  site.clock.pass(ms)
  await quiet()
}

const ends = (site: Site): unknown[] => site.told('ended').map(({ reason, code }) => [code, reason])
const answered = ({ status, error }: Answer): unknown[] => [status, error]

type Answered = Readonly<Record<string, unknown>>
type End = readonly [code: number, reason: string]

const recheckSays = (status: Person['status'], ended?: End): LifeCase => ({
  name: `a re-check that is answered with ${status} ${ended === undefined ? 'ends nobody' : `ends with ${ended.join(' ')}`}`,
  async run(site) {
    const ann = site.meet('ann')
    const client = await site.open('ann')
    ann.status = status
    await site.pass(2 * MINUTE)
    if (ended === undefined) isOpen(client)
    else closed(client, ...ended)
    assert.ok(site.phases.includes('recheck'))
    ann.status = 200
    await site.pass(MINUTE)
    if (ended === undefined) isOpen(client)
  },
})

const QUESTIONS: readonly LifeCase[] = [
  recheckSays(401, [4401, 'unauthorized']),
  recheckSays(302, [4401, 'unauthorized']),
  recheckSays(403, [4403, 'forbidden']),
  recheckSays(404, [4403, 'forbidden']),
  recheckSays(410, [4403, 'forbidden']),
  recheckSays(408),
  recheckSays(425),
  recheckSays(429),
  recheckSays(500),
  recheckSays(503),
  recheckSays('hang'),
  {
    name: 'no answer for longer than the grace ends with 1013',
    options: { recheck: { onError: { after: '2m' } } },
    async run(site) {
      const ann = site.meet('ann')
      const client = await site.open('ann')
      ann.status = 503
      await site.pass(4 * MINUTE)
      closed(client, 1013, 'recheck_failed')
    },
  },
  {
    id: 'RV22',
    name: 'a role that was changed is known to the handler after the next re-check',
    async run(site) {
      const ann = site.meet('ann', { tags: ['admin'] })
      const client = await site.open('ann')
      const renewed: unknown[] = []
      client.connection.on('renewed', ({ tags }) => renewed.push(tags))
      ann.identity = { subject: 'ann', tags: ['reader'] }
      await site.pass(MINUTE)
      assert.deepEqual([renewed, client.connection.identity.tags], [[['reader']], ['reader']])
      isOpen(client)
    },
  },
  {
    name: 'a re-check that finds less time than before: the connection ends then',
    async run(site) {
      const ann = site.meet('ann', { session: 's', expiresAt: site.at(HOUR) })
      const client = await site.open('ann')
      const sooner = site.at(80 * SECOND)
      ann.identity = { subject: 'ann', session: 's', expiresAt: sooner }
      await passExactly(site, MINUTE)
      assert.deepEqual(client.connection.expiresAt, sooner)
      await passExactly(site, 20 * SECOND - 1)
      isOpen(client)
      await passExactly(site, 1)
      closed(client, 4401, 'expired')
    },
  },
  {
    name: 'without re-checks nobody is asked',
    options: { recheck: false },
    async run(site) {
      const ann = site.meet('ann')
      const client = await site.open('ann')
      ann.status = 401
      await site.pass(10 * MINUTE)
      isOpen(client)
      assert.deepEqual(site.phases, ['handshake'])
    },
  },
  {
    name: 'a re-check is the handshake once more: method, target, every header, both addresses',
    async run(site) {
      site.meet('ann')
      site.peer = '203.0.113.7'
      await site.open('ann', { 'X-Room': 'a', Cookie: 'theme=dark', 'User-Agent': 'test' }, '?room=1&room=2')
      site.peer = '127.0.0.1'
      await site.pass(MINUTE)
      const [first, again = assert.fail(), ...more] = site.seen
      assert.deepEqual([first?.phase, again.phase, more], ['handshake', 'recheck', []])
      assert.deepEqual(again.request, first?.request)
      const { url, remoteAddress, headers } = again.request
      assert.deepEqual([url, remoteAddress], [`${site.path}?room=1&room=2`, '203.0.113.7'])
      const { 'x-room': room, 'x-api-key': key, cookie } = headers as Record<string, unknown>
      assert.deepEqual([room, key, cookie], ['a', 'ann', 'theme=dark'])
    },
  },
  {
    name: 'each credential is one question, whatever its connections are',
    async run(site) {
      site.meet('ann')
      site.meet('eve')
      for (const key of ['ann', 'eve', 'ann', 'ann']) await site.open(key)
      await site.pass(MINUTE)
      const asked = site.told('rechecked').map(({ outcome, why, connections }) => [outcome, why, connections])
      assert.deepEqual(asked.toSorted(), [
        ['accepted', 'schedule', 1],
        ['accepted', 'schedule', 3],
      ])
      assert.equal(site.phases.filter((phase) => phase === 'recheck').length, 2)
    },
  },
  ...(
    [
      [200, 'accepted'],
      [401, 'refused'],
      [302, 'refused'],
      [500, 'error'],
      ['hang', 'error'],
    ] as const
  ).map(([status, outcome]): LifeCase => ({
    own: true,
    name: `the event of a re-check that is answered with ${status} says: ${outcome}`,
    async run(site) {
      const ann = site.meet('ann')
      await site.open('ann')
      ann.status = status
      await site.pass(MINUTE)
      await site.pass(12 * SECOND)
      const [{ outcome: told, why, connections } = assert.fail()] = site.told('rechecked')
      assert.deepEqual([told, why, connections], [outcome, 'schedule', 1])
      assert.deepEqual(ends(site), outcome === 'refused' ? [[4401, 'unauthorized']] : [])
    },
  })),
  ...(
    [
      ['nobody', null, [4403, 'forbidden']],
      ['somebody whose time is over', { subject: 'ann', expiresAt: new Date(0) }, [4401, 'unauthorized']],
      ['somebody else', { subject: 'bob' }, [4403, 'identity_changed']],
      ['the same name of another issuer', { subject: 'ann', issuer: 'elsewhere' }, [4403, 'identity_changed']],
      ['a failure', new Error('the database is away'), undefined],
    ] as const
  ).map(([what, identity, end]: readonly [string, IdentityInput | null | Error, End | undefined]): LifeCase => ({
    own: true,
    name: `identify() that finds ${what} at a re-check ${end === undefined ? 'ends nothing' : `ends with ${end.join(' ')}`}`,
    async run(site) {
      const ann = site.meet('ann')
      const client = await site.open('ann')
      ann.identity = identity
      await site.pass(MINUTE)
      if (end === undefined) isOpen(client)
      else closed(client, ...end)
      assert.deepEqual(ends(site), end === undefined ? [] : [end])
    },
  })),
  {
    name: 'a login that has moved to a revoked session ends with 4401 at the next re-check',
    async run(site) {
      const ann = site.meet('ann', { session: 'old' })
      const client = await site.open('ann')
      await site.gate.revoke({ session: 'new' })
      ann.identity = { subject: 'ann', session: 'new' }
      await site.pass(50 * SECOND)
      isOpen(client)
      await site.pass(10 * SECOND)
      closed(client, 4401, 'revoked')
    },
  },
  {
    name: 'what a re-check finds is told once, as renewed by a re-check',
    async run(site) {
      const ann = site.meet('ann', { tags: ['a'] })
      await site.open('ann')
      ann.identity = { subject: 'ann', tags: ['b'] }
      await site.pass(3 * MINUTE)
      assert.deepEqual(
        site.told('renewed').map(({ by, subject }) => [by, subject]),
        [['recheck', 'ann']],
      )
      assert.ok(site.told('rechecked').length >= 2)
    },
  },
  {
    name: 'a password is never kept: nothing is asked, and the hour ends with 4401 max_age',
    async run(site) {
      const password = Buffer.from('ann:secret').toString('base64')
      site.meet(password, { subject: 'ann' })
      const client = await site.open('', { Authorization: `Basic ${password}` })
      await site.pass(HOUR - SECOND)
      isOpen(client)
      await site.pass(SECOND)
      closed(client, 4401, 'max_age')
      assert.deepEqual(site.phases, ['handshake'])
    },
  },
  {
    name: 'the phases: none on a plain request, inject for a question with no network',
    async run(site) {
      site.meet('ann')
      assert.equal((await site.get('/me', KEY_OF_ANN)).text, 'me')
      const peer = { address: '192.0.2.1' }
      const { type } = await site.gate.inject({ url: site.path, headers: { 'x-api-key': 'ann' }, peer })
      assert.equal(type, 'accept')
      await site.open('ann')
      assert.deepEqual(site.phases, [undefined, 'inject', 'handshake'])
    },
  },
]

/** An expiry at which the app is asked for the last time. */
const lastWord = (status: number | 'hang', after: number): LifeCase => ({
  own: true,
  name: `at its expiry the app is asked once more; ${status} means 4401 expired`,
  options: { recheck: { every: '10m' } },
  async run(site) {
    const ann = site.meet('ann', { expiresAt: site.at(20 * SECOND) })
    const client = await site.open('ann')
    ann.status = status
    await passExactly(site, 20 * SECOND - 1)
    isOpen(client)
    assert.deepEqual(site.phases, ['handshake'])
    await passExactly(site, 1)
    await passExactly(site, after)
    assert.deepEqual(site.phases, ['handshake', 'recheck'])
    assert.deepEqual(
      site.told('rechecked').map(({ why }) => why),
      ['expiry'],
    )
    closed(client, 4401, 'expired')
  },
})

const TIMES: readonly LifeCase[] = [
  {
    id: 'RV13',
    name: 'an expiry that lies in the middle of a jump of the clock is seen after it',
    async run(site) {
      site.meet('ann', { expiresAt: site.at(10 * MINUTE) })
      const client = await site.open('ann')
      site.clock.pass(HOUR)
      await quiet()
      await site.pass(10 * SECOND)
      closed(client, 4401, 'expired')
    },
  },
  {
    name: 'a session that has moved on stays open, and has the new time',
    async run(site) {
      const ann = site.meet('ann', { session: 's', expiresAt: site.at(30 * SECOND) })
      const client = await site.open('ann')
      ann.identity = { subject: 'ann', session: 's', expiresAt: site.at(50 * SECOND) }
      await site.pass(40 * SECOND)
      isOpen(client)
      await site.pass(15 * SECOND)
      closed(client, 4401, 'expired')
    },
  },
  {
    name: 'the handler is told before the end',
    async run(site) {
      site.meet('ann', { expiresAt: site.at(100 * SECOND) })
      const { connection } = await site.open('ann')
      const told: number[] = []
      connection.on('expiring', (at) => told.push(at.getTime() - site.clock.now()))
      await site.pass(95 * SECOND)
      assert.equal(told.length, 1)
      assert.ok(told[0]! > 0 && told[0]! <= 10 * SECOND, String(told))
    },
  },
  {
    id: 'RV14',
    name: 'an expiry is kept to the millisecond, and told',
    options: { recheck: false },
    async run(site) {
      site.meet('ann', { expiresAt: site.at(20 * SECOND) })
      const client = await site.open('ann')
      assert.deepEqual(client.connection.expiresAt, site.at(20 * SECOND))
      await passExactly(site, 20 * SECOND - 1)
      isOpen(client)
      await passExactly(site, 1)
      closed(client, 4401, 'expired')
      const [{ reason, code, ms, subject } = assert.fail()] = site.told('ended')
      assert.deepEqual([reason, code, ms, subject], ['expired', 4401, 20 * SECOND, 'ann'])
      assert.equal(site.gate.connections.size, 0)
    },
  },
  {
    id: 'RV14',
    name: 'what has expired is refused with 401 expired_credential, with a challenge, by handshake, renewal and plain request',
    async run(site) {
      site.meet('ann', { session: 's', expiresAt: site.at(0) })
      const answers = [
        await site.knock('ann'),
        await site.get('/live', KEY_OF_ANN),
        await site.post('/renew', KEY_OF_ANN),
      ]
      const [handshake] = answers
      for (const answer of answers) assert.deepEqual(answered(answer), [401, 'expired_credential'])
      assert.match(String(handshake?.headers['www-authenticate']), /^App realm=/)
      assert.deepEqual(
        site.told('refused').map(({ request, code }) => [request, code]),
        [
          ['handshake', 'expired_credential'],
          ['renewal', 'expired_credential'],
        ],
      )
    },
  },
  {
    id: 'RV14',
    name: 'what expires while the app still decides is refused',
    async run(site) {
      site.meet('ann', { expiresAt: site.at(2 * SECOND) })
      const { until, go } = held()
      site.hold = until
      const client = site.begin('ann')
      await quiet()
      await passExactly(site, 2 * SECOND)
      go()
      await quiet()
      assert.deepEqual([client.status, site.served.length], [401, 0])
    },
  },
  lastWord(200, 0),
  lastWord(401, 0),
  lastWord(403, 0),
  lastWord(503, 0),
  lastWord('hang', 10 * SECOND),
  {
    id: 'RV13',
    name: 'the wall clock is set forward by an hour: what is over is seen within ten seconds',
    options: { recheck: false },
    async run(site) {
      site.meet('ann', { expiresAt: site.at(10 * MINUTE) })
      site.meet('bob', { expiresAt: site.at(2 * HOUR) })
      const [ann, bob] = [await site.open('ann'), await site.open('bob')]
      site.clock.ahead = HOUR
      await passExactly(site, 10 * SECOND)
      closed(ann, 4401, 'expired')
      isOpen(bob)
    },
  },
  {
    id: 'RV13',
    name: 'the wall clock is set back by an hour: nothing ends too early, and all ends by that clock',
    options: { recheck: false },
    async run(site) {
      site.meet('ann', { expiresAt: site.at(10 * MINUTE) })
      const client = await site.open('ann')
      site.clock.ahead = -HOUR
      await site.pass(10 * MINUTE + 20 * SECOND)
      isOpen(client)
      await site.pass(HOUR)
      closed(client, 4401, 'expired')
    },
  },
  {
    name: 'maxAge is absolute: a renewal does not go beyond it, and says so',
    options: { maxAge: '5m', recheck: false },
    async run(site) {
      site.meet('ann', { session: 's', expiresAt: site.at(HOUR) })
      const client = await site.open('ann')
      await site.pass(4 * MINUTE)
      const { status, text } = await site.post('/renew', KEY_OF_ANN)
      assert.deepEqual([status, (JSON.parse(text) as Answered)['expiresIn']], [200, 60])
      await passExactly(site, MINUTE - 1)
      isOpen(client)
      await passExactly(site, 1)
      closed(client, 4401, 'max_age')
    },
  },
]

interface Out {
  readonly by: 'session' | 'credential' | 'subject' | 'tag'
  readonly selector: SelectorInput
  readonly identity: (site: Site) => IdentityInput
}

/** Ways to name somebody. */
const OUT: readonly Out[] = [
  { by: 'session', selector: { session: 's' }, identity: () => ({ subject: 'ann', session: 's' }) },
  { by: 'credential', selector: { credential: 'k' }, identity: () => ({ subject: 'ann', credential: 'k' }) },
  { by: 'subject', selector: { subject: 'ann' }, identity: (site) => ({ subject: 'ann', issuedAt: site.at(0) }) },
  {
    by: 'tag',
    selector: { tag: 'team' },
    identity: (site) => ({ subject: 'ann', tags: ['team'], issuedAt: site.at(0) }),
  },
]

/** Everything that somebody who is out may try, and what it is answered with. */
async function comesBack(site: Site, key: string): Promise<unknown[]> {
  const asked = [
    await site.knock(key),
    await site.get('/live', { 'X-Api-Key': key }),
    await site.post('/renew', { 'X-Api-Key': key }),
  ]
  const peer = { address: '192.0.2.1' }
  const injected = await site.gate.inject({ url: site.path, headers: { 'x-api-key': key }, peer })
  return [...asked.map(answered), injected.type === 'refuse' ? [injected.status, injected.code] : [injected.type]]
}

const REVOKED = [401, 'revoked_credential']

const REVOCATIONS: readonly LifeCase[] = [
  {
    id: 'RV04',
    name: 'a broadcast in the same tick reaches the others alone',
    async run(site) {
      site.meet('ann')
      site.meet('bob')
      const [ann, bob] = [await site.open('ann'), await site.open('bob')]
      const revoked = site.gate.revoke({ subject: 'ann' })
      for (const { socket } of site.served) if (socket.readyState === socket.OPEN) socket.send('news')
      await revoked
      await quiet()
      assert.deepEqual([ann.messages, bob.messages], [[], ['news']])
    },
  },
  {
    id: 'RV11',
    own: true,
    name: 'a hundred connections of one user are ended, and nobody else',
    async run(site) {
      site.meet('ann')
      site.meet('bob')
      const bob = await site.open('bob')
      const all: Client[] = []
      for (let n = 0; n < 100; n++) all.push(site.begin('ann'))
      await quiet()
      const { matched, closed: ended } = await site.gate.revoke({ subject: 'ann' })
      await quiet()
      assert.deepEqual([matched, ended, site.gate.connections.size], [100, 100, 1])
      isOpen(bob)
      for (const client of all) closed(client, 4401, 'revoked')
    },
  },
  {
    id: 'RV20',
    name: 'a revoked subject comes back with what was issued later',
    async run(site) {
      const ann = site.meet('ann', { issuedAt: site.at(0) })
      const client = await site.open('ann')
      await site.gate.revoke({ subject: 'ann' })
      await quiet()
      closed(client, 4401, 'revoked')
      assert.equal((await site.dial('ann')).status, 401)
      ann.identity = { subject: 'ann', issuedAt: site.at(2 * SECOND) }
      await site.pass(2 * SECOND)
      assert.equal((await site.dial('ann')).status, 101)
    },
  },
  {
    name: 'all but the session in which the password was changed',
    async run(site) {
      site.meet('here', { subject: 'ann', session: 'here' })
      site.meet('there', { subject: 'ann', session: 'there' })
      const [here, there] = [await site.open('here'), await site.open('there')]
      await site.gate.revoke({ subject: 'ann' }, { except: { session: 'here' } })
      await quiet()
      isOpen(here)
      closed(there, 4401, 'revoked')
    },
  },
  ...OUT.map(({ by, selector, identity }): LifeCase => ({
    id: 'RV01',
    own: true,
    name: `a revocation by ${by} while the app decides wins, and the handler never hears of it`,
    async run(site) {
      site.meet('ann', identity(site))
      const { until, go } = held()
      site.hold = until
      const knocking = site.knock('ann')
      await quiet()
      const { matched } = await site.gate.revoke(selector)
      go()
      assert.deepEqual(answered(await knocking), REVOKED)
      assert.deepEqual([matched, site.served, site.told('accepted')], [0, [], []])
    },
  })),
  {
    id: 'RV01',
    name: 'a revocation while a renewal is asked about wins: 401, and the connection ends',
    async run(site) {
      const ann = site.meet('ann', { session: 's', expiresAt: site.at(MINUTE) })
      const client = await site.open('ann')
      ann.identity = { subject: 'ann', session: 's', expiresAt: site.at(HOUR) }
      const { until, go } = held()
      site.hold = until
      const renewing = site.post('/renew', KEY_OF_ANN)
      await quiet()
      await site.gate.revoke({ session: 's' })
      go()
      assert.deepEqual(answered(await renewing), REVOKED)
      await quiet()
      closed(client, 4401, 'revoked')
      assert.deepEqual(site.told('renewed'), [])
    },
  },
  {
    id: 'RV01',
    name: 'a revocation while a re-check is asked about wins',
    async run(site) {
      site.meet('ann', { session: 's' })
      const client = await site.open('ann')
      const { until, go } = held()
      site.hold = until
      await passExactly(site, MINUTE)
      await site.gate.revoke({ session: 's' })
      go()
      await quiet()
      closed(client, 4401, 'revoked')
      assert.deepEqual(ends(site), [[4401, 'revoked']])
    },
  },
  {
    id: 'RV02',
    name: 'a revocation while a message handler awaits: no later send, no later message, an aborted signal',
    async run(site) {
      site.meet('ann')
      const client = await site.open('ann')
      const { socket, connection } = client
      const { until, go } = held()
      const heard: string[] = []
      socket.removeAllListeners('message')
      socket.on('message', (data) => {
        heard.push(String(data))
        void until.then(() => {
          heard.push(`aborted: ${connection.signal.aborted}`)
          socket.send('too late', () => undefined)
        })
      })
      client.ws.send('one')
      await quiet()
      const revoked = site.gate.revoke({ subject: 'ann' })
      client.ws.send('two')
      await revoked
      go()
      await quiet()
      assert.deepEqual([heard, client.messages], [['one', 'aborted: true'], []])
      closed(client, 4401, 'revoked')
    },
  },
  ...OUT.map(({ by, selector, identity }): LifeCase => ({
    id: 'RV20',
    own: true,
    name: `who is out by ${by} stays out: handshake, plain request, renewal and inject() say 401 revoked_credential`,
    async run(site) {
      site.meet('ann', identity(site))
      site.meet('eve', { session: 'eve', issuedAt: site.at(0) })
      const [ann, eve] = [await site.open('ann'), await site.open('eve')]
      const { matched, closed: ended, unbounded, durable, nodes } = await site.gate.revoke(selector)
      assert.deepEqual([matched, ended, unbounded, durable, nodes.length], [1, 1, 0, 'memory', 1])
      await quiet()
      closed(ann, 4401, 'revoked')
      assert.deepEqual(await comesBack(site, 'ann'), [REVOKED, REVOKED, REVOKED, REVOKED])
      assert.match(String((await site.knock('ann')).headers['www-authenticate']), /^App realm=/)
      const told = site.told('revoked').map((event) => [event.by, event.matched, event.closed, event.remembered])
      assert.deepEqual(told, [[by, 1, 1, 1]])
      isOpen(eve)
      assert.equal((await site.dial('eve')).status, 101)
      assert.deepEqual(answered(await site.get('/live', { 'X-Api-Key': 'eve' })), [426, 'websocket_only'])
      assert.equal((await site.post('/renew', { 'X-Api-Key': 'eve' })).status, 200)
    },
  })),
  ...OUT.slice(0, 3).map(({ by, selector, identity }): LifeCase => ({
    id: 'RV20',
    own: true,
    name: `behind authenticate(): who is out by ${by} is refused with 401 revoked_credential on every page as well`,
    door: 'schemes',
    async run(site) {
      const key = 'key-of-ann'
      site.meet(key, identity(site))
      site.meet('key-of-eve')
      const [ann, eve] = [await site.open(key), await site.open('key-of-eve')]
      assert.equal((await site.get('/me', { 'X-Api-Key': key })).text, 'me')
      await site.gate.revoke(selector)
      await quiet()
      closed(ann, 4401, 'revoked')
      isOpen(eve)
      const page = await site.get('/me', { 'X-Api-Key': key })
      assert.deepEqual(answered(page), REVOKED)
      assert.ok(page.headers['www-authenticate'], 'a 401 names a scheme')
      assert.deepEqual(await comesBack(site, key), [REVOKED, REVOKED, REVOKED, REVOKED])
      assert.equal((await site.get('/me', { 'X-Api-Key': 'key-of-eve' })).text, 'me')
    },
  })),
  {
    name: 'behind authenticate(): a key that was withdrawn ends at the next re-check, one that cannot be looked up does not',
    own: true,
    door: 'schemes',
    async run(site) {
      const ann = site.meet('key-of-ann')
      const eve = site.meet('key-of-eve')
      const clients = [await site.open('key-of-ann'), await site.open('key-of-eve')] as const
      ann.identity = null
      eve.identity = new Error('the database is away')
      await site.pass(MINUTE)
      closed(clients[0], 4401, 'unauthorized')
      isOpen(clients[1])
    },
  },
  {
    name: 'a revocation that was called twice ends nothing twice',
    async run(site) {
      site.meet('ann', { session: 's' })
      const client = await site.open('ann')
      const both = await Promise.all([site.gate.revoke({ session: 's' }), site.gate.revoke({ session: 's' })])
      assert.deepEqual(
        both.map((one) => one.closed),
        [1, 0],
      )
      await quiet()
      closed(client, 4401, 'revoked')
      assert.deepEqual(ends(site), [[4401, 'revoked']])
    },
  },
  {
    name: 'a connection alone: the others of the session stay, and its login may come back',
    async run(site) {
      site.meet('ann', { session: 's' })
      const [one, other] = [await site.open('ann'), await site.open('ann')]
      const { matched, unbounded } = await site.gate.revoke({ connection: one.connection.id })
      assert.deepEqual([matched, unbounded], [1, 0])
      await quiet()
      closed(one, 4401, 'revoked')
      isOpen(other)
      assert.equal((await site.dial('ann')).status, 101)
    },
  },
  {
    name: 'all but one connection, by its id',
    async run(site) {
      site.meet('ann')
      const [here, there] = [await site.open('ann'), await site.open('ann')]
      const except = { connection: here.connection.id }
      const { matched, closed: ended, unbounded } = await site.gate.revoke({ subject: 'ann' }, { except })
      assert.deepEqual([matched, ended, unbounded], [2, 1, 1])
      await quiet()
      isOpen(here)
      closed(there, 4401, 'revoked')
    },
  },
  {
    name: 'the connection that was excepted may be renewed by its token: an old login of which nothing else is known',
    own: true,
    async run(site) {
      site.meet('ann', { issuedAt: site.at(-HOUR) })
      const [here, there] = [await site.open('ann'), await site.open('ann')]
      await site.gate.revoke({ subject: 'ann' }, { except: { connection: here.connection.id } })
      await quiet()
      closed(there, 4401, 'revoked')
      await site.pass(MINUTE)
      isOpen(here)
      assert.deepEqual(answered(await site.post('/renew', named(here.connection.token))), [200, undefined])
      isOpen(here)
    },
  },
  {
    name: 'what is revoked until a time is forgotten within an hour of it',
    async run(site) {
      site.meet('ann', { session: 's' })
      await site.gate.revoke({ session: 's' }, { until: site.at(MINUTE) })
      assert.deepEqual(answered(await site.knock('ann')), REVOKED)
      site.clock.pass(HOUR)
      await quiet()
      assert.equal((await site.dial('ann')).status, 101)
    },
  },
  {
    name: 'who was renewed with another session is out by either',
    async run(site) {
      for (const session of ['before', 'after']) {
        const ann = site.meet(session, { subject: 'ann', session })
        const client = await site.open(session)
        ann.identity = { subject: 'ann', session: `${session} it` }
        await site.post('/renew', { 'X-Api-Key': session, 'Gate101-Connection': client.connection.token })
        isOpen(client)
        await site.gate.revoke({ session: session === 'before' ? 'before' : 'after it' })
        await quiet()
        closed(client, 4401, 'revoked')
      }
    },
  },
  ...(
    [
      ['of 123 bytes is left as it is', 'x'.repeat(123), 'x'.repeat(123)],
      ['of 124 bytes is cut', 'x'.repeat(124), 'x'.repeat(123)],
      ['of characters of two bytes is cut between them', 'ü'.repeat(100), 'ü'.repeat(61)],
      ['of characters of four bytes is cut between them', '😀'.repeat(40), '😀'.repeat(30)],
      ['that is none is "ended"', undefined, 'ended'],
    ] as const
  ).map(([what, given, reason]): LifeCase => ({
    id: 'RV23',
    name: `a reason ${what}`,
    async run(site) {
      site.meet('ann')
      const client = await site.open('ann')
      const told: string[] = []
      client.connection.on('end', (why) => told.push(why))
      client.connection.end(given)
      await quiet()
      closed(client, 4403, reason)
      assert.equal(told.length, 1)
    },
  })),
]

/** A store as session middlewares have it, and what it answers with. */
const store = {
  failure: undefined as Error | undefined,
  destroy(_id: string, done: (error?: Error) => void): void {
    setImmediate(() => done(this.failure))
  },
}

const destroyed = (failure?: Error): void => {
  store.failure = failure
  store.destroy('s', () => undefined)
}

const LOGOUTS: readonly LifeCase[] = [
  {
    name: 'a session that is destroyed in the store: the app is asked at once, and its connections end with 4401 revoked',
    options: { sessionStore: store as SessionStoreLike },
    async run(site) {
      const ann = site.meet('ann', { session: 's' })
      site.meet('eve', { session: 'other' })
      const [client, eve] = [await site.open('ann'), await site.open('eve')]
      ann.status = 401
      destroyed()
      await quiet()
      closed(client, 4401, 'revoked')
      isOpen(eve)
      assert.deepEqual(
        site.told('rechecked').map(({ why, outcome }) => [why, outcome]),
        [['session', 'refused']],
      )
    },
  },
  {
    name: 'a session that is destroyed while the app cannot answer is out all the same',
    options: { sessionStore: store as SessionStoreLike },
    async run(site) {
      const ann = site.meet('ann', { session: 's' })
      const client = await site.open('ann')
      ann.status = 503
      destroyed()
      await quiet()
      closed(client, 4401, 'revoked')
    },
  },
  {
    name: 'a session that the store could not destroy is the word of the app',
    options: { sessionStore: store as SessionStoreLike },
    async run(site) {
      site.meet('ann', { session: 's' })
      const client = await site.open('ann')
      destroyed(new Error('the store is away'))
      await quiet()
      isOpen(client)
      assert.deepEqual(site.phases, ['handshake', 'recheck'])
    },
  },
  {
    name: 'a logout while a handshake is decided: the app is asked again, and nobody stays',
    options: { sessionStore: store as SessionStoreLike },
    async run(site) {
      const ann = site.meet('ann', { session: 's' })
      const { until, go } = held()
      site.hold = until
      const client = site.begin('ann')
      await quiet()
      destroyed()
      await quiet()
      ann.status = 401
      go()
      await quiet()
      closed(client, 4401, 'revoked')
      assert.equal(site.gate.connections.size, 0)
    },
  },
  {
    name: 'a logout that nobody has told the gate of ends at the next re-check, by 401 or by a redirect to the login',
    async run(site) {
      const ann = site.meet('ann', { session: 's' })
      const eve = site.meet('eve', { session: 't' })
      const clients = [await site.open('ann'), await site.open('eve')]
      ann.status = 401
      eve.status = 302
      await site.pass(MINUTE)
      for (const client of clients) closed(client, 4401, 'unauthorized')
    },
  },
]

type Connected = Client & Served
type Headers = Readonly<Record<string, string>>

/** One renewal that is refused, of a connection of `ann` with the session `s` that ends in 40 seconds. */
interface RefusedRenewal {
  readonly name: string
  readonly id?: string
  readonly get?: true
  /** What it is sent with, after what has to happen before. @defaultValue the key of ann, from a page of this site */
  readonly headers?: (client: Connected, site: Site) => Headers | Promise<Headers>
  /** Whom the app finds. @defaultValue ann, with the same session and more time */
  readonly found?: IdentityInput | null | Error
  /** `undefined`: an answer of the app. */
  readonly answers: readonly [status: number, code: string | undefined]
  readonly header?: readonly [name: string, value: string]
  /** Fastify itself answers to types that it has no parser for. */
  readonly byFastify?: true
  readonly origins?: 'needed'
}

const named = (token: string): Headers => ({ ...KEY_OF_ANN, 'Gate101-Connection': token })
const byName = ({ connection }: Connected): Headers => named(connection.token)
const later = new Date(Date.UTC(2030, 0, 1))

/** The same key of another person, or of nobody at all. */
async function as(site: Site, key: string, identity: Partial<IdentityInput>): Promise<void> {
  site.meet(key, { expiresAt: later, ...identity })
}

const REFUSED: readonly RefusedRenewal[] = [
  { name: 'by GET', get: true, answers: [405, 'renew_needs_post'], header: ['allow', 'POST'] },
  ...(
    [['text/plain'], ['application/jsonp', true], ['multipart/form-data; boundary=application/json', true]] as const
  ).map(([type, byFastify]): RefusedRenewal => ({
    ...(byFastify === true ? { byFastify } : {}),
    name: `of the type ${type}`,
    headers: () => ({ ...KEY_OF_ANN, 'Content-Type': type }),
    answers: [415, 'renew_needs_json'],
  })),
  {
    name: 'of a login without a session that names no connection',
    found: { subject: 'ann', expiresAt: later },
    answers: [400, 'renew_needs_connection'],
  },
  ...(
    [
      ['of no connection', () => 'c0-0.none'],
      ['that is an id alone', ({ connection }) => connection.id],
      ['with another end', ({ connection: { token } }) => token.slice(0, -1) + (token.endsWith('A') ? 'B' : 'A')],
      ['that is empty', () => ''],
      ['beside one that is none', ({ connection }) => `${connection.token}, c0-0.none`],
      ['in a list of 33', () => Array.from({ length: 33 }, (_, n) => `c0-${n}.x`).join(', ')],
    ] as ReadonlyArray<readonly [string, (client: Connected) => string]>
  ).map(([what, tokenOf]): RefusedRenewal => ({
    name: `with a token ${what}`,
    headers: (client) => named(tokenOf(client)),
    answers: [404, 'unknown_connection'],
  })),
  {
    name: 'with the token of a connection that has ended',
    async headers(_client, site) {
      const { connection, ws } = await site.open('ann')
      ws.close()
      await quiet()
      return named(connection.token)
    },
    answers: [404, 'unknown_connection'],
  },
  {
    name: 'with a credential that was issued before',
    found: { subject: 'ann', session: 's', issuedAt: new Date(Date.UTC(2026, 0, 1)), expiresAt: later },
    answers: [409, 'stale_credential'],
  },
  {
    name: 'with a credential that was issued before, by name',
    headers: byName,
    found: { subject: 'ann', session: 't', issuedAt: new Date(Date.UTC(2026, 0, 1)), expiresAt: later },
    answers: [409, 'stale_credential'],
  },
  {
    name: 'with a credential that was revoked',
    async headers(client, site) {
      await site.gate.revoke({ credential: 'withdrawn' })
      return byName(client)
    },
    found: { subject: 'ann', session: 's', credential: 'withdrawn', expiresAt: later },
    answers: [401, 'revoked_credential'],
  },
  {
    name: 'from a page of another site',
    headers: () => ({ ...KEY_OF_ANN, Origin: 'http://evil.example' }),
    answers: [403, 'bad_origin'],
  },
  {
    name: 'from a page without an origin',
    headers: () => ({ ...KEY_OF_ANN, Origin: 'null' }),
    answers: [403, 'bad_origin'],
  },
  {
    name: 'that the browser says comes from another site',
    headers: () => ({ ...KEY_OF_ANN, Origin: ORIGIN, 'Sec-Fetch-Site': 'cross-site' }),
    answers: [403, 'cross_site'],
  },
  { name: 'by cookie alone, with no Origin', headers: () => ({ Cookie: 'sid=ann' }), answers: [403, 'missing_origin'] },
  {
    name: 'with no Origin, where there must be one',
    origins: 'needed',
    answers: [403, 'missing_origin'],
  },
  {
    name: 'at a host that nobody serves',
    headers: () => ({ ...KEY_OF_ANN, Host: 'evil.example' }),
    answers: [421, 'host_not_allowed'],
  },
  {
    name: 'that carries nothing, where the app lets everybody in',
    async headers(_client, site) {
      await as(site, NOBODY, { subject: 'ann', session: 's' })
      return {}
    },
    answers: [401, 'missing_credential'],
  },
  ...([{ subject: 'eve' }, { subject: 'ann', issuer: 'another tenant' }] as const).flatMap((who) =>
    (['name', 'session'] as const).map((by): RefusedRenewal => ({
      id: 'RV16',
      name: `by ${by}, of ${Object.values(who).join(' of ')}`,
      async headers({ connection }, site) {
        await as(site, 'eve', { ...who, session: 's' })
        return { 'X-Api-Key': 'eve', ...(by === 'name' ? { 'Gate101-Connection': connection.token } : {}) }
      },
      answers: [403, 'identity_changed'],
    })),
  ),
  { name: 'of which identify() knows nobody', found: null, answers: [403, 'no_identity'] },
  { name: 'at which identify() fails', found: new Error('the database is away'), answers: [500, 'app_error'] },
  {
    name: 'with a credential that has expired',
    found: { subject: 'ann', session: 's', expiresAt: new Date(0) },
    answers: [401, 'expired_credential'],
  },
  ...([401, 403, 302, 429, 500] as const).map((status): RefusedRenewal => ({
    name: `that the app answers with ${status}`,
    async headers(_client, site) {
      site.meet('stranger').status = status
      return { 'X-Api-Key': 'stranger' }
    },
    answers: [status, undefined],
  })),
]

const NEEDED = { allow: 'same-origin', missing: 'refuse' } as const

function refusedRenewal({
  name,
  id,
  get,
  headers,
  found,
  answers,
  header,
  byFastify,
  origins,
}: RefusedRenewal): LifeCase {
  const [status, own] = answers
  return {
    ...(id === undefined ? {} : { id }),
    name: `a renewal ${name} is refused with ${status} ${own ?? 'by the app'}, and nothing is changed`,
    own: true,
    options: { recheck: false, ...(origins === undefined ? {} : { origins: NEEDED }) },
    async run(site) {
      const ann = site.meet('ann', { session: 's', issuedAt: site.at(0), expiresAt: site.at(40 * SECOND) })
      const client = await site.open('ann', { Origin: ORIGIN })
      const { identity, expiresAt, token } = client.connection
      const sent = (await headers?.(client, site)) ?? KEY_OF_ANN
      ann.identity =
        found === undefined ? { subject: 'ann', session: 's', issuedAt: site.at(0), expiresAt: later } : found
      const answer = get === true ? await site.get('/renew', sent) : await site.post('/renew', sent)
      const code = byFastify === true && /fastify/i.test(site.name) ? undefined : own
      assert.deepEqual(answered(answer), [status, code])
      if (header !== undefined) assert.equal(answer.headers[header[0]], header[1])
      const { connection } = client
      assert.ok(connection.identity === identity && connection.token === token)
      assert.deepEqual([connection.expiresAt, site.told('renewed')], [expiresAt, []])
      const told = site.told('refused').map((event) => [event.request, event.code, event.status])
      assert.deepEqual(told, code === undefined ? [] : [['renewal', code, status]])
      await passExactly(site, 40 * SECOND - 1)
      isOpen(client)
      await passExactly(site, 1)
      closed(client, 4401, 'expired')
    },
  }
}

const RENEWALS: readonly LifeCase[] = [
  ...REFUSED.map(refusedRenewal),
  {
    id: 'RV17',
    name: 'a renewal with fewer rights is told to the handler',
    async run(site) {
      const ann = site.meet('ann', { session: 's', tags: ['admin'] })
      const client = await site.open('ann')
      const tags: unknown[] = []
      client.connection.on('renewed', (identity) => tags.push(identity.tags))
      ann.identity = { subject: 'ann', session: 's', tags: [] }
      await site.post('/renew', KEY_OF_ANN)
      assert.deepEqual(tags, [[]])
    },
  },
  {
    name: 'an accepted renewal: its answer, its event, its notice, and the new end in the place of the old one',
    options: { recheck: false },
    async run(site) {
      const ann = site.meet('ann', { session: 's', expiresAt: site.at(40 * SECOND) })
      site.meet('other', { subject: 'ann', session: 't', expiresAt: site.at(40 * SECOND) })
      const [one, two, other] = [await site.open('ann'), await site.open('ann'), await site.open('other')]
      const heard: unknown[] = []
      one.connection.on('renewed', ({ expiresAt, claims }) => heard.push([expiresAt, claims]))
      const expiresAt = site.at(90 * SECOND)
      ann.identity = { subject: 'ann', session: 's', expiresAt, claims: 'new' }
      const answer = await site.post('/renew', KEY_OF_ANN)
      const said = { renewed: 2, expiresAt: expiresAt.toISOString(), expiresIn: 90 }
      assert.deepEqual([answer.status, JSON.parse(answer.text)], [200, said])
      assert.deepEqual([answer.headers['cache-control'], heard], ['no-store', [[expiresAt, 'new']]])
      const told = site.told('renewed').map(({ by, connection }) => [by, connection])
      assert.deepEqual(
        told,
        [one, two].map(({ connection }) => ['http', connection.id]),
      )
      await passExactly(site, 40 * SECOND)
      closed(other, 4401, 'expired')
      await passExactly(site, 50 * SECOND - 1)
      for (const client of [one, two]) isOpen(client)
      await passExactly(site, 1)
      for (const client of [one, two]) closed(client, 4401, 'expired')
    },
  },
  {
    name: 'a renewal names several connections, each once; a login that never expires has no end',
    own: true,
    async run(site) {
      const ann = site.meet('ann', { expiresAt: site.at(40 * SECOND) })
      const tokens = [(await site.open('ann')).connection.token, (await site.open('ann')).connection.token]
      const left = await site.open('ann')
      ann.identity = { subject: 'ann' }
      const { text } = await site.post('/renew', named([...tokens, ...tokens].join(', ')))
      assert.deepEqual(JSON.parse(text), { renewed: 2, expiresAt: null, expiresIn: null })
      assert.deepEqual(left.connection.expiresAt, site.at(40 * SECOND))
    },
  },
  {
    name: 'a renewal of a session that has no connection here renews none',
    own: true,
    async run(site) {
      site.meet('ann', { session: 's' })
      const { status, text } = await site.post('/renew', KEY_OF_ANN)
      assert.deepEqual([status, JSON.parse(text)], [200, { renewed: 0, expiresAt: null, expiresIn: null }])
    },
  },
  {
    name: 'after a renewal with another key that one is asked about, with all else of the handshake',
    async run(site) {
      const ann = site.meet('ann')
      site.meet('new-key', { subject: 'ann' })
      const client = await site.open('ann', { 'X-Room': 'a' }, '?room=1')
      await site.post('/renew', { 'X-Api-Key': 'new-key', 'Gate101-Connection': client.connection.token })
      ann.status = 401
      await site.pass(MINUTE + 9 * SECOND)
      isOpen(client)
      const { phase, request = {} } = site.seen.at(-1) ?? {}
      const headers = request['headers'] as Headers
      assert.deepEqual(
        [phase, request['verb'], request['url'], headers['x-api-key'], headers['x-room'], headers['content-type']],
        ['recheck', 'GET', `${site.path}?room=1`, 'new-key', 'a', undefined],
      )
    },
  },
  {
    id: 'RV19',
    name: 'a flood of renewals in one tick: as many as may be, 429 for the others, and again a minute later',
    own: true,
    options: { limits: { renewalsPerMinute: 3 }, recheck: false },
    async run(site) {
      const ann = site.meet('ann', { session: 's', expiresAt: site.at(5 * MINUTE) })
      const client = await site.open('ann')
      const flood = await Promise.all(Array.from({ length: 8 }, async () => await site.post('/renew', KEY_OF_ANN)))
      const all = flood.map(answered).toSorted()
      assert.deepEqual(all, [
        ...Array.from({ length: 3 }, () => [200, undefined]),
        ...Array.from({ length: 5 }, () => [429, 'too_many_renewals']),
      ])
      ann.identity = { subject: 'ann', session: 's', expiresAt: site.at(HOUR) }
      await passExactly(site, MINUTE - 1)
      assert.equal((await site.post('/renew', KEY_OF_ANN)).status, 429)
      assert.deepEqual(client.connection.expiresAt, site.at(4 * MINUTE + 1))
      await passExactly(site, 1)
      assert.equal((await site.post('/renew', KEY_OF_ANN)).status, 200)
      isOpen(client)
    },
  },
  {
    name: 'a renewal at which identify() never answers is 503 after the deadline, and changes nothing',
    own: true,
    options: { recheck: false },
    async run(site) {
      site.meet('ann', { session: 's', expiresAt: site.at(40 * SECOND) })
      const client = await site.open('ann')
      const { until, go } = held()
      site.hold = until
      const renewing = site.post('/renew', KEY_OF_ANN)
      await quiet()
      await passExactly(site, 10 * SECOND)
      assert.deepEqual(answered(await renewing), [503, 'handshake_timeout'])
      go()
      await quiet()
      assert.deepEqual([site.told('renewed'), client.connection.expiresAt], [[], site.at(30 * SECOND)])
    },
  },
]

/** Somebody from an address, maybe through a proxy. */
type From = readonly [peer: string, forwarded?: string]

async function dialFrom(site: Site, [peer, forwarded]: From): Promise<number | undefined> {
  site.peer = peer
  const headers: Headers = forwarded === undefined ? {} : { 'X-Forwarded-For': forwarded }
  return (await site.dial('ann', headers)).status
}

/** Two connections may come from one address: who gets in, one after the other. */
const perAddress = (
  id: string,
  name: string,
  options: Exclude<LifeCase['options'], undefined>,
  all: ReadonlyArray<readonly [From, number]>,
): LifeCase => ({
  id,
  name: `two from one address: ${name}`,
  own: true,
  options: { ...options, limits: { connectionsPerAddress: 2 } },
  async run(site) {
    site.meet('ann')
    const statuses: unknown[] = []
    for (const [from] of all) statuses.push(await dialFrom(site, from))
    assert.deepEqual(
      statuses,
      all.map(([, status]) => status),
    )
    const codes = new Set(site.told('refused').map(({ code }) => code))
    assert.deepEqual([...codes], statuses.includes(429) ? ['too_many_for_address'] : [])
  },
})

const PROXY = { trustedProxies: ['10.0.0.1'] }

/** @param ms - how long the server waits for a client that reads nothing; one that reads where there is none. */
const refusedPeer = (name: string, key: string, line: string, ms: number | undefined): LifeCase => ({
  id: 'RX03',
  name,
  own: true,
  async run(site) {
    site.meet('ann')
    const [here, there] = duplexPair()
    site.plug(there)
    if (ms === undefined) here.resume()
    const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n'
    const mine = `Host: localhost\r\nSec-WebSocket-Key: ${'A'.repeat(22)}==\r\nX-Api-Key: ${key}\r\n`
    here.write(`GET ${site.path} HTTP/1.1\r\n${upgrade}${mine}${line}\r\n`)
    await quiet()
    assert.equal(site.told('refused').length, 1)
    if (ms !== undefined) {
      await passExactly(site, ms - 1)
      assert.equal(there.destroyed, false)
      await passExactly(site, 1)
    }
    assert.equal(there.destroyed, true)
  },
})

/** A page that asks, by a plain request, why its handshake fails. */
interface Explained {
  readonly name: string
  readonly options?: LifeCase['options']
  readonly before?: (site: Site, ann: Person) => Promise<unknown> | void
  readonly headers?: Headers
  readonly todo?: string
  readonly answers: readonly [status: number, code: string | undefined]
}

const EXPLAINED: readonly Explained[] = [
  { name: 'that would open', answers: [426, 'websocket_only'] },
  { name: 'with a key that the app does not know', headers: { 'X-Api-Key': 'nobody' }, answers: [401, undefined] },
  { name: 'that the app forbids', before: (_site, ann) => void (ann.status = 403), answers: [403, undefined] },
  { name: 'of nobody', before: (_site, ann) => void (ann.identity = null), answers: [403, 'no_identity'] },
  {
    name: 'at which identify() fails',
    before: (_site, ann) => void (ann.identity = new Error('the database is away')),
    answers: [500, 'app_error'],
  },
  {
    name: 'of a login that has expired',
    before: (site, ann) => void (ann.identity = { subject: 'ann', expiresAt: site.at(0) }),
    answers: [401, 'expired_credential'],
  },
  {
    name: 'of a login that was revoked',
    async before(site, ann) {
      ann.identity = { subject: 'ann', session: 's' }
      await site.gate.revoke({ session: 's' })
    },
    answers: [401, 'revoked_credential'],
  },
  { name: 'from another site', headers: { Origin: 'http://evil.example' }, answers: [403, 'bad_origin'] },
  {
    name: 'of somebody who has as many connections as they may have',
    options: { limits: { connectionsPerSubject: 1 } },
    before: async (site) => await site.open('ann'),
    answers: [429, 'too_many_for_subject'],
  },
  {
    name: 'where there are as many connections as there may be',
    options: { limits: { connections: 1 } },
    before: async (site) => await site.open('ann'),
    answers: [503, 'too_many_connections'],
  },
  {
    name: 'while the gate closes',
    before: (site) => void site.gate.close({ drain: '10s' }),
    answers: [503, 'closing'],
  },
]

const OPEN = [101]

const EXPLANATIONS: readonly LifeCase[] = EXPLAINED.map(({ name, options = {}, before, headers, answers, todo }) => ({
  ...(todo === undefined ? {} : { todo }),
  name: `a plain request to the endpoint says of a handshake ${name}: ${answers[0]} ${answers[1] ?? 'by the app'}`,
  own: true,
  options,
  async run(site) {
    const ann = site.meet('ann')
    await before?.(site, ann)
    assert.deepEqual(answered(await site.get('/live', { ...KEY_OF_ANN, ...headers })), answers)
    // And that is so.
    const knocked = await site.knock('ann', headers).then(answered, () => OPEN)
    assert.deepEqual(knocked, answers[0] === 426 ? OPEN : answers)
  },
}))

const LIMITS: readonly LifeCase[] = [
  perAddress('RX05', 'a third is refused with 429, somebody else is not', {}, [
    [['203.0.113.7'], 101],
    [['203.0.113.7'], 101],
    [['203.0.113.7'], 429],
    [['::ffff:203.0.113.7'], 429],
    [['203.0.113.8'], 101],
  ]),
  perAddress('RX05', 'of IPv6 a /64 is one', {}, [
    [['2001:db8:0:1::1'], 101],
    [['2001:db8:0:1:ffff::2'], 101],
    [['2001:db8:0:1::3'], 429],
    [['2001:db8:0:2::1'], 101],
  ]),
  perAddress('RX05', 'a trusted proxy is believed about its clients', PROXY, [
    [['10.0.0.1', '203.0.113.7'], 101],
    [['10.0.0.1', '198.51.100.1, 203.0.113.7'], 101],
    [['10.0.0.1', '203.0.113.7'], 429],
    [['10.0.0.1', '203.0.113.8'], 101],
  ]),
  perAddress('RX06', 'what a stranger forwards is not believed', PROXY, [
    [['203.0.113.7', '198.51.100.1'], 101],
    [['203.0.113.7', '198.51.100.2'], 101],
    [['203.0.113.7', '198.51.100.3'], 429],
  ]),
  perAddress('RX06', 'an unlisted proxy of this machine is nobody', {}, [
    [['127.0.0.1', '198.51.100.1'], 101],
    [['127.0.0.1', '198.51.100.1'], 101],
    [['127.0.0.1', '198.51.100.1'], 101],
  ]),
  {
    id: 'RX06',
    name: 'an unlisted proxy is warned of once',
    own: true,
    options: { limits: { connectionsPerAddress: 2 } },
    async run(site) {
      site.meet('ann')
      for (let n = 0; n < 3; n++) await dialFrom(site, ['127.0.0.1', `198.51.100.${n}`])
      assert.deepEqual(
        site.told('warning').map(({ code }) => code),
        ['unlisted_proxy'],
      )
    },
  },
  ...(
    [
      [{ connections: 1 }, 503, 'too_many_connections'],
      [{ connectionsPerSubject: 1 }, 429, 'too_many_for_subject'],
      [{ connectionsPerSession: 1 }, 429, 'too_many_for_session'],
      [{ connectionsPerAddress: 1 }, 429, 'too_many_for_address'],
    ] as const
  ).map(([limits, status, code]): LifeCase => ({
    id: 'RX05',
    name: `${Object.keys(limits).join()} refuses with ${status} ${code} and Retry-After; the old one stays`,
    options: { limits },
    async run(site) {
      site.meet('ann', { session: 's' })
      const client = await site.open('ann')
      const refusal = await site.knock('ann')
      assert.deepEqual(answered(refusal), [status, code])
      assert.match(String(refusal.headers['retry-after']), /^\d+$/)
      assert.deepEqual(
        site.told('refused').map((event) => [event.request, event.code]),
        [['handshake', code]],
      )
      isOpen(client)
      client.ws.close()
      await quiet()
      assert.equal((await site.dial('ann')).status, 101)
    },
  })),
  ...(['session', 'credential'] as const).map((what): LifeCase => ({
    id: 'RX05',
    name: `overflow "replace-oldest" by ${what}: one after the other goes with 4409, oldest first; another login gets 429`,
    options: { limits: { connectionsPerSubject: 2, overflow: 'replace-oldest' } },
    async run(site) {
      site.meet('ann', { [what]: 'one' })
      site.meet('two', { subject: 'ann', [what]: 'two' })
      const all: Client[] = []
      for (let n = 0; n < 4; n++) all.push(await site.open('ann'))
      assert.deepEqual(
        all.map((client) => client.closed?.code),
        [4409, 4409, undefined, undefined],
      )
      assert.deepEqual(answered(await site.knock('two')), [429, 'too_many_for_subject'])
      assert.deepEqual(ends(site), [
        [4409, 'replaced'],
        [4409, 'replaced'],
      ])
      assert.equal(site.gate.connections.size, 2)
    },
  })),
  {
    id: 'RX05',
    name: 'overflow "replace-oldest" by connectionsPerSession; a full server or address replaces nobody',
    options: { limits: { connectionsPerSession: 1, connections: 2, overflow: 'replace-oldest' } },
    async run(site) {
      site.meet('ann', { session: 's' })
      site.meet('bob', { session: 't' })
      site.meet('eve', { session: 'u' })
      const [old, bob] = [await site.open('ann'), await site.open('bob')]
      assert.deepEqual(answered(await site.knock('eve')), [503, 'too_many_connections'])
      isOpen(old)
      bob.ws.close()
      await quiet()
      isOpen(await site.open('ann'))
      closed(old, 4409, 'replaced')
    },
  },
  {
    id: 'RX02',
    name: 'handshakes that the app does not decide: so many wait, the next is 503 with Retry-After, and all that waited open',
    options: { limits: { handshakes: 2 } },
    async run(site) {
      site.meet('ann')
      const { until, go } = held()
      site.hold = until
      const waiting = [site.begin('ann'), site.begin('ann')]
      await quiet()
      const refusal = await site.knock('ann')
      assert.deepEqual(answered(refusal), [503, 'too_many_handshakes'])
      assert.equal(refusal.headers['retry-after'], '1')
      go()
      await quiet()
      assert.deepEqual(
        waiting.map(({ status }) => status),
        [101, 101],
      )
      assert.equal((await site.dial('ann')).status, 101)
    },
  },
  {
    id: 'RX02',
    name: 'handshakes of one address that the app does not decide: the next is 429, of another address is not',
    own: true,
    options: { limits: { handshakesPerAddress: 1 } },
    async run(site) {
      site.meet('ann')
      const { until, go } = held()
      site.hold = until
      const [one, other] = ['203.0.113.7', '203.0.113.8'].map((peer) => {
        site.peer = peer
        return site.begin('ann')
      })
      await quiet()
      assert.deepEqual(answered(await site.knock('ann')), [429, 'too_many_from_address'])
      go()
      await quiet()
      assert.deepEqual([one?.status, other?.status], [101, 101])
    },
  },
  {
    id: 'RX02',
    name: 'a handshake that the app never decides is 503 after the deadline, and its place is free',
    options: { limits: { handshakes: 1, deadline: 3000 } },
    async run(site) {
      const ann = site.meet('ann')
      ann.status = 'hang'
      const knocking = site.knock('ann')
      await quiet()
      await passExactly(site, 3000)
      assert.deepEqual(answered(await knocking), [503, 'handshake_timeout'])
      ann.status = 200
      assert.equal((await site.dial('ann')).status, 101)
    },
  },
  ...(
    [
      ['the app', 'unknown', ''],
      ['the gate', 'ann', 'Origin: http://evil.example\r\n'],
    ] as const
  ).flatMap(([who, key, line]) => [
    refusedPeer(`whom ${who} has refused, and who reads nothing, is gone a second later`, key, line, SECOND),
    refusedPeer(`whom ${who} has refused, and who does not go, is gone with the last byte`, key, line, undefined),
  ]),
  {
    id: 'RX08',
    name: 'a client that does not read is ended with 1013 too_slow, once more waits for it than may',
    options: { heartbeat: '30s', recheck: false, limits: { buffered: 1000 } },
    async run(site) {
      site.meet('ann')
      const slow = await site.open('ann')
      const wire = site.sockets.at(-1)
      const other = await site.open('ann')
      wire?.cork()
      slow.socket.send('x'.repeat(2000))
      other.socket.send('x'.repeat(2000))
      await passExactly(site, 30 * SECOND)
      isOpen(other)
      assert.deepEqual(ends(site), [[1013, 'too_slow']])
      await passExactly(site, SECOND)
      assert.equal(wire?.destroyed, true)
    },
  },
  {
    id: 'RX08',
    own: true,
    name: 'a client that sends more than a message may have is ended with 1009',
    options: { limits: { message: 1000 } },
    async run(site) {
      site.meet('ann')
      const client = await site.open('ann')
      client.ws.send('x'.repeat(1001))
      await quiet()
      assert.equal(client.closed?.code, 1009)
    },
  },
  {
    id: 'RX09',
    name: 'compression that a client offers is not taken up',
    own: true,
    async run(site) {
      site.meet('ann')
      const { ws } = await site.open('ann', { 'Sec-WebSocket-Extensions': 'permessage-deflate' })
      assert.equal(ws.extensions, '')
    },
  },
  {
    id: 'RX11',
    name: 'a client that answers no ping is ended after two of them, one that does is not',
    options: { heartbeat: '30s', recheck: false },
    async run(site) {
      site.meet('ann')
      site.app.server.prependListener('connection', counting)
      const [silent, alive] = [await site.open('ann'), await site.open('ann')]
      silent.ws.pause()
      await passExactly(site, 30 * SECOND)
      await passExactly(site, 30 * SECOND)
      assert.equal(site.gate.connections.size, 2)
      await passExactly(site, 30 * SECOND)
      assert.deepEqual(ends(site), [[4408, 'no_pong']])
      silent.ws.resume()
      await quiet()
      closed(silent, 4408, 'no_pong')
      isOpen(alive)
    },
  },
]

/** Counts what comes, as a TCP socket does. */
function counting(socket: Duplex): void {
  const counted = Object.assign(socket, { bytesRead: 0 })
  const push = socket.push.bind(socket)
  socket.push = (chunk: Buffer | null, encoding?: BufferEncoding) => {
    counted.bytesRead += chunk?.length ?? 0
    return push(chunk, encoding)
  }
}

const DRAINS: readonly LifeCase[] = [
  {
    name: 'a drain: 503 with Retry-After for handshakes, pages of the endpoint and renewals; 1012 one after the other',
    options: { recheck: false },
    async run(site) {
      site.meet('ann', { session: 's' })
      const all: Client[] = []
      for (let n = 0; n < 4; n++) all.push(await site.open('ann'))
      const draining = site.gate.close({ drain: '20s' })
      const left: number[] = []
      for (let n = 0; n < 4; n++) {
        await passExactly(site, n === 0 ? 1 : 5 * SECOND)
        left.push(all.filter((client) => client.closed === undefined).length)
      }
      assert.deepEqual(left, [3, 2, 1, 0])
      const refusals = [await site.knock('ann'), await site.post('/renew', KEY_OF_ANN)]
      for (const refusal of refusals) {
        assert.deepEqual(answered(refusal), [503, 'closing'])
        assert.equal(refusal.headers['retry-after'], '5')
      }
      await draining
      for (const client of all) closed(client, 1012, 'restart')
      assert.deepEqual(
        ends(site),
        all.map(() => [1012, 'restart']),
      )
    },
  },
  {
    name: 'what is being decided when the gate closes is refused with 503, and no handler hears of it',
    async run(site) {
      site.meet('ann')
      const { until, go } = held()
      site.hold = until
      const knocking = site.knock('ann')
      await quiet()
      const closing = site.gate.close()
      go()
      assert.deepEqual(answered(await knocking), [503, 'closing'])
      await closing
      assert.deepEqual(site.served, [])
    },
  },
  {
    name: 'a drain while re-checks hang, and clients that answer no Close: all are gone a second later',
    async run(site) {
      const ann = site.meet('ann')
      const client = await site.open('ann')
      ann.status = 'hang'
      await passExactly(site, MINUTE)
      client.ws.pause()
      const wire = site.sockets.at(-1)
      const closing = site.gate.close()
      await quiet()
      await passExactly(site, SECOND)
      assert.equal(wire?.destroyed, true)
      await closing
      client.ws.resume()
      await quiet()
      closed(client, 1012, 'restart')
    },
  },
]

export const CASES: readonly LifeCase[] = [
  ...QUESTIONS,
  ...TIMES,
  ...REVOCATIONS,
  ...LOGOUTS,
  ...RENEWALS,
  ...EXPLANATIONS,
  ...LIMITS,
  ...DRAINS,
]
