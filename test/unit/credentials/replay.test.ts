import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readReplay } from '../../../src/credentials/replay.ts'

const b64 = (text: string): string => Buffer.from(text).toString('base64url')
const jwt = (payload: object): string => `${b64('{"alg":"ES256"}')}.${b64(JSON.stringify(payload))}.c2ln`

test('cookies, keys and bearer tokens can be shown again', () => {
  for (const header of [
    ['cookie', 'sid=1'],
    ['x-api-key', 'k'],
    ['authorization', 'Bearer opaque'],
    ['Authorization', 'bearer  opaque'],
    ['authorization', 'Token abc'],
    ['authorization', 'opaque-without-a-scheme'],
  ] as const) {
    assert.deepEqual(readReplay([header]), { canReplay: true, expiresAt: undefined }, header.join(': '))
  }
})

test('passwords, and what is made for one request, cannot', () => {
  for (const header of [
    ['authorization', `Basic ${Buffer.from('ann:pw').toString('base64')}`],
    ['authorization', 'basic  YW5uOnB3'],
    ['authorization', 'Digest username="ann", nonce="n", response="r"'],
    ['authorization', 'Negotiate YIIZ'],
    ['authorization', 'NTLM TlRMTVNTUAAB'],
    ['authorization', 'DPoP eyJ.eyJ.sig'],
    ['authorization', 'AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=c'],
    ['authorization', 'HOBA result="kid.chl.nonce.sig"'],
    ['authorization', 'Bearer a, Basic b'],
    ['authorization', ''],
    ['authorization', 'Bearer '],
    ['proxy-authorization', 'Basic YW5uOnB3'],
    ['dpop', 'eyJ.eyJ.sig'],
    ['Signature', 'sig1=:abc=:'],
    ['signature-input', 'sig1=("@method")'],
    ['x-amz-date', '20261123T000000Z'],
  ] as const) {
    const replay = readReplay([['cookie', 'sid=1'], header])
    assert.deepEqual(replay, { canReplay: false, expiresAt: undefined }, header.join(': '))
  }
})

test('the expiry of a JWT is read, with a scheme or without', () => {
  for (const value of [`Bearer ${jwt({ exp: 1_800_000_000 })}`, jwt({ exp: 1_800_000_000 })]) {
    assert.deepEqual(readReplay([['authorization', value]]), { canReplay: true, expiresAt: 1_800_000_000_000 })
  }
  for (const payload of [{}, { exp: '1800000000' }, { exp: null }, []]) {
    assert.deepEqual(readReplay([['authorization', `Bearer ${jwt(payload)}`]]), {
      canReplay: true,
      expiresAt: undefined,
    })
  }
  assert.deepEqual(readReplay([['authorization', 'Bearer a.b.c']]), { canReplay: true, expiresAt: undefined })
})
