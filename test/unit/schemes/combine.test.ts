import { Waiting } from '../../../src/core/waiting.ts'
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Scheme, SchemeResult } from '../../../src/core/scheme.ts'
import { refusalMessage } from '../../../src/core/refusal-message.ts'
import { runSchemes } from '../../../src/schemes/combine.ts'
import { apiKey, basic, bearer } from '../../../src/schemes.ts'
import { authorization, basicOf, heldClock, request, verdict } from './helpers.ts'

const never = new Waiting()
const key = apiKey({ keys: [{ key: 'test_api_key', subject: 'key' }] })
const token = bearer({ verify: (text) => (text === 'good' ? { subject: 'token' } : null) })
const password = basic({ verify: (name, word) => (word === 'good' ? { subject: name } : null) })
const all = [key, token, password]

/** A scheme of an app, on a header of its own. */
function scheme(verify: Scheme['verify'], more: Partial<Scheme> = {}): Scheme {
  return {
    name: 'own',
    headers: ['x-own'],
    present: (asked) => asked.headers.some(([name]) => name.toLowerCase() === 'x-own'),
    challenge: () => 'Own realm="own"',
    verify,
    ...more,
  }
}
const own = request(['X-Own', '1'])

async function refusal(schemes: readonly Scheme[], asked = own, signal = never) {
  const outcome = await runSchemes(schemes, asked, signal)
  assert.ok(outcome.type === 'refuse', 'let in')
  return outcome.refuse
}
const challengesOf = (refused: { headers: ReadonlyArray<readonly [string, string]> }): string[] =>
  refused.headers.filter(([name]) => name === 'WWW-Authenticate').map(([, value]) => value)

