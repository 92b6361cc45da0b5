import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { createGate, type LoginLimiter } from '../../src/index.ts'
import { frame } from '../support/frames.ts'
import { connectRaw, handshakeText } from '../support/raw.ts'
import { listen, type Listening } from '../support/servers.ts'
import { trapFaults, type Trap } from '../support/trap.ts'
import type { Options } from './apps/types.ts'
import { ask, converse, dial, mint, type Headers, type Outcome } from './client.ts'
import { IDENTITY_HEADERS, identityIn, makeEdge, trustingApp, type Trusting } from './edge.ts'
import { jwtOf, keyOf, PASSWORDS } from './people.ts'

/**
 * An edge strips the headers in which it tells the app who somebody is. The roads end in headers behind that edge: none of
 * them may bring one of these.
 */

/** Whom an attacker would like to be. */
const ROOT = 'root'
const GOOD = { Authorization: `Bearer ${jwtOf('bob')}` }

/** These tests are no attack on passwords. */
const limiter: LoginLimiter = {
  admit: () => ({ type: 'go', delay: 0 }),
  failed: () => undefined,
  passed: () => undefined,
  dropped: () => undefined,
}

interface Site extends AsyncDisposable {
  readonly app: Trusting
  /** Of the edge. */
  readonly port: number
  /** Of the app, past the edge. */
  readonly inside: number
}

async function startSite(options: Options = {}): Promise<Site> {
  const app = trustingApp({
    tickets: { perSession: 10_000 },
    subprotocolTokens: ['gate101', 'kubernetes', 'phoenix', 'openai', 'bearer'],
    dangerouslyAllowQueryToken: true,
    limits: { waitingPerAddress: 200 },
    ...options,
    firstMessage: { paths: ['/talk'], headers: ['authorization', 'x-api-key'], limiter, ...options.firstMessage },
  })
  const behind: Listening = await listen(app.server)
  const edge = await listen(makeEdge(() => behind.port))
  return {
    app,
    port: edge.port,
    inside: behind.port,
    async [Symbol.asyncDispose]() {
      await edge.close()
      await behind.close()
    },
  }
}

/** Nothing of what the app has seen says who somebody is, and nobody is root. */
function assertNeverIn({ app }: Site): void {
  for (const rawHeaders of app.seen) assert.deepEqual(identityIn(rawHeaders), [])
  assert.ok(!app.opened.includes(ROOT))
}

/** All the ways in which a text may try to end its own line and begin another. */
const lineEnds = (name: string): string[] => [
  `x\r\n${name}: ${ROOT}`,
  `x\n${name}: ${ROOT}`,
  `x\r${name}: ${ROOT}`,
  `x\0${name}: ${ROOT}`,
  `x\u010d\u010a${name}: ${ROOT}`,
  `${name}: ${ROOT}`,
]

const json = (value: unknown): string => JSON.stringify(value)
const auth = (value: object): string => json({ type: 'auth', ...value })

/** First messages that would set the header, and what is answered: a Close code, or the person of the rest. */
function messages(name: string): ReadonlyArray<readonly [message: string, said: number | string]> {
  const token = jwtOf('bob')
  const quoted = json(name)
  return [
    [auth({ headers: { [name]: ROOT } }), 4400],
    [auth({ headers: { ...GOOD, [name]: ROOT } }), 4400],
    [auth({ headers: { [name.toUpperCase()]: ROOT, ...GOOD } }), 4400],
    [auth({ headers: { [name.toLowerCase()]: ROOT, ...GOOD } }), 4400],
    [auth({ headers: { [` ${name}`]: ROOT, ...GOOD } }), 4400],
    [auth({ headers: { [`${name}:`]: ROOT, ...GOOD } }), 4400],
    [auth({ headers: { [`authorization: x\r\n${name}`]: ROOT } }), 4400],
    [auth({ headers: [[name, ROOT]] }), 4400],
    [auth({ headers: [name, ROOT] }), 4400],
    [auth({ headers: `${name}: ${ROOT}` }), 4400],
    [auth({ headers: { authorization: [`Bearer ${token}`, ROOT] } }), 4400],
    [auth({ headers: { authorization: { [name]: ROOT } } }), 4400],
    [`{"type":"auth","headers":{"__proto__":{${quoted}:"${ROOT}"},"authorization":"Bearer ${token}"}}`, 4400],
    [`{"type":"auth","__proto__":{"headers":{${quoted}:"${ROOT}"}}}`, 4400],
    [`{"type":"auth","headers":{${quoted}:"${ROOT}"},"token":"${token}"}`, 4400],
    // Two members of one name: whoever reads the message might take either.
    [`{"type":"auth","headers":{${quoted}:"${ROOT}"},"headers":{"authorization":"Bearer ${token}"}}`, 4400],
    [`{"type":"auth","headers":{"authorization":"Bearer ${token}"},"headers":{${quoted}:"${ROOT}"}}`, 4400],
    // Members that mean nothing.
    [auth({ token, [name]: ROOT }), 'bob'],
    [auth({ token, header: { [name]: ROOT }, rawHeaders: [name, ROOT], req: { headers: { [name]: ROOT } } }), 'bob'],
    [auth({ username: 'bob', password: PASSWORDS.bob, [name]: ROOT }), 'bob'],
    ...lineEnds(name).flatMap((text): Array<readonly [string, number]> => [
      [auth({ token: text }), 4400],
      [auth({ token: `${token}${text}` }), 4400],
      [auth({ username: 'bob', password: text }), text.startsWith('x') && !text.includes('č') ? 4400 : 4401],
      [auth({ username: text, password: PASSWORDS.bob }), 4400],
    ]),
    ...lineEnds(name)
      .slice(0, -1)
      .map((text): readonly [string, number] => [
        auth({ headers: { authorization: `Bearer ${token} ${text}` } }),
        4400,
      ]),
  ]
}

