import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { findQuery } from '../../../src/credentials/query.ts'
import { handshakeOf } from '../handshake/helpers.ts'
import { codeOf } from './helpers.ts'

const find = (target: string, name = 'access_token'): ReturnType<typeof findQuery> =>
  findQuery(handshakeOf({ target }), name)

const FOUND: ReadonlyArray<readonly [target: string, credential: string, left: string]> = [
  ['/a?access_token=t', 't', '/a'],
  ['/a?x=1&access_token=t&y=2', 't', '/a?x=1&y=2'],
  ['/a?access_token=t&y=2', 't', '/a?y=2'],
  ['/a?x=1&access_token=t', 't', '/a?x=1'],
  ['/a?%61ccess%5Ftoken=t&y=2', 't', '/a?y=2'],
  ['/a?access_token=a%2Bb+c%2fd%3d', 'a+b+c/d=', '/a'],
  ['/a?access_token=abc==', 'abc==', '/a'],
  ['/a?&&access_token=t&&x=%zz+%20', 't', '/a?&&&x=%zz+%20'],
  ['/a?access_token=t&', 't', '/a?'],
  ['/access_token=t?access_token=u', 'u', '/access_token=t'],
  ['/a?b=?access_token=no&access_token=t', 't', '/a?b=?access_token=no'],
]

for (const [target, credential, left] of FOUND) {
  test(`found in ${target}`, () => {
    const found = find(target)
    assert.equal(found.type, 'found')
    assert.equal(found.credential, credential)
    assert.equal(found.handshake.target, left)
  })
}

for (const target of [
  '/a',
  '/a?',
  '/a?x=1',
  '/a?Access_Token=t',
  '/a?access_token%00=t',
  '/a?xaccess_token=t',
  '/a?+access_token=t',
])
  test(`absent in ${target}`, () => {
    assert.equal(find(target).type, 'absent')
  })

const BAD = [
  '/a?access_token=t&access_token=t',
  '/a?access_token=t&access_token=u',
  '/a?access_token=t&%61ccess_token=u',
  '/a?access_token=t&access_token',
  '/a?access_token=',
  '/a?access_token',
  '/a?access_token=a%20b',
  '/a?access_token=a,b',
  '/a?access_token=a=b',
  '/a?access_token=%0d%0aX-Remote-User:%20root',
  '/a?access_token=%zz',
  '/a?access_token=%C3%A9',
  '/a?access_token=%FF',
  `/a?access_token=${'a'.repeat(8193)}`,
]

for (const target of BAD) {
  test(`refused: ${target.slice(0, 60)}`, () => {
    assert.equal(codeOf(find(target)), 'bad_token')
    assert.equal(
      codeOf(find(target.replaceAll('access_token', 'ticket').replaceAll('%61ccess_token', 't%69cket'), 'ticket')),
      'invalid_ticket',
    )
  })
}

test('every other parameter stays as it was, byte for byte', () => {
  const parameter = fc.stringMatching(/^[a-z0-9%+=.~-]{0,12}$/).filter((text) => !/^(?:t|%74)/i.test(text))
  fc.assert(
    fc.property(fc.array(parameter, { maxLength: 6 }), fc.nat(), (others, at) => {
      const position = at % (others.length + 1)
      const spelling = ['ticket', '%74icket', 'tic%6Bet'][at % 3] ?? 'ticket'
      const found = find(`/live?${others.toSpliced(position, 0, `${spelling}=AbC-_`).join('&')}`, 'ticket')
      assert.equal(found.type, 'found')
      assert.equal(found.credential, 'AbC-_')
      assert.equal(found.handshake.target, others.length === 0 ? '/live' : `/live?${others.join('&')}`)
    }),
  )
})