describe('runSchemes', () => {
  it('lets each credential in by its own scheme', async () => {
    const found = await runSchemes(all, request(['x-api-key', 'test_api_key']), never)
    assert.ok(found.type === 'identity')
    assert.equal(found.scheme, 'apiKey')
    assert.equal(found.identity.issuer, 'apiKey')
    assert.ok(Object.isFrozen(found.identity))
    assert.equal(await verdict(all, authorization('Bearer good')), 'token')
    assert.equal(await verdict(all, basicOf('ann:good')), 'ann')
  })

  it('asks for all kinds of credential where none was sent', async () => {
    const refused = await refusal(all, request(['Cookie', 'a=b']))
    assert.equal(refused.code, 'missing_credential')
    assert.equal(refused.status, 401)
    assert.deepEqual(challengesOf(refused), [
      'ApiKey realm="gate101", header="x-api-key"',
      'Bearer realm="gate101"',
      'Basic realm="gate101", charset="UTF-8"',
    ])
  })

  it('speaks of an error only in the challenge of what was sent', async () => {
    const refused = await refusal([key, token], authorization('Bearer bad'))
    assert.equal(refused.code, 'invalid_credential')
    assert.deepEqual(challengesOf(refused), [
      'ApiKey realm="gate101", header="x-api-key"',
      'Bearer error="invalid_token"',
    ])
  })

  for (const value of ['Basic YTpi', 'Negotiate abc', 'Digest x', '', 'good']) {
    it(`refuses Authorization ${JSON.stringify(value)} that no scheme claims, as 401 with challenge`, async () => {
      const refused = await refusal([token], authorization(value))
      assert.equal(refused.code, 'invalid_credential')
      assert.deepEqual(challengesOf(refused), ['Bearer realm="gate101"'])
    })
  }

  const loud = scheme(() => assert.fail('verified'))
  const conflicts: ReadonlyArray<readonly [string, readonly Scheme[]]> = [
    ['two claimed headers', [loud, token]],
    ['a claimed header and one that no scheme claims', [loud, password]],
  ]
  for (const [what, schemes] of conflicts) {
    it(`refuses ${what} before anything is verified`, async () => {
      const both = request(['X-Own', '1'], ['Authorization', 'Bearer good'])
      const refused = await refusal(schemes, both)
      assert.equal(refused.code, 'credential_conflict')
      assert.equal(refused.status, 400)
    })
  }

  it('does not mind a header that no scheme reads', async () => {
    assert.equal(await verdict([key], request(['x-api-key', 'test_api_key'], ['Authorization', 'Basic YTpi'])), 'key')
  })

  it('refuses one header twice, also when both are equal', async () => {
    const twice = request(['Authorization', 'Bearer good'], ['authorization', 'Bearer good'])
    assert.equal(await verdict([token], twice), 'duplicate_header')
    assert.equal(await verdict([key], request(['X-Api-Key', 'test_api_key'], ['x-api-key', ''])), 'duplicate_header')
  })

  it('asks schemes of one header in order, as long as they are absent', async () => {
    const absent = scheme(() => ({ type: 'absent' }))
    const asked: string[] = []
    const second = scheme(() => (asked.push('second'), { type: 'identity', identity: { subject: 'second' } }))
    const third = scheme(() => assert.fail('asked'))
    assert.equal(await verdict([absent, second, third], own), 'second')
    assert.deepEqual(asked, ['second'])
  })

  it('does not go on after a refusal', async () => {
    const refusing = scheme(() => ({ type: 'refused', code: 'invalid_credential' }))
    assert.equal(await verdict([refusing, loud], own), 'invalid_credential')
  })

  it('refuses a credential that all call absent', async () => {
    const absent = scheme(() => ({ type: 'absent' }))
    const refused = await refusal([absent, absent])
    assert.equal(refused.code, 'invalid_credential')
    assert.deepEqual(challengesOf(refused), ['Own realm="own"'])
  })

  const broken: ReadonlyArray<readonly [string, Scheme]> = [
    [
      'verify throws',
      scheme(() => {
        throw new Error('boom')
      }),
    ],
    ['verify rejects', scheme(() => Promise.reject(new Error('boom')))],
    [
      'present throws',
      scheme(() => ({ type: 'absent' }), {
        present: () => {
          throw new Error('boom')
        },
      }),
    ],
    [
      'challenge throws',
      scheme(() => ({ type: 'absent' }), {
        challenge: () => {
          throw new Error('boom')
        },
      }),
    ],
    ['it answers undefined', scheme(() => undefined as unknown as SchemeResult)],
    ['it answers another type', scheme(() => ({ type: 'ok' }) as unknown as SchemeResult)],
  ]
  for (const [what, failing] of broken) {
    it(`refuses with 503 and the cause when ${what}`, async () => {
      const refused = await refusal([failing])
      assert.equal(refused.code, 'verifier_unavailable')
      assert.equal(refused.status, 503)
      assert.ok(refused.cause instanceof Error)
    })
  }

  const identities: ReadonlyArray<readonly [string, unknown]> = [
    ['no subject', {}],
    ['an empty subject', { subject: '' }],
    ['seconds as expiry', { subject: 'a', expiresAt: 1_700_000_000 }],
    ['an invalid date', { subject: 'a', expiresAt: new Date(Number.NaN) }],
    ['tags that are no list', { subject: 'a', tags: 'x' }],
    ['nothing', null],
  ]
  for (const [what, identity] of identities) {
    it(`refuses an identity with ${what} as an app error`, async () => {
      const refused = await refusal([scheme(() => ({ type: 'identity', identity }) as SchemeResult)])
      assert.equal(refused.code, 'app_error')
      assert.equal(refused.status, 500)
      assert.ok(refused.cause instanceof Error)
    })
  }

  it('refuses an identity at its expiry, by the clock given', async () => {
    const clock = heldClock()
    const expiring = scheme(() => ({
      type: 'identity',
      identity: { subject: 'a', expiresAt: new Date(clock.now() + at) },
    }))
    let at = 1
    assert.equal((await runSchemes([expiring], own, never, clock)).type, 'identity')
    at = 0
    const outcome = await runSchemes([expiring], own, never, clock)
    assert.equal(outcome.type === 'refuse' && outcome.refuse.code, 'expired_credential')
    assert.ok(outcome.type === 'refuse' && challengesOf(outcome.refuse).length === 1)
  })

  it('ends with handshake_timeout when the signal aborts, whatever the scheme does', async () => {
    const controller = new Waiting()
    let fail!: (error: Error) => void
    const hanging = scheme(
      () =>
        new Promise((_resolve, reject) => {
          fail = reject
        }),
    )
    const running = refusal([hanging], own, controller)
    controller.abort()
    assert.equal((await running).code, 'handshake_timeout')
    fail(new Error('late'))
    await new Promise(setImmediate)
  })

  it('verifies nothing when the signal has aborted before', async () => {
    let calls = 0
    const counted = scheme(() => (calls++, { type: 'absent' }))
    const given = new Waiting()
    given.abort()
    const refused = await refusal([counted], own, given)
    assert.equal(refused.code, 'handshake_timeout')
    assert.equal(calls, 0)
  })

  it('passes codes and causes of a scheme on', async () => {
    const cause = new Error('why')
    const refused = await refusal([scheme(() => ({ type: 'refused', code: 'verifier_busy', cause }))])
    assert.equal(refused.code, 'verifier_busy')
    assert.equal(refused.cause, cause)
    assert.deepEqual(refused.headers, [])
  })
})

describe('refusalMessage', () => {
  it('is the fixed answer, with the headers of the row and of the refusal', async () => {
    const message = refusalMessage(await refusal([token], request()))
    assert.equal(message.status, 401)
    assert.ok(message.body.endsWith('}\n'))
    assert.deepEqual(Object.keys(JSON.parse(message.body) as object), ['error', 'message', 'fix'])
    assert.deepEqual(message.headers, [
      ['Content-Type', 'application/json; charset=utf-8'],
      ['Content-Length', String(Buffer.byteLength(message.body))],
      ['X-Content-Type-Options', 'nosniff'],
      ['Cache-Control', 'no-store'],
      ['WWW-Authenticate', 'Bearer realm="gate101"'],
    ])
    const busy = refusalMessage(await refusal([scheme(() => ({ type: 'refused', code: 'verifier_busy' }))]))
    assert.deepEqual(busy.headers.at(-1), ['Retry-After', '1'])
  })

  it('never holds the cause', async () => {
    const refused = await refusal([
      scheme(() => {
        throw new Error('s3cret')
      }),
    ])
    assert.ok(!JSON.stringify(refusalMessage(refused)).includes('s3cret'))
  })
})
