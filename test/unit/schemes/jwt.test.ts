import { Waiting } from '../../../src/core/waiting.ts'
import assert from 'node:assert/strict'
import {
  createHmac,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  generateKeyPairSync,
  sign as signBytes,
  webcrypto,
  type KeyObject,
} from 'node:crypto'
import { createServer } from 'node:http'
import { describe, it } from 'node:test'
import type { Identity } from '../../../src/core/identity.ts'
import type { Scheme } from '../../../src/core/scheme.ts'
import { runSchemes } from '../../../src/schemes/combine.ts'
import { bearer, jwt, type JwtOptions } from '../../../src/schemes.ts'
import { authorization, heldClock, request, verdict } from './helpers.ts'

const never = new Waiting()
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const other = generateKeyPairSync('rsa', { modulusLength: 2048 })
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const ed = generateKeyPairSync('ed25519')
const secret = Buffer.alloc(32, 1)
const ISSUER = 'https://login.example/'
const now = Math.floor(Date.now() / 1000)
const good = { iss: ISSUER, aud: 'api', sub: 'alice', exp: now + 3600, iat: now - 1, jti: 't1', sid: 's1' }
const base: JwtOptions = { issuer: ISSUER, audience: 'api', algorithms: ['RS256'], key: rsa.publicKey }

const b64 = (text: string | Buffer): string => Buffer.from(text as string).toString('base64url')

/** A token of any text on either side, rightly signed. */
function rawToken(header: string, payload: string, key: KeyObject = rsa.privateKey): string {
  const input = `${b64(header)}.${b64(payload)}`
  return `${input}.${signBytes('sha256', Buffer.from(input), key).toString('base64url')}`
}
function token(payload: object = good, header: object = {}, key: KeyObject = rsa.privateKey): string {
  return rawToken(JSON.stringify({ alg: 'RS256', typ: 'JWT', ...header }), JSON.stringify(payload), key)
}
const hmac = (input: string, key: Buffer | string): string =>
  `${input}.${createHmac('sha256', key).update(input).digest('base64url')}`
const ask = (scheme: Scheme, text: string): Promise<string> => verdict(scheme, authorization(`Bearer ${text}`))
const without = (name: keyof typeof good): object =>
  Object.fromEntries(Object.entries(good).filter(([key]) => key !== name))

async function identityOf<Claims>(scheme: Scheme<Claims>, text: string): Promise<Identity<Claims>> {
  const outcome = await runSchemes([scheme], authorization(`Bearer ${text}`), never)
  assert.ok(outcome.type === 'identity', 'refused')
  return outcome.identity
}

const jwkOf = (key: KeyObject, more: object = {}) => ({ ...key.export({ format: 'jwk' }), ...more }) as never
const from = (iss: string, key: KeyObject): string => token({ ...good, iss }, { kid: 'same' }, key)
const askAll = (schemes: readonly Scheme[], text: string): Promise<string> =>
  verdict(schemes, authorization(`Bearer ${text}`))
const made = (expiresAt?: Date | null): Scheme<{ plan: unknown }> =>
  jwt({
    ...base,
    identify: (payload) => ({
      subject: `u:${payload.sub}`,
      session: 's9',
      expiresAt,
      claims: { plan: payload['plan'] },
    }),
  })

