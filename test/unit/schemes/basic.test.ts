import { Waiting } from '../../../src/core/waiting.ts'
import assert from 'node:assert/strict'
import { scryptSync } from 'node:crypto'
import { before, describe, it } from 'node:test'
import { runSchemes } from '../../../src/schemes/combine.ts'
import { matchesPassword, parsePasswordHash } from '../../../src/schemes/scrypt.ts'
import { basic, hashPassword, type BasicOptions } from '../../../src/schemes.ts'
import type { Scheme } from '../../../src/core/scheme.ts'
import { authorization, basicOf, deferred, request, verdict } from './helpers.ts'

/** The cheapest hash that is allowed, for fast tests. */
function cheapHash(password: string): string {
  const salt = Buffer.alloc(16, 7)
  const hash = scryptSync(password, salt, 32, { N: 2 ** 14, r: 8, p: 1 })
  return `scrypt$16384$8$1$${salt.toString('base64url')}$${hash.toString('base64url')}`
}
const encode = (text: string | Buffer): string => Buffer.from(text as string).toString('base64')
const never = new Waiting()

describe('basic with users', () => {
  let scheme: Scheme
  before(() => {
    scheme = basic({
      users: {
        demo: cheapHash('demo'),
        colon: { hash: cheapHash('a:b:c'), subject: 'u-1', tags: ['x'] },
        jörg: cheapHash('pässwörd'),
        empty: cheapHash(''),
      },
    })
  })

  it('lets the right passwords in', async () => {
    assert.equal(await verdict(scheme, basicOf('demo:demo')), 'demo')
    assert.equal(await verdict(scheme, basicOf('colon:a:b:c')), 'u-1')
    assert.equal(await verdict(scheme, basicOf('jörg:pässwörd')), 'jörg')
    assert.equal(await verdict(scheme, basicOf('jörg:pässwörd'.normalize('NFD'))), 'jörg')
    assert.equal(await verdict(scheme, basicOf('empty:')), 'empty')
    assert.equal(await verdict(scheme, authorization(`bAsIc   ${encode('demo:demo')}`)), 'demo')
  })

  const refused: ReadonlyArray<readonly [string, string]> = [
    ['a wrong password', encode('demo:Demo')],
    ['an unknown user', encode('nobody:demo')],
    ['__proto__', encode('__proto__:demo')],
    ['a password with more', encode('demo:demo:')],
    ['an empty username', encode(':demo')],
    ['no colon', encode('demo')],
    ['no padding', encode('colon:a:b:c').replace(/=+$/, '')],
    ['base64url', 'ZGVtbzrigqw_'],
    ['stray bits', encode('colon:a:b:c').replace('M=', 'N=')],
    ['no base64', '!!!!'],
    ['nothing', ''],
    ['inner white space', `${encode('demo:demo')} x`],
    ['a control character', encode('demo:demo\n')],
    ['a NUL', encode('demo\0:demo')],
    ['bytes that are no UTF-8', encode(Buffer.from([0x64, 0x3a, 0xff, 0xfe]))],
    ['a byte order mark', encode('\ufeffdemo:demo')],
    ['more than 8192 characters', encode(`demo:${'x'.repeat(8000)}`)],
  ]
  for (const [what, text] of refused) {
    it(`refuses ${what}`, async () => {
      const value = text === '' ? 'Basic' : `Basic ${text}`
      assert.equal(await verdict(scheme, authorization(value)), 'invalid_credential')
    })
  }

  it('is absent for other schemes and without the header', async () => {
    assert.deepEqual(await scheme.verify(request(), never), { type: 'absent' })
    assert.deepEqual(await scheme.verify(authorization('Bearer abc'), never), { type: 'absent' })
    assert.deepEqual(await scheme.verify(authorization('Basically abc'), never), { type: 'absent' })
    assert.equal(scheme.present(authorization('Bearer abc')), false)
  })

  it('derives a key for an unknown user too', async () => {
    const timed: number[] = []
    const counted = basic({ users: { demo: cheapHash('demo') }, concurrency: 1, queue: 0 })
    // While the hash of the unknown user is made, the only place is taken: proof that one is made.
    const first = verdict(counted, basicOf('nobody:x')).then((code) => timed.push(1) && code)
    assert.equal(await verdict(counted, basicOf('demo:demo')), 'verifier_busy')
    assert.deepEqual(timed, [])
    assert.equal(await first, 'invalid_credential')
    assert.equal(await verdict(counted, basicOf('demo:demo')), 'demo')
  })

  it('lets no more wait than the queue holds, and lets those in', async () => {
    const busy = basic({ users: { demo: cheapHash('demo') }, concurrency: 1, queue: 2 })
    const codes = await Promise.all([1, 2, 3, 4, 5].map(() => verdict(busy, basicOf('demo:demo'))))
    assert.deepEqual(codes, ['demo', 'demo', 'demo', 'verifier_busy', 'verifier_busy'])
  })

  it('takes a list of users', async () => {
    const list = basic({ users: [{ username: 'demo', hash: cheapHash('demo'), claims: { a: 1 } }] })
    const outcome = await runSchemes([list], basicOf('demo:demo'), never)
    assert.ok(outcome.type === 'identity')
    assert.deepEqual(
      { ...outcome.identity },
      {
        issuer: 'basic',
        subject: 'demo',
        credential: undefined,
        issuedAt: null,
        expiresAt: null,
        tags: undefined,
        claims: { a: 1 },
      },
    )
  })
})