const saidOf = ({ opened, closeCode, status }: Outcome): unknown => opened?.subject ?? closeCode ?? status

/** Handshakes that would set the header, and the status of the refusal. */
function handshakes(name: string): ReadonlyArray<readonly [target: string, headers: Headers, status: number]> {
  const item = (prefix: string, text: string): Headers => ({ 'Sec-WebSocket-Protocol': `gate101, ${prefix}${text}` })
  const encoded = (text: string): string => Buffer.from(text).toString('base64url')
  return lineEnds(name).flatMap((text): Array<readonly [string, Headers, number]> => [
    ['/live', item('base64url.bearer.authorization.gate101.', encoded(text)), 400],
    ['/live', item('base64url.bearer.authorization.gate101.', encoded(`${jwtOf('bob')}${text}`)), 400],
    ['/live', item('base64url.bearer.authorization.k8s.io.', encoded(text)), 400],
    ['/live', item('base64url.bearer.phx.', encoded(text)), 400],
    [`/live?access_token=${encodeURIComponent(text)}`, {}, 400],
    [`/live?access_token=${jwtOf('bob')}${encodeURIComponent(text)}`, {}, 400],
    [`/live?ticket=${encodeURIComponent(text)}`, {}, 401],
  ])
}

/** Words that look like headers are words: the status of a token that is wrong, or of a handshake without one. */
function words(name: string): ReadonlyArray<readonly [target: string, headers: Headers, status: number]> {
  const offer = (...items: string[]): Headers => ({ 'Sec-WebSocket-Protocol': ['gate101', ...items].join(', ') })
  return [
    ['/live', offer(`${name}.${ROOT}`), 401],
    ['/live', offer(`bearer.${name}`), 401],
    ['/live', offer(`openai-insecure-api-key.${name}.${ROOT}`), 401],
    ['/live', offer(`base64url.bearer.${name}.gate101.${Buffer.from(ROOT).toString('base64url')}`), 401],
    ['/live', offer(`ticket.gate101.${name}`), 401],
    [`/live?${name}=${ROOT}`, {}, 401],
    [`/live?access_token=${name}`, {}, 401],
    [`/live?headers[${name}]=${ROOT}`, {}, 401],
  ]
}

let trap: Trap
before(() => {
  trap = trapFaults()
})
after(() => trap.assertNone())

test('control: the app believes each name past the edge, and never sees one through it', async () => {
  await using site = await startSite()
  for (const name of IDENTITY_HEADERS) {
    const past = await ask(site.inside, 'GET', '/me', { [name]: ROOT })
    assert.deepEqual(JSON.parse(past.text), { subject: ROOT }, name)
    const attack = await dial(site.inside, '/live', { ...GOOD, [name]: ROOT })
    assert.equal(attack.opened?.subject, ROOT, name)
  }
  site.app.seen.length = 0
  site.app.opened.length = 0
  for (const name of IDENTITY_HEADERS) {
    assert.equal((await ask(site.port, 'GET', '/me', { [name]: ROOT })).status, 401)
    assert.equal((await dial(site.port, '/live', { [name]: ROOT })).status, 401)
    assert.equal((await dial(site.port, '/live', { ...GOOD, [name]: ROOT })).opened?.subject, 'bob')
  }
  assert.equal(site.app.seen.length, 3 * IDENTITY_HEADERS.length)
  assertNeverIn(site)
})

