import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import fc from 'fast-check'
import type { AuthMessage } from '../../../src/credentials/message.ts'
import { isAuthMessage, readAuthMessage, readCustomHeaders } from '../../../src/credentials/message.ts'
import { codeOf } from './helpers.ts'

const AUTHORIZATION = ['authorization']
const read = (message: unknown, allowed: readonly string[] = AUTHORIZATION): AuthMessage =>
  readAuthMessage(typeof message === 'string' ? message : JSON.stringify(message), allowed)
const basic = (pair: string): string => `Basic ${Buffer.from(pair).toString('base64')}`

function credentialOf(message: AuthMessage): { headers: unknown; account: string | undefined } {
  assert.equal(message.type, 'credential', inspect(message))
  return { headers: message.headers, account: message.account }
}

test('a token becomes Bearer', () => {
  assert.deepEqual(credentialOf(read({ type: 'auth', token: 'a.b-c=' })), {
    headers: [['authorization', 'Bearer a.b-c=']],
    account: undefined,
  })
})

test('a password becomes Basic', () => {
  assert.deepEqual(credentialOf(read({ type: 'auth', username: 'alice', password: 's:ecret' })), {
    headers: [['authorization', basic('alice:s:ecret')]],
    account: 'alice',
  })
})

test('headers are those of the list, in lower case', () => {
  const message = { type: 'auth', headers: { 'X-Api-Key': 'k', AUTHORIZATION: 'Bearer t' } }
  assert.deepEqual(credentialOf(read(message, ['authorization', 'x-api-key'])), {
    headers: [
      ['x-api-key', 'k'],
      ['authorization', 'Bearer t'],
    ],
    account: undefined,
  })
})

test('a password in a header counts for its account', () => {
  for (const value of [basic('alice:x'), `bAsIc   ${basic('alice:x').slice(6)}`])
    assert.equal(credentialOf(read({ type: 'auth', headers: { authorization: value } })).account, 'alice')
  assert.equal(credentialOf(readCustomHeaders({ Authorization: basic('bob:x') }, AUTHORIZATION)).account, 'bob')
})

test('members of other names are ignored, whatever they hold', () => {
  const message =
    '{"type":"auth","userId":1,"role":["admin"],"a":{"b":{"c":null}},"token":"t","__proto__":{"admin":true}}'
  assert.deepEqual(credentialOf(read(message)).headers, [['authorization', 'Bearer t']])
  assert.equal(({} as { admin?: boolean }).admin, undefined)
})

test('other spellings of the same JSON are read as JSON is', () => {
  assert.equal(read('\n { "\\u0074ype" : "\\u0061uth" , "token" :\t"t" }\r\n').type, 'credential')
})

const BAD: ReadonlyArray<readonly [name: string, text: string]> = [
  ['nothing', ''],
  ['no JSON', 'auth'],
  ['null', 'null'],
  ['a list', '[{"type":"auth","token":"t"}]'],
  ['a string', '"auth"'],
  ['a number', '1'],
  ['a byte order mark', '\ufeff{"type":"auth","token":"t"}'],
  ['two objects', '{"type":"auth","token":"t"}{}'],
  ['a comment', '{"type":"auth","token":"t"}//'],
  ['another type', '{"type":"login","token":"t"}'],
  ['no type', '{"token":"t"}'],
  ['a type that is a list', '{"type":["auth"],"token":"t"}'],
  ['no form', '{"type":"auth"}'],
  ['type by the prototype', '{"__proto__":{"type":"auth","token":"t"}}'],
  ['token by the prototype', '{"type":"auth","__proto__":{"token":"t"}}'],
  ['type twice', '{"type":"auth","type":"auth","token":"t"}'],
  ['token twice', '{"type":"auth","token":"t","token":"u"}'],
  ['token twice, spelt in two ways', '{"type":"auth","token":"t","tok\\u0065n":"u"}'],
  ['a header twice', '{"type":"auth","headers":{"authorization":"a","authorization":"b"}}'],
  ['a header twice in two cases', '{"type":"auth","headers":{"authorization":"a","Authorization":"b"}}'],
  ['a name twice deeper', '{"type":"auth","token":"t","x":{"y":[{"z":1,"z":2}]}}'],
  ['nesting', `{"type":"auth","token":"t","x":${'['.repeat(1500)}${']'.repeat(1500)}}`],
  ['nesting without end', '['.repeat(100_000)],
  ['a token and a username', '{"type":"auth","token":"t","username":"a"}'],
  ['a token and a password', '{"type":"auth","token":"t","password":"a"}'],
  ['a token and headers', '{"type":"auth","token":"t","headers":{"authorization":"a"}}'],
  ['a token that is null and a password', '{"type":"auth","token":null,"username":"a","password":"b"}'],
  ['a password and headers', '{"type":"auth","username":"a","password":"b","headers":{"authorization":"a"}}'],
  ['a username alone', '{"type":"auth","username":"a"}'],
  ['a password alone', '{"type":"auth","password":"a"}'],
  ['a token that is no string', '{"type":"auth","token":7}'],
  ['an empty token', '{"type":"auth","token":""}'],
  ['a token with a space', '{"type":"auth","token":"a b"}'],
  ['a token with a line', '{"type":"auth","token":"a\\r\\nx: y"}'],
  ['a token of 4097 characters', `{"type":"auth","token":"${'a'.repeat(4097)}"}`],
  ['a username that is no string', '{"type":"auth","username":["a"],"password":"b"}'],
  ['a password that is null', '{"type":"auth","username":"a","password":null}'],
  ['a username with a colon', '{"type":"auth","username":"a:b","password":"c"}'],
  ['an empty username', '{"type":"auth","username":"","password":"c"}'],
  ['a password with a control character', '{"type":"auth","username":"a","password":"\\u0000"}'],
  ['half a surrogate pair', '{"type":"auth","username":"a\\ud800","password":"b"}'],
  ['no headers', '{"type":"auth","headers":{}}'],
  ['headers that are null', '{"type":"auth","headers":null}'],
  ['headers that are a list', '{"type":"auth","headers":["authorization"]}'],
  ['headers that are a text', '{"type":"auth","headers":"authorization: a"}'],
  ['a header that is not in the list', '{"type":"auth","headers":{"authorization":"a","cookie":"sid=1"}}'],
  ['X-Remote-User', '{"type":"auth","headers":{"x-remote-user":"root"}}'],
  ['__proto__ as a header', '{"type":"auth","headers":{"__proto__":"a"}}'],
  ['a header that is empty', '{"type":"auth","headers":{"authorization":""}}'],
  ['a header of two values', '{"type":"auth","headers":{"authorization":["a","b"]}}'],
  ['a header with a line', '{"type":"auth","headers":{"authorization":"a\\r\\nx-remote-user: root"}}'],
  ['a header with white space around it', '{"type":"auth","headers":{"authorization":" a"}}'],
  ['a header beyond Latin-1', '{"type":"auth","headers":{"authorization":"\\u0141"}}'],
]