describe('jwt', () => {
  const scheme = jwt(base)

  it('makes the identity of the claims', async () => {
    const identity = await identityOf(scheme, token())
    assert.deepEqual(
      { ...identity },
      {
        issuer: ISSUER,
        subject: 'alice',
        credential: 't1',
        issuedAt: new Date(good.iat * 1000),
        expiresAt: new Date(good.exp * 1000),
        tags: undefined,
        claims: good,
      },
    )
    assert.equal(identity.session, 's1')
    assert.ok(Object.isFrozen(identity.claims))
  })

  for (const typ of [undefined, 'JWT', 'jwt', 'at+jwt', 'application/at+jwt', 'AT+JWT']) {
    it(`takes typ ${typ}`, async () => {
      assert.equal(await ask(scheme, token(good, { typ })), 'alice')
    })
  }

  it('takes several audiences and issuers', async () => {
    const many = jwt({ ...base, issuer: ['https://a.example', ISSUER], audience: ['web', 'api'] })
    assert.equal(await ask(many, token({ ...good, aud: ['x', 'api'] })), 'alice')
    assert.equal((await identityOf(many, token({ ...good, iss: 'https://a.example' }))).issuer, 'https://a.example')
  })

  const text = token()
  const [head = '', body = '', signature = ''] = text.split('.')
  const none = (alg: unknown): string => `${b64(JSON.stringify({ alg, typ: 'JWT' }))}.${body}.`
  const lastBits = String.fromCharCode(signature.charCodeAt(signature.length - 1) + 1)
  const pem = rsa.publicKey.export({ type: 'spki', format: 'pem' })
  const confused = `${b64('{"alg":"HS256","typ":"JWT"}')}.${body}`
  const deep = `${'['.repeat(2500)}${']'.repeat(2500)}`

  const refused: ReadonlyArray<readonly [string, string]> = [
    ['alg none', none('none')],
    ['alg None', none('None')],
    ['alg nOnE with a signature', `${none('nOnE')}${signature}`],
    ['alg of another family', token(good, { alg: 'PS256' })],
    ['alg that is no text', token(good, { alg: ['RS256'] })],
    ['no alg', rawToken('{"typ":"JWT"}', JSON.stringify(good))],
    ['HS256 with the public key as secret', hmac(confused, pem)],
    [
      'HS256 with n as secret',
      hmac(confused, Buffer.from(rsa.publicKey.export({ format: 'jwk' }).n ?? '', 'base64url')),
    ],
    ['an empty signature', `${head}.${body}.`],
    ['the signature of another key', token(good, {}, other.privateKey)],
    ['a changed payload', `${head}.${b64(JSON.stringify({ ...good, sub: 'root' }))}.${signature}`],
    ['2 parts', `${head}.${body}`],
    ['4 parts', `${text}.x`],
    ['5 parts', `${text}.x.y`],
    ['a trailing dot', `${text}.`],
    ['padding', `${text}==`],
    ['stray bits in the signature', `${text.slice(0, -1)}${lastBits}`],
    ['inner white space', `${head}. ${body}.${signature}`],
    ['percent-encoding', text.replace('.', '%2e')],
    ['standard base64', `${head}.${body}.${signature.slice(0, -4)}+/+/`],
    ['crit with an unknown name', token(good, { crit: ['x'], x: 1 })],
    ['crit with b64', token(good, { crit: ['b64'], b64: true })],
    ['empty crit', token(good, { crit: [] })],
    ['crit that is no array', token(good, { crit: 'exp' })],
    ['crit null', token(good, { crit: null })],
    ['kid that is an array', token(good, { kid: ['a'] })],
    ['kid of 4 KiB', token(good, { kid: 'k'.repeat(4096) })],
    ['kid with a control character', token(good, { kid: 'a\n' })],
    ['typ dpop+jwt', token(good, { typ: 'dpop+jwt' })],
    ['typ logout+jwt', token(good, { typ: 'logout+jwt' })],
    ['typ that is no text', token(good, { typ: 1 })],
    ['a payload that is an array', rawToken('{"alg":"RS256"}', '[1]')],
    ['a payload that is a string', rawToken('{"alg":"RS256"}', '"x"')],
    ['a payload that is null', rawToken('{"alg":"RS256"}', 'null')],
    ['a payload that is no JSON', rawToken('{"alg":"RS256"}', '{')],
    ['a payload that is deep', rawToken('{"alg":"RS256"}', deep)],
    ['a payload that is no UTF-8', `${head}.${b64(Buffer.from([0x7b, 0xff, 0x7d]))}.${signature}`],
    ['a header that is an array', rawToken('[]', JSON.stringify(good))],
    ['another issuer', token({ ...good, iss: 'https://login.example' })],
    ['an issuer in an array', token({ ...good, iss: [ISSUER] })],
    ['no issuer', token(without('iss'))],
    ['another audience', token({ ...good, aud: 'web' })],
    ['an audience that is an object', token({ ...good, aud: { 0: 'api' } })],
    ['no audience', token(without('aud'))],
    ['no sub', token(without('sub'))],
    ['an empty sub', token({ ...good, sub: '' })],
    ['a sub that is a number', token({ ...good, sub: 7 })],
    ['no exp', token(without('exp'))],
    ['nbf in the future', token({ ...good, nbf: now + 60 })],
    ['iat in the future', token({ ...good, iat: now + 60 })],
    ['nbf that is text', token({ ...good, nbf: '1' })],
    ['a token bound to a key', token({ ...good, cnf: { jkt: 'x' } })],
    ['a logout token', token({ ...good, events: { 'http://schemas.openid.net/event/backchannel-logout': {} } })],
    ['more than 8192 characters', token({ ...good, pad: 'x'.repeat(6500) })],
    ['no dot', 'opaque'],
    ['only dots', '..'],
  ]
  for (const [what, wrong] of refused) {
    it(`refuses ${what}`, async () => {
      assert.equal(await ask(scheme, wrong), 'invalid_credential')
    })
  }

  for (const exp of [
    '"1999999999"',
    '1999999999.5',
    'null',
    '1e308',
    '-1e308',
    String(Date.now() + 3.6e6),
    '{}',
    'true',
  ]) {
    it(`refuses exp ${exp}`, async () => {
      const payload = JSON.stringify(good).replace(String(good.exp), exp)
      const found = await ask(scheme, rawToken('{"alg":"RS256"}', payload))
      assert.ok(['invalid_credential', 'expired_credential'].includes(found), found)
    })
  }

  it('takes an exp that is far away and a valid date', async () => {
    assert.equal((await identityOf(scheme, token({ ...good, exp: 99_999_999_999 }))).expiresAt?.getUTCFullYear(), 5138)
  })

  it('says expired only of a token that is rightly signed', async () => {
    const old = { ...good, exp: now - 1 }
    assert.equal(await ask(scheme, token(old)), 'expired_credential')
    assert.equal(await ask(scheme, token(old, {}, other.privateKey)), 'invalid_credential')
  })

  it('lets the tolerance count for nbf and iat, not for exp', async () => {
    const clock = heldClock(now * 1000)
    const tolerant = jwt({ ...base, clock, clockTolerance: 30, cache: false })
    assert.equal(await ask(tolerant, token({ ...good, nbf: now + 30, iat: now + 30 })), 'alice')
    assert.equal(await ask(tolerant, token({ ...good, nbf: now + 31 })), 'invalid_credential')
    assert.equal(await ask(tolerant, token({ ...good, iat: now + 31 })), 'invalid_credential')
    assert.equal(await ask(tolerant, token({ ...good, exp: now })), 'expired_credential')
  })

  it('limits the age of tokens', async () => {
    const young = jwt({ ...base, maxTokenAge: 60 })
    assert.equal(await ask(young, token({ ...good, iat: now - 5 })), 'alice')
    assert.equal(await ask(young, token({ ...good, iat: now - 61 })), 'expired_credential')
    assert.equal(await ask(young, token(without('iat'))), 'invalid_credential')
  })

  it('takes a token without exp only where told', async () => {
    const identity = await identityOf(jwt({ ...base, requireExp: false }), token(without('exp')))
    assert.equal(identity.expiresAt, null)
  })

  it('takes the given types only, once they are given', async () => {
    const strict = jwt({ ...base, typ: ['at+jwt'] })
    assert.equal(await ask(strict, token(good, { typ: 'AT+jwt' })), 'alice')
    assert.equal(await ask(strict, token()), 'invalid_credential')
    assert.equal(await ask(strict, token(good, { typ: undefined })), 'invalid_credential')
  })

  it('asks for claims: an ID token or refresh token is none to log in with', async () => {
    const access = jwt({ ...base, requiredClaims: { token_use: 'access', tenant: ['a', 'b'] } })
    assert.equal(await ask(access, token({ ...good, token_use: 'access', tenant: 'b' })), 'alice')
    for (const claims of [
      { token_use: 'id', tenant: 'a' },
      { tenant: 'a' },
      { token_use: 'access' },
      { token_use: ['access'], tenant: 'a' },
    ]) {
      assert.equal(await ask(access, token({ ...good, ...claims })), 'invalid_credential')
    }
  })

  it('reads Bearer in any case, and no token in a wrong place', async () => {
    assert.equal(await verdict(scheme, authorization(`bEARER ${text}`)), 'alice')
    assert.equal(await verdict(scheme, authorization(text)), 'invalid_credential')
    assert.equal(await verdict(scheme, request(['x-api-key', text])), 'missing_credential')
    assert.equal(await verdict(scheme, authorization('Bearer')), 'invalid_credential')
  })

  it('names no part of the token in a cause', async () => {
    for (const [, wrong] of refused) {
      const outcome = await runSchemes([scheme], authorization(`Bearer ${wrong}`), never)
      const cause = outcome.type === 'refuse' ? outcome.refuse.cause : undefined
      const told = cause instanceof Error ? `${cause.message} ${String(cause.cause)}` : ''
      assert.ok(!told.includes('alice') && !told.includes(body.slice(0, 8)), told)
    }
  })

  it('ignores jku, x5u and jwk of a token', async () => {
    let asked = 0
    const server = createServer((_req, res) => {
      asked++
      res.end('{"keys":[]}')
    }).listen(0, '127.0.0.1')
    await new Promise((listening) => server.once('listening', listening))
    const address = server.address()
    const url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/`
    const jwk = other.publicKey.export({ format: 'jwk' })
    assert.equal(await ask(scheme, token(good, { jku: url, x5u: url, jwk }, other.privateKey)), 'invalid_credential')
    assert.equal(await ask(scheme, token(good, { jku: url, x5u: url, jwk })), 'alice')
    assert.equal(asked, 0)
    server.close()
  })

  it('gives the payload to identify, and bounds what comes back by exp', async () => {
    const late = new Date((good.exp + 60) * 1000)
    const soon = new Date((good.exp - 60) * 1000)
    const identity = await identityOf(made(late), token({ ...good, plan: 'pro' }))
    assert.deepEqual([identity.subject, identity.issuer, identity.claims?.plan], ['u:alice', ISSUER, 'pro'])
    assert.equal(identity.session, 's9')
    assert.equal(identity.expiresAt?.getTime(), good.exp * 1000)
    assert.equal((await identityOf(made(soon), token())).expiresAt?.getTime(), soon.getTime())
    assert.equal((await identityOf(made(null), token())).expiresAt?.getTime(), good.exp * 1000)
    assert.equal(await ask(made(17 as never), token()), 'app_error')
  })

  it('asks identify each time, also about a token it has seen', async () => {
    let blocked = false
    const guarded = jwt({ ...base, identify: async ({ sub }) => (blocked ? null : { subject: sub ?? '' }) })
    assert.equal(await ask(guarded, text), 'alice')
    blocked = true
    assert.equal(await ask(guarded, text), 'invalid_credential')
    const failing = jwt({
      ...base,
      identify: () => {
        throw new Error('db')
      },
    })
    assert.equal(await ask(failing, text), 'verifier_unavailable')
  })
})

describe('jwt keys', () => {
  it('takes a KeyObject, a CryptoKey, a JWK and a secret', async () => {
    const es = (payload: object): string => {
      const input = `${b64('{"alg":"ES256"}')}.${b64(JSON.stringify(payload))}`
      return `${input}.${signBytes('sha256', Buffer.from(input), { key: ec.privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
    }
    const crypto = await webcrypto.subtle.importKey(
      'spki',
      ec.publicKey.export({ type: 'spki', format: 'der' }),
      { name: 'ECDSA', namedCurve: 'P-256' },
      true,
      ['verify'],
    )
    for (const key of [ec.publicKey, crypto, jwkOf(ec.publicKey)]) {
      assert.equal(await ask(jwt({ ...base, algorithms: ['ES256'], key }), es(good)), 'alice')
    }
    const edInput = `${b64('{"alg":"EdDSA"}')}.${b64(JSON.stringify(good))}`
    const edToken = `${edInput}.${signBytes(null, Buffer.from(edInput), ed.privateKey).toString('base64url')}`
    assert.equal(await ask(jwt({ ...base, algorithms: ['EdDSA'], key: ed.publicKey }), edToken), 'alice')
    const hs = hmac(`${b64('{"alg":"HS256"}')}.${b64(JSON.stringify(good))}`, secret)
    for (const key of [new Uint8Array(secret), createSecretKey(secret), { kty: 'oct', k: b64(secret) }]) {
      assert.equal(await ask(jwt({ ...base, algorithms: ['HS256'], key }), hs), 'alice')
    }
  })

  it('finds the key of a local set by kid', async () => {
    const jwks = { keys: [jwkOf(other.publicKey, { kid: 'old' }), jwkOf(rsa.publicKey, { kid: 'new' })] }
    const { key: _key, ...rest } = base
    const scheme = jwt({ ...rest, jwks })
    assert.equal(await ask(scheme, token(good, { kid: 'new' })), 'alice')
    assert.equal(await ask(scheme, token(good, { kid: 'old' }, other.privateKey)), 'alice')
    for (const kid of ['unknown', '__proto__', "' OR 1=1", '../../dev/null', undefined]) {
      assert.equal(await ask(scheme, token(good, { kid })), 'invalid_credential')
    }
    assert.equal(await ask(scheme, token(good, { kid: 'old' })), 'invalid_credential')
  })

  const { key: _unused, ...noKey } = base
  const wrong: ReadonlyArray<readonly [string, unknown]> = [
    ['no issuer', { ...base, issuer: undefined }],
    ['an empty issuer', { ...base, issuer: '' }],
    ['no audience', { ...base, audience: [] }],
    ['no algorithms', { ...base, algorithms: [] }],
    ['algorithm none', { ...base, algorithms: ['none'] }],
    ['an unknown algorithm', { ...base, algorithms: ['RS1'] }],
    ['symmetric and asymmetric algorithms', { ...base, algorithms: ['RS256', 'HS256'] }],
    ['no key at all', noKey],
    ['two sources of keys', { ...base, jwks: { keys: [jwkOf(rsa.publicKey)] } }],
    ['a private key', { ...base, key: rsa.privateKey }],
    ['a private JWK', { ...base, key: jwkOf(rsa.privateKey) }],
    ['a private key in a set', { ...noKey, jwks: { keys: [jwkOf(rsa.privateKey)] } }],
    ['a secret in a set', { ...noKey, jwks: { keys: [{ kty: 'oct', k: b64(secret) }] } }],
    ['an empty set', { ...noKey, jwks: { keys: [] } }],
    ['a key that does not fit', { ...base, algorithms: ['RS256', 'ES256'] }],
    ['a secret for a public-key algorithm', { ...base, key: secret }],
    ['a public key for HS256', { ...base, algorithms: ['HS256'] }],
    ['a short secret', { ...base, algorithms: ['HS256'], key: Buffer.alloc(31) }],
    ['a secret that is short for HS512', { ...base, algorithms: ['HS512'], key: Buffer.alloc(63) }],
    [
      'a weak RSA key',
      {
        ...base,
        key: createPublicKey(
          createPrivateKey(
            generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey.export({ type: 'pkcs8', format: 'pem' }),
          ),
        ),
      },
    ],
    ['PEM text', { ...base, key: rsa.publicKey.export({ type: 'spki', format: 'pem' }) }],
    ['a JWK that cannot be read', { ...base, key: { kty: 'RSA', n: 1 } }],
    ['HS256 from a URL', { ...noKey, algorithms: ['HS256'], jwksUrl: 'https://login.example/jwks' }],
    ['an http URL', { ...noKey, jwksUrl: 'http://login.example/jwks' }],
    ['an http URL that looks like loopback', { ...noKey, jwksUrl: 'http://127.0.0.1.evil.example/jwks' }],
    ['a file URL', { ...noKey, jwksUrl: 'file:///etc/passwd' }],
    ['a URL with a password', { ...noKey, jwksUrl: 'https://u:p@login.example/jwks' }],
    ['no URL', { ...noKey, jwksUrl: 'jwks' }],
    ['a tolerance of an hour', { ...base, clockTolerance: 3600 }],
    ['a cache of an hour', { ...base, cache: { maxAge: 3600 } }],
    ['an empty typ', { ...base, typ: [] }],
    ['an unknown option', { ...base, ignoreExpiration: true }],
  ]
  for (const [what, options] of wrong) {
    it(`throws at construction: ${what}`, () => {
      assert.throws(() => jwt(options as JwtOptions), { code: 'GATE101_CONFIG' })
    })
  }
})

describe('two jwt() and a bearer() in one list', () => {
  const a = jwt({ ...base, issuer: 'https://a.example', name: 'a' })
  const b = jwt({ ...base, issuer: 'https://b.example', name: 'b', key: other.publicKey })
  const opaque = bearer({ verify: (text) => (text === 'opaque' ? { subject: 'o' } : null) })
  const list = [a, b]

  it('finds the scheme of the issuer', async () => {
    assert.equal(await askAll(list, from('https://a.example', rsa.privateKey)), 'alice')
    assert.equal(await askAll(list, from('https://b.example', other.privateKey)), 'alice')
  })

  it('never takes the key of one tenant for the other', async () => {
    assert.equal(await askAll(list, from('https://a.example', other.privateKey)), 'invalid_credential')
    assert.equal(await askAll(list, from('https://b.example', rsa.privateKey)), 'invalid_credential')
  })

  it('refuses a third issuer, once with the error in one challenge', async () => {
    const outcome = await runSchemes(list, authorization(`Bearer ${from('https://c.example', rsa.privateKey)}`), never)
    assert.ok(outcome.type === 'refuse')
    assert.equal(outcome.refuse.code, 'invalid_credential')
    assert.deepEqual(outcome.refuse.headers, [['WWW-Authenticate', 'Bearer error="invalid_token"']])
  })

  it('leaves opaque tokens to bearer(), not broken JWTs', async () => {
    const three = [...list, opaque]
    assert.equal(await askAll(three, 'opaque'), 'o')
    const loud = [...list, bearer({ verify: () => ({ subject: 'root' }) })]
    assert.equal(await askAll(loud, 'a.b'), 'invalid_credential')
    assert.equal(await askAll(loud, from('https://a.example', other.privateKey)), 'invalid_credential')
  })
})