describe('through the edge, no road brings the header in:', () => {
  let site: Site
  before(async () => {
    site = await startSite()
  })
  after(async () => site[Symbol.asyncDispose]())

  test('a first message', async () => {
    for (const name of IDENTITY_HEADERS) {
      for (const [message, said] of messages(name))
        assert.equal(saidOf(await converse(site.port, '/talk', {}, message)), said, message)
    }
    assertNeverIn(site)
  })

  test('a token or a ticket in the handshake', async () => {
    for (const name of IDENTITY_HEADERS) {
      for (const [target, headers, status] of [...handshakes(name), ...words(name)])
        assert.equal(saidOf(await dial(site.port, target, headers)), status, `${target} ${json(headers)}`)
    }
    assertNeverIn(site)
  })

  test('a message on a socket that is open already', async () => {
    for (const name of IDENTITY_HEADERS) {
      for (const message of [auth({ headers: { ...GOOD, [name]: ROOT } }), auth({ headers: { [name]: ROOT } })]) {
        await using connection = await connectRaw({ port: site.port })
        connection.send(handshakeText({ target: '/talk', headers: GOOD }))
        await connection.frames(1)
        connection.send(frame(message))
        const [, close] = await connection.frames(2)
        assert.equal(close?.closeCode, 4400, message)
      }
    }
    assertNeverIn(site)
  })

  test('the header itself beside a credential on each road', async () => {
    for (const name of IDENTITY_HEADERS) {
      const beside = { [name]: ROOT }
      const item = `base64url.bearer.authorization.gate101.${Buffer.from(jwtOf('bob')).toString('base64url')}`
      for (const outcome of [
        await dial(site.port, '/live', { ...beside, 'Sec-WebSocket-Protocol': `gate101, ${item}` }),
        await dial(site.port, `/live?access_token=${jwtOf('bob')}`, beside),
        await converse(site.port, '/talk', beside, auth({ token: jwtOf('bob') })),
        await converse(site.port, '/talk', beside, auth({ headers: { 'x-api-key': keyOf('bob') } })),
      ])
        assert.equal(saidOf(outcome), 'bob', name)
    }
    assertNeverIn(site)
  })
})

test('toHeaders cannot return the header', async () => {
  // Whatever the app's own code makes of a message.
  const toHeaders = (message: string | Uint8Array): Record<string, string> => {
    const { pairs, inherited } = JSON.parse(String(message)) as { pairs: [string, string][]; inherited?: boolean }
    const headers = Object.fromEntries(pairs)
    return inherited === true ? (Object.create(headers) as Record<string, string>) : headers
  }
  await using site = await startSite({ firstMessage: { toHeaders } as never })
  for (const name of IDENTITY_HEADERS) {
    for (const message of [
      { pairs: [[name, ROOT]] },
      {
        pairs: [
          ['authorization', GOOD.Authorization],
          [name, ROOT],
        ],
      },
      {
        pairs: [
          ['x-api-key', keyOf('bob')],
          [name.toUpperCase(), ROOT],
        ],
      },
      { pairs: [['authorization', `${GOOD.Authorization}\r\n${name}: ${ROOT}`]] },
      {
        pairs: [
          ['authorization', GOOD.Authorization],
          [`x-api-key: x\r\n${name}`, ROOT],
        ],
      },
      { pairs: [[name, ROOT]], inherited: true },
    ])
      assert.equal(saidOf(await converse(site.port, '/talk', {}, json(message))), 4400, json(message))
  }
  assertNeverIn(site)
})

describe('a ticket', () => {
  /** Asked for past the edge, with the header: by the edge itself, for somebody it knows. */
  async function mintInside({ inside }: Site, headers: Headers): Promise<{ status: number; url: string }> {
    const minted = await mint(inside, '/ticket', { Origin: null, ...headers })
    const { url = '' } = JSON.parse(minted.text) as { url?: string }
    return { status: minted.status, url }
  }

  test('does not keep the header, also where credentialHeaders names it', async () => {
    for (const credentialHeaders of [undefined, ['authorization', 'cookie', 'x-api-key', ...IDENTITY_HEADERS]]) {
      await using site = await startSite(credentialHeaders === undefined ? {} : { credentialHeaders })
      for (const name of IDENTITY_HEADERS) {
        const both = await mintInside(site, { ...GOOD, [name]: ROOT })
        assert.equal(both.status, 200, name)
        const alone = await mintInside(site, { [name]: ROOT })
        assert.equal(alone.status, 401, name)
        site.app.seen.length = 0
        const outcome = await dial(site.port, both.url, {})
        assert.equal(saidOf(outcome), 'bob', name)
        assert.equal(site.app.seen.length, 1)
        assertNeverIn(site)
      }
    }
  })
})

describe('an option that names the header', () => {
  const identify = (): null => null
  test('throws in firstMessage.headers, however it is spelt', () => {
    for (const name of IDENTITY_HEADERS) {
      const spelt = [
        name,
        name.toUpperCase(),
        name.toLowerCase(),
        name.replaceAll('-', '_'),
        name.replaceAll(/[-_]/g, '.'),
      ]
      for (const one of spelt) {
        const make = (): unknown => createGate({ identify, firstMessage: { paths: ['/talk'], headers: [one] } })
        assert.throws(make, { code: 'GATE101_CONFIG' }, one)
        const withOthers = ['authorization', one, 'x-api-key']
        assert.throws(() => createGate({ identify, firstMessage: { paths: ['/talk'], headers: withOthers } }), {
          code: 'GATE101_CONFIG',
        })
      }
    }
  })

  test('control: names of an app of its own do not', () => {
    for (const name of ['authorization', 'cookie', 'x-api-key', 'X-Auth-Token', 'x-my-app-key'])
      createGate({ identify, firstMessage: { paths: ['/talk'], headers: [name] } })
  })
})
