import assert from 'node:assert/strict'
import { test } from 'node:test'
import { withCredential } from '../../../src/credentials/inject.ts'
import { GOOD, handshakeOf } from '../handshake/helpers.ts'

const NAMES = ['authorization', 'cookie', 'x-api-key']

test('the injected credential is the only one', () => {
  const sent = handshakeOf({
    headers: [
      ['cookie', 'sid=mallory'],
      ...GOOD,
      ['authorization', 'Bearer old'],
      ['x-api-key', 'old'],
      ['x-custom', 'old'],
      ['x-request-id', '7'],
      ['Cookie', 'more=1'],
    ],
  })
  const made = withCredential(sent, [['X-Custom', 'new']], NAMES)
  assert.deepEqual(made.headers, [...GOOD, ['x-request-id', '7'], ['x-custom', 'new']])
  assert.equal(made.target, sent.target)
  assert.equal(made.peer, sent.peer)
})

test('a Cookie is left out even where it is no credential header', () => {
  const made = withCredential(handshakeOf({ headers: [['cookie', 'sid=1']] }), [['authorization', 'Bearer t']], [])
  assert.deepEqual(made.headers, [['authorization', 'Bearer t']])
})

test('an injected Cookie takes the place of the sent one', () => {
  const made = withCredential(handshakeOf({ headers: [['cookie', 'sid=mallory']] }), [['cookie', 'sid=alice']], NAMES)
  assert.deepEqual(made.headers, [['cookie', 'sid=alice']])
})

test('the handshake that was sent stays as it was', () => {
  const sent = handshakeOf({ headers: [['cookie', 'sid=1']] })
  withCredential(sent, [['authorization', 'Bearer t']], NAMES)
  assert.deepEqual(sent.headers, [['cookie', 'sid=1']])
})
