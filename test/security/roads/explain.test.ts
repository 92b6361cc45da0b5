import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { express5Stack } from '../../conformance/stacks/express.ts'
import { fastifyStack } from '../../conformance/stacks/fastify.ts'
import { honoStack } from '../../conformance/stacks/hono.ts'
import { koaStack } from '../../conformance/stacks/koa.ts'
import { ALLOWED_ORIGIN, API_KEY, basicOf, TOKENS, USER, type Stack } from '../../conformance/stacks/shared.ts'
import { connectRaw, handshake, handshakeText, rawRequest, type RawResponse } from '../../support/raw.ts'
import { listen } from '../../support/servers.ts'
import { trapFaults } from '../../support/trap.ts'
import { API_KEYS, expressApp, fastifyApp, jwtFor, koaApp, type Build } from './apps.ts'
import {
  codeOf,
  cookiesOf,
  dial,
  ORIGIN,
  PLAIN,
  SECRET,
  serve,
  serveMade,
  WatchedStore,
  type Headers,
} from './support.ts'

let trap: ReturnType<typeof trapFaults>
before(() => {
  trap = trapFaults()
})
after(() => trap.assertNone())

async function probe(port: number, target: string, headers: Headers): Promise<RawResponse> {
  return rawRequest({ port, lines: handshake({ target, headers: { ...headers, ...PLAIN } }) })
}

async function login(port: number): Promise<string> {
  const form = `username=${USER.name}&password=${encodeURIComponent(USER.password)}`
  const headers = {
    ...PLAIN,
    'Content-Type': 'application/x-www-form-urlencoded',
    'Content-Length': String(form.length),
  }
  const response = await rawRequest({
    port,
    lines: handshake({ method: 'POST', target: '/login', headers }),
    bytes: form,
  })
  return cookiesOf(response)
}

const ROUTES = ['/ws', '/basic', '/bearer', '/key', '/open', '/redirect', '/cookies', '/limited', '/long', '/missing']
const STACKS: readonly Stack[] = [express5Stack, koaStack, fastifyStack, honoStack]

/** The gate's answer about a handshake, or `app` and the status. */
function wordOf(status: number, body: Uint8Array): string {
  const code = codeOf(body)
  return code !== undefined && ['unguarded_route', 'no_identity', 'bad_origin', 'host_not_allowed'].includes(code)
    ? code
    : `app ${status}`
}

for (const stack of STACKS) {
  it(`${stack.name}: a plain GET says 426 exactly where the same request opens a WebSocket, else why not`, async () => {
    const built = await stack.build()
    await using listening = await listen(built.server)
    const { port } = listening
    const good = await login(port)
    const credentials: readonly Headers[] = [
      {},
      { Cookie: good },
      { Cookie: good.replace(/.(?=;|$)/, 'x') },
      { Cookie: 'theme=dark' },
      { 'X-Api-Key': API_KEY },
      { 'X-Api-Key': 'wrong' },
      { 'X-Api-Key': '' },
      { Authorization: `Bearer ${TOKENS.good}` },
      { Authorization: `Bearer ${TOKENS.expired}` },
      { Authorization: basicOf(USER.name, USER.password) },
      { Authorization: basicOf(USER.name, 'wrong') },
      { 'X-Api-Key': API_KEY, 'X-Tier': 'none' },
      { 'X-Api-Key': API_KEY, Origin: 'https://evil.example' },
      { 'X-Api-Key': API_KEY, Host: 'evil.example' },
    ]
    const seen = new Map<string, number>()
    for (const route of ROUTES) {
      for (const credential of credentials) {
        // A page's probe of its own origin has no Origin; its handshake always has one.
        for (const probeOrigin of [{}, { Origin: ALLOWED_ORIGIN }] as Headers[]) {
          const why = `${route} ${JSON.stringify(credential).slice(0, 60)}`
          const plain = await probe(port, route, { ...probeOrigin, ...credential })
          await using connection = await connectRaw({ port })
          connection.send(handshakeText({ target: route, headers: { Origin: ALLOWED_ORIGIN, ...credential } }))
          const upgrade = await connection.response()
          assert.equal(plain.status === 426, upgrade.status === 101, `${why}: ${plain.status}, ${upgrade.status}`)
          const isForeign = credential['Origin'] !== undefined || credential['Host'] !== undefined
          if (plain.status === 426) assert.equal(codeOf(plain.body), 'websocket_only')
          else if (!isForeign) {
            assert.equal(wordOf(plain.status, plain.body), wordOf(upgrade.status, upgrade.body), why)
            assert.equal(plain.status, upgrade.status, why)
          }
          const said = plain.status === 426 ? '426' : wordOf(plain.status, plain.body)
          seen.set(said, (seen.get(said) ?? 0) + 1)
        }
      }
    }
    for (const word of ['426', 'app 401', 'app 403', 'app 302', 'app 429', 'app 404', 'unguarded_route', 'bad_origin'])
      assert.ok(seen.has(word), `${word} was never said: ${[...seen.keys()].join()}`)
    assert.equal(built.gate.connections.size, 0)
    await listening.close()
    await built.close?.()
  })
}

