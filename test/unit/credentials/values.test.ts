import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { basicAccount, basicValue, isB64token, isFieldValue } from '../../../src/credentials/values.ts'

const isControl = (text: string): boolean => Array.from(text).some((letter) => letter < ' ' || letter === '\x7f')

test('a field value is one line of bytes with no white space around it', () => {
  for (const good of ['', 'a', 'Bearer abc', 'a\tb', '\u00e9', '~', 'a  b'])
    assert.equal(isFieldValue(good), true, good)
  for (const bad of [' a', 'a ', '\ta', 'a\r\nX-Remote-User: root', 'a\n', 'a\0', '\x7f', '\u0100', '\u{1f511}', ' '])
    assert.equal(isFieldValue(bad), false, JSON.stringify(bad))
})

test('a long line that is no field value is refused without delay', () => {
  const started = performance.now()
  assert.equal(isFieldValue(`a${' '.repeat(1_000_000)}`), false)
  assert.equal(isFieldValue(`${'a '.repeat(500_000)}\n`), false)
  assert.ok(performance.now() - started < 5000)
})

test('a b64token is what RFC 6750 says', () => {
  for (const good of ['a', 'a.b-c_d~e+f/g', 'abc=', 'abc==', 'abc===']) assert.equal(isB64token(good), true, good)
  for (const bad of ['', '=', 'a=b', 'a b', 'a,b', 'a\n', '\u00e9', 'a"']) assert.equal(isB64token(bad), false, bad)
})

test('a password becomes Basic in UTF-8, and its username is found again', () => {
  assert.equal(basicValue('Aladdin', 'open sesame'), 'Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==')
  assert.equal(basicValue('test', '123£'), 'Basic dGVzdDoxMjPCow==')
  const username = fc
    .string({ unit: 'grapheme', minLength: 1 })
    .filter((text) => !isControl(text) && !text.includes(':'))
  const password = fc.string({ unit: 'grapheme' }).filter((text) => !isControl(text))
  fc.assert(
    fc.property(username, password, (user, pass) => {
      const value = basicValue(user, pass) ?? ''
      assert.equal(Buffer.from(value.slice(6), 'base64').toString(), `${user}:${pass}`)
      assert.ok(isFieldValue(value))
      assert.equal(basicAccount(value), user)
    }),
  )
})

test('what RFC 7617 cannot carry is no Basic', () => {
  for (const [username, password] of [
    ['', 'x'],
    ['a:b', 'x'],
    ['a\n', 'x'],
    ['a', 'x\0'],
    ['a', '\x7f'],
    ['a\ud800', 'x'],
    ['a', '\udc00'],
  ] as const)
    assert.equal(basicValue(username, password), undefined)
  assert.notEqual(basicValue('a', ''), undefined)
  assert.notEqual(basicValue('a', 'x:y'), undefined)
})

test('the username in an Authorization is found in whatever a lenient app takes for a password', () => {
  const pair = Buffer.from('alice:secret').toString('base64')
  for (const value of [`Basic ${pair}`, `BASIC   ${pair}`, `basic\t${pair.replaceAll('=', '')}`])
    assert.equal(basicAccount(value), 'alice')
  assert.equal(basicAccount('Basic'), '')
  assert.equal(basicAccount(`Basic ${Buffer.from('alice').toString('base64')}`), 'alice')
  for (const value of [`XBasic ${pair}`, `Basics ${pair}`, `Bearer ${pair}`, `Foo ${pair}`, pair, `Basic\u00a0${pair}`])
    assert.equal(basicAccount(value), 'alice', value)
  const jwt = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl'
  for (const value of [
    '',
    `Bearer ${jwt}`,
    'Bearer 0123456789abcdef0123456789abcdef',
    'Digest username="alice", nonce="x"',
  ])
    assert.equal(basicAccount(value), undefined, value)
})
