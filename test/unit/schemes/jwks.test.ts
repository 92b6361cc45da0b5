import { Waiting } from '../../../src/core/waiting.ts'
import assert from 'node:assert/strict'
import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, beforeEach, describe, it } from 'node:test'
import type { Scheme } from '../../../src/core/scheme.ts'
import { runSchemes } from '../../../src/schemes/combine.ts'
import { jwt, type JwksFetchOptions } from '../../../src/schemes.ts'
import { authorization, heldClock } from './helpers.ts'

interface Pair {
  readonly publicKey: KeyObject
  readonly privateKey: KeyObject
}
const pair = (): Pair => generateKeyPairSync('ec', { namedCurve: 'P-256' })
const [one, two, three] = [pair(), pair(), pair()]
const b64 = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')

function token({ privateKey }: Pair, kid: unknown, claims: object = {}): string {
  const exp = Math.floor(Date.now() / 1000) + 86_400
  const input = `${b64({ alg: 'ES256', kid })}.${b64({ iss: 'https://i.example', aud: 'a', sub: 'alice', exp, ...claims })}`
  return `${input}.${sign('sha256', Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
}
const setOf = (keys: Readonly<Record<string, Pair>>): string =>
  JSON.stringify({
    keys: Object.entries(keys).map(([kid, { publicKey }]) => ({
      ...publicKey.export({ format: 'jwk' }),
      kid,
      use: 'sig',
    })),
  })

const json =
  (text: string): RequestListener =>
  (_req, res) =>
    void res.setHeader('Content-Type', 'application/json').end(text)

const failures: Readonly<Record<string, RequestListener>> = {
  hangs: () => undefined,
  'hangs after the head': (_req, res) => void res.writeHead(200).write('{"keys":['),
  'answers 500': (_req, res) => void res.writeHead(500).end(setOf({ one })),
  redirects: (_req, res) => void res.writeHead(302, { Location: '/elsewhere' }).end(),
  'answers 204': (_req, res) => void res.writeHead(204).end(),
  'sends HTML': (_req, res) => void res.end('<html><body>log in</body></html>'),
  'sends JSON that is no key set': json('{"keys":{}}'),
  'sends null': json('null'),
  'sends 10 MB': (_req, res) => {
    const block = Buffer.alloc(1 << 16, 0x20)
    let left = 160
    const more = (): void => {
      while (left-- > 0) if (!res.write(block)) return
      res.end(setOf({ one }))
    }
    res.on('drain', more).on('error', () => undefined)
    more()
  },
  'resets the connection': (req) => void req.socket.destroy(),
}

describe('jwt with jwksUrl', () => {
  let server: Server
  let listener: RequestListener
  const urls: string[] = []

  before(async () => {
    server = createServer((req, res) => {
      urls.push(req.url ?? '')
      listener(req, res)
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
  })
  beforeEach(() => {
    urls.length = 0
    listener = json(setOf({ one }))
  })
  after(() => {
    server.close()
    server.closeAllConnections()
  })

  /** The scheme, and a question that answers with the subject or the code. */
  function make(jwksFetch: JwksFetchOptions = {}, more: object = {}) {
    const clock = heldClock()
    const { port } = server.address() as AddressInfo
    const scheme = jwt({
      issuer: 'https://i.example',
      audience: 'a',
      algorithms: ['ES256'],
      jwksUrl: `http://127.0.0.1:${port}/jwks`,
      jwksFetch: { timeout: 30, ...jwksFetch },
      cache: false,
      clock,
      ...more,
    })
    const ask = async (text: string): Promise<string> => {
      const outcome = await runSchemes([scheme], authorization(`Bearer ${text}`), new Waiting(), clock)
      return outcome.type === 'identity' ? outcome.identity.subject : outcome.refuse.code
    }
    return { ask, clock }
  }

  it('fetches once for many tokens at once', async () => {
    const { ask } = make()
    assert.deepEqual(urls, [])
    const found = await Promise.all(Array.from({ length: 10 }, () => ask(token(one, 'one'))))
    assert.deepEqual(new Set(found), new Set(['alice']))
    assert.deepEqual(urls, ['/jwks'])
  })

  it('touches no network for another issuer or a header that cannot be', async () => {
    const { ask } = make()
    for (const wrong of [
      token(one, 'one', { iss: 'http://169.254.169.254/' }),
      token(one, 'one', { iss: 'https://i.example/' }),
      token(one, ['one']),
      token(one, 'k'.repeat(4096)),
      token(one, 7),
      'opaque',
      'a.b.c',
    ]) {
      assert.equal(await ask(wrong), 'invalid_credential')
    }
    assert.deepEqual(urls, [])
  })

  it('follows a rotation: an unknown kid fetches again, once in the cooldown', async () => {
    const { ask, clock } = make({ cooldown: 30 })
    assert.equal(await ask(token(one, 'one')), 'alice')
    listener = json(setOf({ two }))
    assert.equal(await ask(token(two, 'two')), 'invalid_credential')
    assert.equal(urls.length, 1)
    clock.move(30_000)
    assert.equal(await ask(token(two, 'two')), 'alice')
    assert.equal(await ask(token(one, 'one')), 'invalid_credential')
    for (const kid of ['../../dev/null', "' OR 1=1", '__proto__', 'x']) {
      assert.equal(await ask(token(two, kid)), 'invalid_credential')
    }
    assert.equal(urls.length, 2)
  })

  it('fetches again after maxAge, so that a withdrawn key ends', async () => {
    const { ask, clock } = make({ maxAge: 600 })
    assert.equal(await ask(token(one, 'one')), 'alice')
    listener = json(setOf({ two }))
    clock.move(599_999)
    assert.equal(await ask(token(one, 'one')), 'alice')
    clock.move(1)
    assert.equal(await ask(token(one, 'one')), 'invalid_credential')
    assert.equal(await ask(token(two, 'two')), 'alice')
  })

  it('forgets remembered tokens when the keys change', async () => {
    const { ask, clock } = make({ cooldown: 1 }, { cache: { maxAge: 60 } })
    assert.equal(await ask(token(one, 'one')), 'alice')
    const kept = token(one, 'one')
    assert.equal(await ask(kept), 'alice')
    assert.equal(await ask(kept), 'alice')
    listener = json(setOf({ two }))
    clock.move(1000)
    assert.equal(await ask(kept), 'alice')
    assert.equal(await ask(token(two, 'two')), 'alice')
    assert.equal(await ask(kept), 'invalid_credential')
  })

  for (const [what, failing] of Object.entries(failures)) {
    const timeout = what.startsWith('hangs') ? 0.5 : 30
    it(`refuses with 503 when the endpoint ${what} and no key is there`, async () => {
      const { ask, clock } = make({ timeout })
      listener = failing
      assert.equal(await ask(token(one, 'one')), 'verifier_unavailable')
      assert.deepEqual(urls, ['/jwks'])
      listener = json(setOf({ one }))
      assert.equal(await ask(token(one, 'one')), 'verifier_unavailable')
      assert.equal(urls.length, 1)
      clock.move(5000)
      assert.equal(await ask(token(one, 'one')), 'alice')
    })

    it(`goes on with the keys it has when the endpoint ${what}, up to maxStale`, async () => {
      const { ask, clock } = make({ timeout, maxAge: 600, maxStale: 3600 })
      assert.equal(await ask(token(one, 'one')), 'alice')
      listener = failing
      clock.move(600_000)
      assert.equal(await ask(token(one, 'one')), 'alice')
      clock.move(2_999_999)
      assert.equal(await ask(token(one, 'one')), 'alice')
      clock.move(1)
      assert.equal(await ask(token(one, 'one')), 'verifier_unavailable')
      clock.move(5000)
      assert.equal(await ask(token(one, 'one')), 'verifier_unavailable')
      assert.ok(!urls.includes('/elsewhere'))
    })
  }

  it('does not remember a token beyond the age of its keys', async () => {
    const { ask, clock } = make({ maxAge: 10, maxStale: 20 }, { cache: { maxAge: 60 } })
    assert.equal(await ask(token(one, 'one')), 'alice')
    const kept = token(one, 'one')
    assert.equal(await ask(kept), 'alice')
    listener = failures['answers 500'] as RequestListener
    clock.move(19_999)
    assert.equal(await ask(kept), 'alice')
    clock.move(1)
    assert.equal(await ask(kept), 'verifier_unavailable')
  })

  it('says 503, not 401, about an unknown kid while the endpoint fails', async () => {
    const { ask, clock } = make()
    assert.equal(await ask(token(one, 'one')), 'alice')
    listener = failures['answers 500'] as RequestListener
    clock.move(30_000)
    assert.equal(await ask(token(two, 'two')), 'verifier_unavailable')
    assert.equal(await ask(token(two, 'two')), 'verifier_unavailable')
    assert.equal(urls.length, 2)
    assert.equal(await ask(token(one, 'one')), 'alice')
  })

  it('takes no private and no symmetric key from a set, and needs a kid where several fit', async () => {
    const jwk = three.privateKey.export({ format: 'jwk' })
    listener = json(
      JSON.stringify({
        keys: [
          { ...jwk, kid: 'private' },
          { kty: 'oct', k: 'AAAA', kid: 'oct' },
        ],
      }),
    )
    const { ask } = make()
    assert.equal(await ask(token(three, 'private')), 'verifier_unavailable')
    assert.equal(await ask(token(three, 'oct')), 'invalid_credential')
    listener = json(setOf({ one, two }))
    const second = make()
    assert.equal(await second.ask(token(one, undefined)), 'invalid_credential')
    assert.equal(await second.ask(token(one, 'one')), 'alice')
  })

  it('keeps the keys of two issuers with the same kid apart', async () => {
    const { port } = server.address() as AddressInfo
    listener = (req, res) => json(setOf({ same: req.url === '/a' ? one : two }))(req, res)
    const tenant = (name: string): Scheme =>
      jwt({
        issuer: `https://${name}.example`,
        audience: 'a',
        algorithms: ['ES256'],
        jwksUrl: `http://127.0.0.1:${port}/${name}`,
      })
    const schemes = [tenant('a'), tenant('b')]
    const ask = async (text: string): Promise<string> => {
      const outcome = await runSchemes(schemes, authorization(`Bearer ${text}`), new Waiting())
      return outcome.type === 'identity' ? outcome.identity.issuer : outcome.refuse.code
    }
    assert.equal(await ask(token(one, 'same', { iss: 'https://a.example' })), 'https://a.example')
    assert.deepEqual(urls, ['/a'])
    assert.equal(await ask(token(two, 'same', { iss: 'https://b.example' })), 'https://b.example')
    assert.equal(await ask(token(one, 'same', { iss: 'https://b.example' })), 'invalid_credential')
    assert.equal(await ask(token(two, 'same', { iss: 'https://a.example' })), 'invalid_credential')
    assert.deepEqual(urls, ['/a', '/b'])
  })
})