describe('basic with verify', () => {
  it('hands over username, password and signal', async () => {
    const seen: unknown[] = []
    const scheme = basic({ verify: (...given) => (seen.push(...given), { subject: given[0] }) })
    const waiting = new Waiting()
    const { signal } = waiting
    await runSchemes([scheme], basicOf('ann:a:b'), waiting)
    assert.deepEqual(seen, ['ann', 'a:b', signal])
  })

  it('refuses null and undefined, and a throw with 503', async () => {
    assert.equal(await verdict(basic({ verify: () => null }), basicOf('a:b')), 'invalid_credential')
    assert.equal(await verdict(basic({ verify: (() => undefined) as never }), basicOf('a:b')), 'invalid_credential')
    assert.equal(
      await verdict(
        basic({
          verify: () => {
            throw new Error('ldap')
          },
        }),
        basicOf('a:b'),
      ),
      'verifier_unavailable',
    )
  })

  it('gives the place of a callback that hangs back when its request is gone', async () => {
    const hanging = deferred<null>()
    const started = deferred<undefined>()
    let calls = 0
    const scheme = basic({
      concurrency: 1,
      queue: 1,
      verify: () => {
        calls++
        if (calls > 1) return { subject: 'second' }
        started.resolve(undefined)
        return hanging.promise
      },
    })
    const controller = new Waiting()
    const first = runSchemes([scheme], basicOf('a:b'), controller)
    await started.promise
    const second = verdict(scheme, basicOf('a:b'))
    controller.abort()
    const outcome = await first
    assert.equal(outcome.type === 'refuse' && outcome.refuse.code, 'handshake_timeout')
    assert.equal(await second, 'second')
  })

  it('leaves the queue when its request is gone', async () => {
    const hanging = deferred<null>()
    const scheme = basic({ concurrency: 1, queue: 1, verify: () => hanging.promise })
    const first = verdict(scheme, basicOf('a:b'))
    const controller = new Waiting()
    const second = runSchemes([scheme], basicOf('a:b'), controller)
    assert.equal(await verdict(scheme, basicOf('a:b')), 'verifier_busy')
    controller.abort()
    const outcome = await second
    assert.equal(outcome.type === 'refuse' && outcome.refuse.code, 'handshake_timeout')
    const third = verdict(scheme, basicOf('a:b'))
    hanging.resolve(null)
    assert.deepEqual(await Promise.all([first, third]), ['invalid_credential', 'invalid_credential'])
  })
})

describe('basic at construction', () => {
  const hash = cheapHash('demo')
  const wrong: ReadonlyArray<readonly [string, unknown]> = [
    ['nothing', {}],
    ['both', { users: { a: hash }, verify: () => null }],
    ['no user', { users: {} }],
    ['an empty list', { users: [] }],
    ['a plain password', { users: { demo: 'demo' } }],
    ['a username with a colon', { users: { 'a:b': hash } }],
    ['an empty username', { users: { '': hash } }],
    [
      'the same user twice',
      {
        users: [
          { username: 'a', hash },
          { username: 'a', hash },
        ],
      },
    ],
    ['a realm with a line break', { realm: 'a\nb', users: { demo: hash } }],
    ['an empty realm', { realm: '', users: { demo: hash } }],
    ['no place at all', { users: { demo: hash }, concurrency: 0 }],
    ['an unknown option', { user: {} }],
  ]
  for (const [what, options] of wrong) {
    it(`throws: ${what}`, () => {
      assert.throws(() => basic(options as BasicOptions), { code: 'GATE101_CONFIG' })
    })
  }

  it('writes the challenge of RFC 7617 with an escaped realm', () => {
    const scheme = basic({ realm: 'The "app"', users: { demo: hash } })
    assert.equal(scheme.challenge('missing_credential'), 'Basic realm="The \\"app\\"", charset="UTF-8"')
  })
})

describe('hashPassword', () => {
  it('writes the text form, with another salt each time', async () => {
    const [one, two] = await Promise.all([hashPassword('demo'), hashPassword('demo')])
    assert.match(one ?? '', /^scrypt\$32768\$8\$3\$[A-Za-z0-9_-]{22}\$[A-Za-z0-9_-]{43}$/)
    assert.notEqual(one, two)
    const stored = parsePasswordHash(one)
    assert.ok(stored)
    assert.equal(await matchesPassword('demo', stored), true)
    assert.equal(await matchesPassword('demo ', stored), false)
  })
  it('hashes no empty password', async () => {
    await assert.rejects(hashPassword(''), { code: 'GATE101_CONFIG' })
  })
  const tail = cheapHash('x').split('$').slice(4).join('$')
  for (const head of [
    'scrypt$1024$8$1',
    'scrypt$16385$8$1',
    'scrypt$1048576$32$1',
    'scrypt$16384$1$1',
    'scrypt$16384$8$0',
    'scrypt$16384$8$99',
    'bcrypt$16384$8$1',
    'scrypt$99999999$8$1',
    'scrypt$-16384$8$1',
  ]) {
    it(`does not read ${head}`, () => {
      assert.equal(parsePasswordHash(`${head}$${tail}`), undefined)
    })
  }
  it('does not read a short salt or hash', () => {
    assert.equal(parsePasswordHash(`scrypt$16384$8$1$AAAA$${'A'.repeat(43)}`), undefined)
    assert.equal(parsePasswordHash(`scrypt$16384$8$1$${'A'.repeat(22)}$AAAA`), undefined)
    assert.equal(parsePasswordHash(undefined), undefined)
  })
})
