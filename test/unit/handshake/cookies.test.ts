import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkCookies } from '../../../src/handshake/cookies.ts'

const codeOf = (lines: readonly string[], single: readonly string[] = []): string | undefined =>
  checkCookies({ headers: lines.map((line) => ['cookie', line]) }, single)?.code

const REFUSED: ReadonlyArray<readonly [name: string, lines: readonly string[], single?: readonly string[]]> = [
  ['a __Host- cookie twice', ['__Host-sid=a; __Host-sid=b']],
  ['a __Secure- cookie twice', ['__Secure-sid=a; other=1; __Secure-sid=a']],
  ['the prefix in another case', ['__HOST-sid=a; __HOST-sid=b']],
  ['one that is listed', ['connect.sid=a; connect.sid=b'], ['connect.sid']],
  ['in two fields', ['connect.sid=a', 'connect.sid=b'], ['connect.sid']],
  ['with other white space', ['connect.sid=a;\tconnect.sid =b'], ['connect.sid']],
  ['with a space that is none in ASCII', ['connect.sid=a;\u00a0connect.sid=b'], ['connect.sid']],
  ['once without a value', ['connect.sid=a; connect.sid'], ['connect.sid']],
]

for (const [name, lines, single] of REFUSED) {
  test(`refused: ${name}`, () => {
    assert.equal(codeOf(lines, single), 'duplicate_cookie')
  })
}

const PASSED: ReadonlyArray<readonly [name: string, lines: readonly string[], single?: readonly string[]]> = [
  ['each once', ['__Host-sid=a; connect.sid=b; theme=dark'], ['connect.sid']],
  ['one that decides nothing, twice', ['theme=dark; theme=light'], ['connect.sid']],
  ['names in another case', ['connect.sid=a; Connect.Sid=b'], ['connect.sid']],
  ['the name in a value', ['a=connect.sid=1; connect.sid=b'], ['connect.sid']],
  ['no cookie at all', []],
]

for (const [name, lines, single] of PASSED) {
  test(`passes: ${name}`, () => {
    assert.equal(codeOf(lines, single), undefined)
  })
}
