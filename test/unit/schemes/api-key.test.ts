import { Waiting } from '../../../src/core/waiting.ts'
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, it } from 'node:test'
import { inspect } from 'node:util'
import { runSchemes } from '../../../src/schemes/combine.ts'
import { apiKey, hashApiKey, type ApiKeyOptions } from '../../../src/schemes.ts'
import { authorization, request, verdict, withKey } from './helpers.ts'

const KEY = 'test_api_key'
const never = new Waiting()

describe('apiKey', () => {
  const scheme = apiKey({
    keys: [
      { key: KEY, subject: 'alice' },
      { hash: hashApiKey('second-key-0001'), subject: 'bob' },
    ],
  })

  it('knows plain keys and hashed keys', async () => {
    assert.equal(await verdict(scheme, withKey(KEY)), 'alice')
    assert.equal(await verdict(scheme, request(['x-API-key', 'second-key-0001'])), 'bob')
  })

  for (const wrong of [
    '',
    'test_api_ke',
    'test_api_key2',
    'Test_api_key',
    'tést_api_key',
    'test api key',
    'x'.repeat(9000),
  ]) {
    it(`refuses ${JSON.stringify(wrong.slice(0, 20))} (${wrong.length} characters)`, async () => {
      assert.equal(await verdict(scheme, withKey(wrong)), 'invalid_credential')
    })
  }

  it('does not take the stored hash for a key', async () => {
    assert.equal(await verdict(scheme, withKey(hashApiKey(KEY))), 'invalid_credential')
  })

  it('is absent without its header', async () => {
    assert.deepEqual(scheme.verify(request(), never), { type: 'absent' })
    assert.equal(await verdict(scheme, authorization(`Bearer ${KEY}`)), 'missing_credential')
  })

  it('reads another header where told', async () => {
    const service = apiKey({ header: 'X-Service-Key', realm: 'a "b" \\', keys: [{ key: KEY, subject: 's' }] })
    assert.equal(await verdict(service, request(['x-service-key', KEY])), 's')
    assert.deepEqual(service.headers, ['x-service-key'])
    assert.equal(service.challenge('missing_credential'), 'ApiKey realm="a \\"b\\" \\\\", header="X-Service-Key"')
  })

  it('gives the identity its fields, and an id that does not come from the hash alone', async () => {
    const expiresAt = new Date(Date.now() + 60_000)
    const one = apiKey({ keys: [{ key: KEY, subject: 'alice', tags: ['beta'], claims: { plan: 1 }, expiresAt }] })
    const outcome = await runSchemes([one], withKey(KEY), never)
    assert.ok(outcome.type === 'identity')
    const { credential, ...identity } = outcome.identity
    assert.equal(identity.issuer, 'apiKey')
    assert.deepEqual(identity.tags, ['beta'])
    assert.deepEqual(identity.claims, { plan: 1 })
    assert.equal(identity.expiresAt?.getTime(), expiresAt.getTime())
    assert.match(credential ?? '', /^key_[A-Za-z0-9_-]{16}$/)
    const hash = createHash('sha256').update(KEY).digest()
    assert.ok(!hash.toString('base64url').includes((credential ?? '').slice(4, 12)))
    const again = await runSchemes([apiKey({ keys: [{ key: KEY, subject: 'other' }] })], withKey(KEY), never)
    assert.equal(again.type === 'identity' && again.identity.credential, credential)
  })

  it('keeps an id that is given', async () => {
    const outcome = await runSchemes(
      [apiKey({ keys: [{ key: KEY, subject: 'a', credential: 'k1' }] })],
      withKey(KEY),
      never,
    )
    assert.equal(outcome.type === 'identity' && outcome.identity.credential, 'k1')
  })

  it('refuses a key that has expired', async () => {
    const old = apiKey({ keys: [{ key: KEY, subject: 'a', expiresAt: new Date(0) }] })
    assert.equal(await verdict(old, withKey(KEY)), 'expired_credential')
  })

  it('shows no key when inspected', () => {
    assert.ok(!inspect(scheme, { depth: 10, showHidden: true }).includes(KEY))
  })

  it('hands a lookup the hash only, with the signal', async () => {
    const seen: unknown[] = []
    const looked = apiKey({
      lookup: (...given) => {
        seen.push(...given)
        return given[0] === hashApiKey(KEY) ? { subject: 'carol', session: 's2' } : null
      },
    })
    const controller = new Waiting()
    const outcome = await runSchemes([looked], withKey(KEY), controller)
    assert.ok(outcome.type === 'identity')
    assert.match(outcome.identity.credential ?? '', /^key_/)
    assert.equal(outcome.identity.session, 's2')
    assert.deepEqual(seen, [`sha256:${createHash('sha256').update(KEY).digest('base64url')}`, controller.signal])
    assert.equal(await verdict(looked, withKey('unknown-key')), 'invalid_credential')
  })

  it('does not call the lookup for what cannot be a key', async () => {
    const looked = apiKey({ lookup: () => assert.fail('called') })
    assert.equal(await verdict(looked, withKey('')), 'invalid_credential')
    assert.equal(await verdict(looked, withKey('x'.repeat(8193))), 'invalid_credential')
  })

  it('refuses with 503 when the lookup fails, and when it answers nonsense with 401', async () => {
    assert.equal(
      await verdict(apiKey({ lookup: () => Promise.reject(new Error('db')) }), withKey(KEY)),
      'verifier_unavailable',
    )
    assert.equal(await verdict(apiKey({ lookup: (() => true) as never }), withKey(KEY)), 'invalid_credential')
    assert.equal(await verdict(apiKey({ lookup: (() => ({})) as never }), withKey(KEY)), 'app_error')
  })

  const wrong: ReadonlyArray<readonly [string, unknown]> = [
    ['no options', undefined],
    ['neither keys nor lookup', {}],
    ['both', { keys: [{ key: KEY, subject: 'a' }], lookup: () => null }],
    ['no keys', { keys: [] }],
    ['an empty key', { keys: [{ key: '', subject: 'a' }] }],
    ['a short key', { keys: [{ key: 'short77', subject: 'a' }] }],
    ['a key with a space', { keys: [{ key: 'a key with space', subject: 'a' }] }],
    [
      'the same key twice',
      {
        keys: [
          { key: KEY, subject: 'a' },
          { hash: hashApiKey(KEY), subject: 'b' },
        ],
      },
    ],
    ['key and hash', { keys: [{ key: KEY, hash: hashApiKey(KEY), subject: 'a' }] }],
    ['neither key nor hash', { keys: [{ subject: 'a' }] }],
    ['a hash of another form', { keys: [{ hash: 'sha256:abc', subject: 'a' }] }],
    ['a hash with stray bits', { keys: [{ hash: `sha256:${'A'.repeat(42)}B`, subject: 'a' }] }],
    ['the header authorization', { header: 'Authorization', keys: [{ key: KEY, subject: 'a' }] }],
    ['the header cookie', { header: 'cookie', keys: [{ key: KEY, subject: 'a' }] }],
    ['a forwarding header', { header: 'X-Forwarded-User', keys: [{ key: KEY, subject: 'a' }] }],
    ['a header that is no token', { header: 'x key', keys: [{ key: KEY, subject: 'a' }] }],
    ['a realm with a line break', { realm: 'a\r\nSet-Cookie: x', keys: [{ key: KEY, subject: 'a' }] }],
    ['an unknown option', { key: KEY }],
    ['a lookup that is no function', { lookup: 'x' }],
  ]
  for (const [what, options] of wrong) {
    it(`throws at construction: ${what}`, () => {
      assert.throws(
        () => apiKey(options as ApiKeyOptions),
        (error: Error & { code?: string }) => {
          assert.equal(error.code, 'GATE101_CONFIG')
          return !error.message.includes(KEY)
        },
      )
    })
  }

  it('throws at construction for an identity without subject', () => {
    assert.throws(() => apiKey({ keys: [{ key: KEY } as never] }), { code: 'GATE101_IDENTITY' })
  })
})

describe('hashApiKey', () => {
  it('writes sha256: and base64url', () => {
    assert.equal(hashApiKey(KEY), `sha256:${createHash('sha256').update(KEY).digest('base64url')}`)
  })
  it('does not hash what is no key', () => {
    assert.throws(() => hashApiKey('short'), { code: 'GATE101_CONFIG' })
  })
})
