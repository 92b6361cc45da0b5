import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { readSecret } from '../../../src/credentials/keys.ts'

const bytesOf = (option: unknown, label = 'label', salt?: Uint8Array): string =>
  readSecret(option).first.derive(label, salt).export().toString('hex')

test('a random secret is taken in every spelling', () => {
  for (let n = 0; n < 2000; n++) {
    const secret = randomBytes(32)
    readSecret(secret)
    for (const encoding of ['hex', 'base64', 'base64url'] as const) readSecret(secret.toString(encoding))
  }
})

test('a secret may say what it is for', () => {
  readSecret(`my-production-secret-${randomBytes(24).toString('hex')}`)
})

const EXAMPLES = [
  'keyboard cat keyboard cat keyboard cat',
  'change-me-please-this-is-not-a-secret',
  'changemechangemechangemechangeme',
  'secretsecretsecretsecretsecretsecret',
  'your-super-secret-key-of-at-least-32-characters',
  'this is a very long secret for testing!',
  'REPLACE_THIS_WITH_A_RANDOM_STRING_xxxxxxxxxxxx',
  'a'.repeat(64),
  'ab'.repeat(32),
  '0123456789abcdef0123456789abcdef',
  'abcdefghijklmnopqrstuvwxyz0123456789',
  '12345678901234567890123456789012',
  '00000000-0000-0000-0000-000000000000',
  new Uint8Array(32),
  new Uint8Array(64).fill(7),
  Uint8Array.from({ length: 64 }, (_, n) => n),
]

for (const example of EXAMPLES) {
  test(`an example is no secret: ${String(example).slice(0, 40)}`, () => {
    assert.throws(() => readSecret(example), { code: 'GATE101_CONFIG', message: /random/ })
  })
}

const good = randomBytes(32)

for (const wrong of [
  '',
  'short',
  randomBytes(31),
  [],
  [good, 'short'],
  [[good]],
  7,
  null,
  {},
  new ArrayBuffer(32),
  true,
]) {
  test(`refused: ${inspect(wrong, { breakLength: Infinity }).slice(0, 40)}`, () => {
    assert.throws(() => readSecret(wrong), { code: 'GATE101_CONFIG' })
  })
}

test('no error holds the secret', () => {
  for (const secret of ['hunter2hunter2', 'hunter2'.repeat(10)])
    assert.throws(
      () => readSecret(secret),
      (error: Error) => !inspect(error).replaceAll(/at .*/g, '').includes('hunter2'),
    )
})

test('subkeys differ by label, salt and secret, and are the same each time', () => {
  const other = randomBytes(32)
  assert.equal(bytesOf(good), bytesOf(good))
  assert.equal(bytesOf(good.toString('hex')), bytesOf(Buffer.from(good.toString('hex'))))
  const all = [bytesOf(good), bytesOf(good, 'other'), bytesOf(good, 'label', other), bytesOf(other), bytesOf(undefined)]
  assert.equal(new Set(all).size, all.length)
  for (const key of all) assert.equal(key.length, 64)
})

test('without a secret each process draws its own', () => {
  assert.notEqual(bytesOf(undefined), bytesOf(undefined))
})

test('the first of several makes, all are there', () => {
  const keys = readSecret([good, randomBytes(32)])
  assert.equal(keys.all.length, 2)
  assert.equal(keys.first, keys.all[0])
  assert.equal(keys.first.derive('label').export().toString('hex'), bytesOf(good))
})

test('a secret that is changed later has been read already', () => {
  const bytes = Buffer.from(good)
  const keys = readSecret(bytes)
  bytes.fill(0)
  assert.equal(keys.first.derive('label').export().toString('hex'), bytesOf(good))
})

test('nothing shows the secret or a subkey', () => {
  const secret = good.toString('hex')
  const keys = readSecret([secret, good])
  const key = keys.first.derive('label')
  const shown = inspect([keys, key], { showHidden: true, depth: null, getters: true }) + JSON.stringify([keys, key])
  for (const part of [secret, good.toString('base64'), key.export().toString('hex'), good.toString('latin1')])
    assert.ok(!shown.includes(part))
})
