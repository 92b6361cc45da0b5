import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isAmbientOnly, presentedCredentials, type Presented } from '../../../src/handshake/presented.ts'
import { handshakeOf, withHeaders } from './helpers.ts'

const NAMES = ['authorization', 'cookie', 'x-api-key']

function presented(fields: ReadonlyArray<readonly [string, string]>, certified = false): Presented {
  return presentedCredentials(handshakeOf({ headers: withHeaders(...fields), peer: { certified } }), NAMES)
}

describe('presented credentials (O2)', () => {
  const none: Presented = { cookie: false, certificate: false, explicit: [] }
  const cases: ReadonlyArray<readonly [string, Presented, Presented, boolean]> = [
    ['nothing', presented([]), none, false],
    ['a cookie', presented([['cookie', 'a=1']]), { ...none, cookie: true }, true],
    ['an empty cookie', presented([['cookie', '']]), none, false],
    ['a client certificate', presented([], true), { ...none, certificate: true }, true],
    [
      'a cookie and a certificate',
      presented([['cookie', 'a=1']], true),
      { ...none, cookie: true, certificate: true },
      true,
    ],
    ['an API key', presented([['x-api-key', 'k']]), { ...none, explicit: ['x-api-key'] }, false],
    [
      'an empty API key and a cookie',
      presented([
        ['x-api-key', ''],
        ['cookie', 'a=1'],
      ]),
      { ...none, cookie: true },
      true,
    ],
    [
      'a cookie and Authorization',
      presented([
        ['cookie', 'a=1'],
        ['authorization', 'Bearer x'],
      ]),
      { ...none, cookie: true, explicit: ['authorization'] },
      false,
    ],
    [
      'two explicit ones',
      presented([
        ['x-api-key', 'k'],
        ['authorization', 'x'],
      ]),
      { ...none, explicit: ['x-api-key', 'authorization'] },
      false,
    ],
    [
      'names that only look like it',
      presented([
        ['x_api_key', 'k'],
        ['x.api.key', 'k'],
        ['__proto__', 'k'],
      ]),
      none,
      false,
    ],
    ['a header that no credential travels in', presented([['x-other', 'k']]), none, false],
  ]
  for (const [name, found, wanted, ambient] of cases) {
    it(`finds ${name}`, () => {
      assert.deepEqual(found, wanted)
      assert.equal(isAmbientOnly(found), ambient)
    })
  }
})
