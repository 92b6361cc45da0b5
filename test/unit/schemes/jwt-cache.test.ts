import { Waiting } from '../../../src/core/waiting.ts'
import assert from 'node:assert/strict'
import { createHmac, randomBytes } from 'node:crypto'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import type { Scheme } from '../../../src/core/scheme.ts'
import { runSchemes } from '../../../src/schemes/combine.ts'
import { tokenId, VerifiedTokens } from '../../../src/schemes/jwt-cache.ts'
import { jwt, type JwtOptions } from '../../../src/schemes.ts'
import { authorization, heldClock, verdict } from './helpers.ts'

const never = new Waiting()
const secret = randomBytes(32)
const header = Buffer.from('{"alg":"HS256"}').toString('base64url')
const base: JwtOptions = { issuer: 'i', audience: 'a', algorithms: ['HS256'], key: secret }

function token(claims: object): string {
  const input = `${header}.${Buffer.from(JSON.stringify({ iss: 'i', aud: 'a', ...claims })).toString('base64url')}`
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`
}
const ask = (scheme: Scheme, text: string): Promise<string> => verdict(scheme, authorization(`Bearer ${text}`))

describe('the cache of verified tokens', () => {
  it('gives each token its own principal, in any order and at any size', async () => {
    const exp = Math.floor(Date.now() / 1000) + 600
    const subjects = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 12 }), { minLength: 2, maxLength: 20 })
    const plan = fc.tuple(
      subjects,
      fc.array(fc.nat(), { minLength: 20, maxLength: 60 }),
      fc.integer({ min: 1, max: 8 }),
    )
    await fc.assert(
      fc.asyncProperty(plan, async ([names, order, size]) => {
        const scheme = jwt({ ...base, cache: { size } })
        const tokens = names.map((sub) => token({ sub, exp }))
        for (const index of order) {
          const at = index % names.length
          assert.equal(await ask(scheme, tokens[at] ?? ''), names[at])
        }
      }),
      { numRuns: 60 },
    )
  })

  it('does not take a token for one that differs in its signature, its last character or its payload', async () => {
    const scheme = jwt(base)
    const exp = Math.floor(Date.now() / 1000) + 600
    const [one, two] = [token({ sub: 'one', exp }), token({ sub: 'two', exp })]
    assert.equal(await ask(scheme, one), 'one')
    assert.equal(await ask(scheme, two), 'two')
    const [head, body] = one.split('.')
    assert.equal(await ask(scheme, `${head}.${body}.${two.split('.')[2]}`), 'invalid_credential')
    const last = one.endsWith('A') ? 'E' : 'A'
    assert.equal(await ask(scheme, `${one.slice(0, -1)}${last}`), 'invalid_credential')
    assert.equal(await ask(scheme, one), 'one')
  })

  it('answers a hit at once, without a promise', async () => {
    const scheme = jwt(base)
    const asked = authorization(`Bearer ${token({ sub: 'a', exp: Math.floor(Date.now() / 1000) + 600 })}`)
    assert.ok(scheme.verify(asked, never) instanceof Promise)
    await scheme.verify(asked, never)
    const hit = scheme.verify(asked, never)
    assert.ok('type' in hit && hit.type === 'identity')
    const off = jwt({ ...base, cache: false })
    await off.verify(asked, never)
    assert.ok(off.verify(asked, never) instanceof Promise)
  })

  it('refuses a token that passes exp, nbf does not come back, and maxTokenAge counts', async () => {
    const clock = heldClock(1_700_000_000_000)
    const scheme = jwt({ ...base, clock, maxTokenAge: 20 })
    const outcome = async (text: string): Promise<string> => {
      const found = await runSchemes([scheme], authorization(`Bearer ${text}`), never, clock)
      return found.type === 'identity' ? found.identity.subject : found.refuse.code
    }
    const short = token({ sub: 'short', iat: 1_700_000_000, exp: 1_700_000_010 })
    const long = token({ sub: 'long', iat: 1_700_000_000, exp: 1_700_000_900 })
    assert.deepEqual([await outcome(short), await outcome(long)], ['short', 'long'])
    clock.move(9_999)
    assert.deepEqual([await outcome(short), await outcome(long)], ['short', 'long'])
    clock.move(1)
    assert.deepEqual([await outcome(short), await outcome(long)], ['expired_credential', 'long'])
    clock.move(10_000)
    assert.equal(await outcome(long), 'expired_credential')
  })

  it('lets no handler change what the next connection is told', async () => {
    const scheme = jwt(base)
    const asked = authorization(
      `Bearer ${token({ sub: 'a', roles: { list: ['user'] }, exp: Math.floor(Date.now() / 1000) + 600 })}`,
    )
    const first = await runSchemes([scheme], asked, never)
    assert.ok(first.type === 'identity')
    const roles = first.identity.claims?.['roles'] as { list: string[] }
    assert.throws(() => roles.list.push('admin'), TypeError)
    assert.throws(() => Object.assign(roles, { list: [] }), TypeError)
  })

  it('remembers no token that was refused', () => {
    const cache = new VerifiedTokens(2, 60_000)
    assert.equal(cache.get(tokenId('x'), 0, 0), undefined)
    assert.equal(cache.size, 0)
  })

  it('holds no more than its size, and drops entries by age, limit and generation', () => {
    const cache = new VerifiedTokens(2, 60_000)
    cache.set('a', { sub: 'a' }, 0, Infinity, 0)
    cache.set('b', { sub: 'b' }, 0, 10_000, 0)
    cache.set('c', { sub: 'c' }, 0, Infinity, 0)
    assert.equal(cache.size, 2)
    assert.equal(cache.get('a', 0, 0), undefined)
    assert.deepEqual(cache.get('b', 0, 9_999), { sub: 'b' })
    assert.equal(cache.get('b', 0, 10_000), undefined)
    assert.equal(cache.get('c', 1, 0), undefined)
    assert.equal(cache.size, 0)
    cache.set('d', { sub: 'd' }, 0, Infinity, 0)
    assert.equal(cache.get('d', 0, 60_000), undefined)
  })
})