for (const [name, text] of BAD) {
  test(`refused: ${name}`, () => {
    assert.equal(codeOf(read(text)), 'bad_auth_message')
  })
}

test('what may set no Authorization may set none by another form', () => {
  assert.equal(codeOf(read({ type: 'auth', token: 't' }, ['x-api-key'])), 'bad_auth_message')
  assert.equal(codeOf(read({ type: 'auth', username: 'a', password: 'b' }, ['x-api-key'])), 'bad_auth_message')
  assert.equal(read({ type: 'auth', headers: { 'x-api-key': 'k' } }, ['x-api-key']).type, 'credential')
})

test('a refusal holds nothing of the message', () => {
  for (const message of [
    '{"type":"auth","token":"hunter2 hunter2"}',
    '{"type":"auth","username":"a:b","password":"hunter2"}',
    '{"type":"auth","headers":{"x-hunter2":"hunter2"}}',
    'hunter2',
    '{"hunter2":1,"hunter2":2}',
  ])
    assert.ok(!inspect(read(message), { depth: null, showHidden: true }).includes('hunter2'))
})

test('any text is either an auth message or refused, and never more than its headers', () => {
  const anything = fc.oneof(
    fc.string(),
    fc.json(),
    fc.jsonValue().map((value) => JSON.stringify({ type: 'auth', token: value })),
  )
  fc.assert(
    fc.property(anything, (text) => {
      const message = read(text)
      if (message.type === 'credential')
        assert.deepEqual(
          message.headers.map(([name]) => name),
          ['authorization'],
        )
      else assert.equal(message.code, 'bad_auth_message')
    }),
  )
})

test('a name that is there twice is found wherever it is', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.string({ minLength: 1 }), (name, text, value) => {
      const own = JSON.stringify(`k${name}`)
      const inner = `${own}:${JSON.stringify(text)},"other":${JSON.stringify(value)}`
      assert.equal(read(`{"type":"auth","token":"t","x":{${inner}}}`).type, name === 'other' ? 'refuse' : 'credential')
      assert.equal(read(`{"type":"auth","token":"t","x":{${inner},${own} :1}}`).type, 'refuse')
      assert.equal(read(`{"type":"auth","token":"t","x":[{${inner}},{${inner}}]}`).type, 'credential')
    }),
  )
})

test('what toHeaders returns is held to the same list', () => {
  const allowed = ['authorization', 'x-api-key']
  assert.deepEqual(credentialOf(readCustomHeaders({ 'X-Api-Key': 'k' }, allowed)), {
    headers: [['x-api-key', 'k']],
    account: undefined,
  })
  const wrong: unknown[] = [
    {},
    [],
    'authorization: a',
    7,
    null,
    undefined,
    new Map([['authorization', 'a']]),
    new Headers({ authorization: 'a' }),
    { authorization: ['a'] },
    { authorization: undefined },
    { authorization: '' },
    { authorization: 'a\n' },
    { authorization: 'a'.repeat(8193) },
    { cookie: 'sid=1' },
    { 'x-remote-user': 'root' },
    { 'x-api-key': 'a', 'X-API-KEY': 'b' },
  ]
  for (const given of wrong) assert.equal(codeOf(readCustomHeaders(given, allowed)), 'bad_auth_message', inspect(given))
})

test('an auth message is known, good or bad', () => {
  for (const text of [
    '{"type":"auth"}',
    ' {"a":1,"type":"auth","token":7}',
    '{"type":"\\u0061uth"}',
    '{"type":"auth","type":"auth"}',
  ])
    assert.equal(isAuthMessage(text), true, text)
  for (const text of [
    '',
    'auth',
    '{"type":"auth"',
    '["type","auth"]',
    '"auth"',
    '{"type":"chat","text":"\\"auth\\""}',
    '{"kind":"auth"}',
    '{"data":{"type":"auth"}}',
    '{"__proto__":{"type":"auth"}}',
    'null',
  ])
    assert.equal(isAuthMessage(text), false, text)
})