function assertUncached(answer: RawResponse): void {
  assert.equal(answer.header('cache-control'), 'no-store')
  const vary = answer.values('vary').join().toLowerCase()
  for (const name of ['cookie', 'authorization', 'origin']) assert.ok(vary.includes(name), `Vary: ${vary}`)
  assert.equal(answer.header('x-content-type-options'), 'nosniff')
}

const key: Headers = { 'X-Api-Key': API_KEYS.alice }
const APPS: ReadonlyArray<readonly [name: string, build: Build]> = [
  ['Express', expressApp],
  ['Koa', koaApp],
  ['Fastify', fastifyApp],
]

for (const [name, build] of APPS) {
  describe(`the probe on ${name}`, () => {
    it('answers as its own: never stored, never for a foreign page', async () => {
      await using served = await serve(build)
      const rows: ReadonlyArray<readonly [headers: Headers, status: number, code: string]> = [
        [key, 426, 'websocket_only'],
        [{ ...key, Origin: ORIGIN }, 426, 'websocket_only'],
        [{ ...key, Origin: 'https://evil.example' }, 403, 'bad_origin'],
        [{ ...key, Origin: 'null' }, 403, 'bad_origin'],
        [{ ...key, Origin: ORIGIN, 'Sec-Fetch-Site': 'cross-site' }, 403, 'cross_site'],
        [{ ...key, Host: 'evil.example' }, 421, 'host_not_allowed'],
        [{ ...key, Host: 'evil.example', Origin: 'http://evil.example' }, 421, 'host_not_allowed'],
      ]
      for (const [headers, status, code] of rows) {
        const answer = await probe(served.port, '/live', headers)
        assert.deepEqual([answer.status, codeOf(answer.body)], [status, code], JSON.stringify(headers))
        assertUncached(answer)
        assert.deepEqual(answer.values('upgrade'), status === 426 ? ['websocket'] : [])
        for (const [field] of answer.headers) assert.doesNotMatch(field, /^access-control-/i)
      }
      const own = await probe(served.port, '/live', {})
      assert.deepEqual([own.status, own.text.includes('who are you?')], [401, true], "the app's own")
      assert.equal(served.made.gate.connections.size, 0)
    })

    it('leaves a connection that is kept alive as it was', async () => {
      await using served = await serve(build)
      await using connection = await connectRaw({ port: served.port })
      const text = handshakeText({ target: '/live', headers: { ...PLAIN, Connection: 'keep-alive', ...key } })
      connection.send(text)
      const first = await connection.response()
      assert.equal(first.status, 426)
      connection.send(text)
      const second = await connection.until((bytes) =>
        bytes.toString().split('HTTP/1.1 426').length > 2 ? true : undefined,
      )
      assert.equal(second, true)
    })

    it('never touches a ticket, and says nothing about one', async () => {
      const store = new WatchedStore()
      await using served = await serve(build, { tickets: { store }, secret: SECRET, subprotocolTokens: true })
      const ticket = await served.ticket(key)
      const item = { 'Sec-WebSocket-Protocol': `gate101, ticket.gate101.${ticket}` }
      const words: string[] = []
      for (const [target, headers] of [
        [`/live?ticket=${ticket}`, {}],
        [`/live?ticket=${'A'.repeat(64)}`, {}],
        ['/live', {}],
        ['/live', item],
      ] as const) {
        const answer = await probe(served.port, target, headers)
        assert.equal(answer.status, 401)
        words.push(answer.text)
      }
      assert.equal(new Set(words).size, 1, 'good or bad, the answer is the same')
      for (const target of [`/live?ticket=${ticket}`, '/live']) {
        assert.equal((await probe(served.port, target, { ...key, ...item })).status, 426)
      }
      assert.equal(store.calls, 1)
      assert.equal((await served.dial(`/live?ticket=${ticket}`)).seen?.subject, 'alice')
    })
  })
}

