import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { visible } from '../../../src/cli/output.ts'

const SHOWN: ReadonlyArray<readonly [text: string, shown: string]> = [
  ['grüße 👩‍👩‍👧 日本', 'grüße 👩‍👩‍👧 日本'],
  ['\u001b[31mred\u001b[0m', '\\x1b[31mred\\x1b[0m'],
  ['\u009b2J', '\\x9b2J'],
  ['a\r\nb\tc\u0007', 'a\\r\\nb\\tc\\x07'],
  ['\u007f\u0000', '\\x7f\\x00'],
  ['\u202egnp.exe', '\\u{202e}gnp.exe'],
  ['a\u2028b', 'a\\u{2028}b'],
  ['\ud800', '\\u{d800}'],
  ['{"path":"C:\\\\x"}', '{"path":"C:\\\\x"}'],
]

for (const [text, shown] of SHOWN) {
  test(`${JSON.stringify(text)} is shown as ${shown}`, () => assert.equal(visible(text), shown))
}

test('whatever the text, what is shown is one line without control characters', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      assert.doesNotMatch(visible(text), /[\p{Cc}\p{Zl}\p{Zp}]/u)
    }),
  )
})
