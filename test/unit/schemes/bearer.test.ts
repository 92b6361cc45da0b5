import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { bearer } from '../../../src/schemes.ts'
import { authorization, deferred, request, verdict } from './helpers.ts'

const scheme = bearer({ verify: (token) => (token === 'abc.DEF-_~+/1==' ? { subject: 'alice' } : null) })

describe('bearer', () => {
  for (const value of ['Bearer abc.DEF-_~+/1==', 'bearer abc.DEF-_~+/1==', 'BEARER    abc.DEF-_~+/1==']) {
    it(`takes ${value}`, async () => {
      assert.equal(await verdict(scheme, authorization(value)), 'alice')
    })
  }

  const loud = bearer({ verify: () => assert.fail('called') })
  const malformed = [
    'Bearer',
    'Bearer ',
    'Bearer a b',
    'Bearer a, b',
    'Bearer =a',
    'Bearer a=b',
    'Bearer "a"',
    'Bearer %61',
    'Bearer a\tb',
    'Bearer ä',
    `Bearer ${'x'.repeat(8193)}`,
  ]
  for (const value of malformed) {
    it(`refuses ${JSON.stringify(value.slice(0, 20))} without asking the app`, async () => {
      assert.equal(await verdict(loud, authorization(value)), 'invalid_credential')
    })
  }

  it('asks about a token of 8192 characters', async () => {
    const any = bearer({ verify: () => ({ subject: 'long' }) })
    assert.equal(await verdict(any, authorization(`Bearer ${'x'.repeat(8192)}`)), 'long')
  })

  it('is not meant by other schemes', async () => {
    assert.equal(await verdict(loud, request()), 'missing_credential')
    for (const value of ['Bearerx abc', 'Basic abc', 'Bear er', 'Bearer\tabc', '']) {
      assert.equal(scheme.present(authorization(value)), false)
      assert.equal(await verdict(loud, authorization(value)), 'invalid_credential')
    }
  })

  it('refuses unknown tokens, and a failing verifier with 503', async () => {
    assert.equal(await verdict(scheme, authorization('Bearer abc')), 'invalid_credential')
    const failing = bearer({ verify: () => Promise.reject(new Error('down')) })
    assert.equal(await verdict(failing, authorization('Bearer abc')), 'verifier_unavailable')
  })

  it('is busy beyond concurrency and queue', async () => {
    const held = deferred<{ subject: string }>()
    const busy = bearer({ verify: () => held.promise, concurrency: 1, queue: 0 })
    const first = verdict(busy, authorization('Bearer a'))
    assert.equal(await verdict(busy, authorization('Bearer a')), 'verifier_busy')
    held.resolve({ subject: 's' })
    assert.equal(await first, 's')
  })

  it('speaks of an error only where a token was sent', () => {
    assert.equal(scheme.challenge('missing_credential'), 'Bearer realm="gate101"')
    assert.equal(scheme.challenge('invalid_credential'), 'Bearer error="invalid_token"')
    const named = bearer({ realm: 'api', verify: () => null })
    assert.equal(named.challenge('missing_credential'), 'Bearer realm="api"')
    assert.equal(named.challenge('expired_credential'), 'Bearer realm="api", error="invalid_token"')
  })

  it('throws at construction without verify', () => {
    assert.throws(() => bearer({} as never), { code: 'GATE101_CONFIG' })
    assert.throws(() => bearer({ verify: () => null, tokens: [] } as never), { code: 'GATE101_CONFIG' })
  })
})