it('HEAD says the same without a body, on Express', async () => {
  await using served = await serve(expressApp)
  for (const [headers, status] of [
    [key, 426],
    [{ ...key, Origin: 'https://evil.example' }, 403],
  ] as const) {
    await using connection = await connectRaw({ port: served.port })
    connection.send(handshakeText({ method: 'HEAD', target: '/live', headers: { ...PLAIN, ...headers } }))
    await connection.ended()
    const [head = '', body] = connection.received().toString().split('\r\n\r\n')
    assert.match(head, new RegExp(`^HTTP/1.1 ${status} `))
    assert.match(head, /cache-control: no-store/i)
    assert.match(head, /vary: cookie, authorization, origin/i)
    assert.equal(body, '')
  }
})

it('what identify says counts: nobody, an expired login, a throw, no answer in time', async () => {
  const answers: Record<string, () => unknown> = {
    null: () => null,
    expired: () => ({ subject: 'alice', expiresAt: new Date(1000) }),
    throws: () => {
      throw new Error('identify broke')
    },
    hangs: () => new Promise(() => undefined),
  }
  for (const [how, status, code] of [
    ['null', 403, 'no_identity'],
    ['expired', 401, 'expired_credential'],
    ['throws', 500, 'app_error'],
    ['hangs', 503, 'handshake_timeout'],
  ] as const) {
    const made = await expressApp({ limits: { deadline: 150 }, identify: answers[how] } as never)
    await using served = await serveMade(made)
    const plain = await probe(served.port, '/live', key)
    const upgrade = await served.dial('/live', key)
    assert.deepEqual([plain.status, codeOf(plain.body)], [status, code], how)
    assert.deepEqual([upgrade.status, upgrade.code], [status, code], how)
    assertUncached(plain)
  }
})

/** What the gate's own rules say about the credential itself is part of "the same request". */
const OWN_RULES: ReadonlyArray<readonly [headers: Headers, code: string]> = [
  [{ Cookie: '__Host-a=1; __Host-a=2', Authorization: `Bearer ${jwtFor('alice')}` }, 'duplicate_cookie'],
  [{ Authorization: `Bearer ${jwtFor('alice')}`, 'X-Api-Key': ['a', 'b'] }, 'duplicate_header'],
  [{ Authorization: `Bearer ${jwtFor('alice')}`, 'X-Api-Key': 'k'.repeat(9000) }, 'headers_too_large'],
]

it('no 426 where the handshake would break a rule about credentials: twice a cookie, twice a header, too large', async () => {
  await using served = await serve(expressApp)
  for (const [headers, code] of OWN_RULES) {
    const upgrade = await dial(served.port, '/live', { ...headers, Origin: ORIGIN })
    assert.equal(upgrade.code, code)
    for (const origin of [{}, { Origin: ORIGIN }] as Headers[]) {
      const plain = await probe(served.port, '/live', { ...headers, ...origin })
      assert.deepEqual([plain.status, codeOf(plain.body)], [upgrade.status, code])
    }
  }
})
