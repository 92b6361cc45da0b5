import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { valuesOf, type Handshake } from '../../../src/core/handshake.ts'
import {
  findSubprotocolTicket,
  findSubprotocolToken,
  hasMalformedToken,
  readSubprotocolForms,
  type SubprotocolForm,
} from '../../../src/credentials/subprotocol.ts'
import { GOOD, handshakeOf } from '../handshake/helpers.ts'
import { codeOf } from './helpers.ts'

const ALL: readonly SubprotocolForm[] = ['gate101', 'kubernetes', 'phoenix', 'openai', 'bearer']
const offering = (...lines: readonly string[]): Handshake =>
  handshakeOf({ headers: [...GOOD, ...lines.map((line) => ['sec-websocket-protocol', line] as const)] })
const base64url = (text: string | Uint8Array): string => Buffer.from(text).toString('base64url')
const G = 'base64url.bearer.authorization.gate101.'

const ITEMS: ReadonlyArray<readonly [SubprotocolForm, string]> = [
  ['gate101', `${G}${base64url('tok.en+/=')}`],
  ['kubernetes', `base64url.bearer.authorization.k8s.io.${base64url('tok.en+/=')}`],
  ['phoenix', `base64url.bearer.phx.${base64url('tok.en+/=')}`],
  ['openai', 'openai-insecure-api-key.tok.en+'],
  ['bearer', 'bearer.tok.en+'],
]

for (const [form, item] of ITEMS) {
  test(`${form}: the token is found and its item is gone`, () => {
    const found = findSubprotocolToken(offering(`chat, ${item}`, 'superchat'), [form])
    assert.equal(found.type, 'found')
    assert.match(found.credential, /^tok\.en\+(\/=)?$/)
    assert.deepEqual(valuesOf(found.handshake, 'sec-websocket-protocol'), ['chat, superchat'])
    assert.equal(found.handshake.headers.length, GOOD.length + 1)
  })

  test(`${form}: left alone where it is not switched on`, () => {
    const others = ALL.filter((other) => other !== form)
    assert.equal(findSubprotocolToken(offering(`chat, ${item}`), others).type, 'absent')
    assert.equal(findSubprotocolToken(offering(`chat, ${item}`), []).type, 'absent')
  })
}

test('a handshake without a token has none', () => {
  assert.equal(findSubprotocolToken(handshakeOf(), ALL).type, 'absent')
  assert.equal(findSubprotocolToken(offering('chat, bearer'), ALL).type, 'absent')
})

test('two tokens are a conflict, of whatever form', () => {
  assert.equal(codeOf(findSubprotocolToken(offering(`chat, ${G}YQ`, `${G}Yg`), ALL)), 'credential_conflict')
  assert.equal(codeOf(findSubprotocolToken(offering(`chat, ${G}YQ, bearer.b`), ALL)), 'credential_conflict')
})

test('a token needs a real subprotocol beside it', () => {
  assert.equal(codeOf(findSubprotocolToken(offering(`${G}YQ`), ALL)), 'subprotocol_required')
  assert.equal(codeOf(findSubprotocolToken(offering(`${G}YQ, refusal.gate101`), ALL)), 'subprotocol_required')
  assert.equal(findSubprotocolToken(offering(`${G}YQ, gate101, refusal.gate101`), ALL).type, 'found')
})

const BAD: ReadonlyArray<readonly [name: string, value: string]> = [
  ['empty', ''],
  ['padding', 'YQ=='],
  ['base64 in place of base64url', '+/+/'],
  ['one character too many', 'YWJjZ'],
  ['a last character that says more than its bytes', 'YR'],
  ['a dot', 'YQ.YQ'],
  ['bytes that are no UTF-8', base64url(Uint8Array.of(0xff, 0xfe))],
  ['a letter beyond ASCII', base64url('é')],
  ['a space', base64url('a b')],
  ['a line break', base64url('a\r\nX-Remote-User: root')],
  ['padding alone', base64url('==')],
  ['8193 characters', base64url('a'.repeat(6145)).slice(0, 8193)],
]

for (const [name, value] of BAD) {
  test(`a bad token: ${name}`, () => {
    assert.equal(codeOf(findSubprotocolToken(offering(`chat, ${G}${value}`), ['gate101'])), 'bad_token')
  })
}

test('a plain token is bounded as well', () => {
  assert.equal(findSubprotocolToken(offering(`chat, bearer.${'a'.repeat(8192)}`), ['bearer']).type, 'found')
  assert.equal(codeOf(findSubprotocolToken(offering(`chat, bearer.${'a'.repeat(8193)}`), ['bearer'])), 'bad_token')
  assert.equal(codeOf(findSubprotocolToken(offering('chat, bearer.'), ['bearer'])), 'bad_token')
})

test('every token comes back as it was, and the other items in their order', () => {
  const token = fc.stringMatching(/^[A-Za-z0-9\-._~+/]{1,60}={0,2}$/)
  const item = fc.stringMatching(/^[a-z][a-z0-9.-]{0,12}$/).filter((text) => !/^(?:bearer|ticket|refusal)\./.test(text))
  fc.assert(
    fc.property(
      token,
      fc.uniqueArray(item, { minLength: 1, maxLength: 8 }),
      fc.nat(),
      fc.boolean(),
      (text, real, at, split) => {
        const position = at % (real.length + 1)
        const offered = real.toSpliced(position, 0, `${G}${base64url(text)}`)
        const handshake = split ? offering(...offered) : offering(offered.join(', '))
        const found = findSubprotocolToken(handshake, ['gate101'])
        assert.equal(found.type, 'found')
        assert.equal(found.credential, text)
        assert.deepEqual(valuesOf(found.handshake, 'sec-websocket-protocol'), [real.join(', ')])
      },
    ),
  )
})

test('an encoding of a token that is not the canonical one is never taken', () => {
  fc.assert(
    fc.property(fc.stringMatching(/^[A-Za-z0-9_-]{1,40}$/), (text) => {
      const found = findSubprotocolToken(offering(`chat, ${G}${text}`), ['gate101'])
      if (found.type === 'found') assert.equal(base64url(found.credential), text)
      else assert.equal(codeOf(found), 'bad_token')
    }),
  )
})

test('a token that is no item at all is known for what it was meant to be', () => {
  assert.equal(hasMalformedToken(offering(`chat, ${G}YQ==`), ['gate101']), true)
  assert.equal(hasMalformedToken(offering('chat', 'bearer.a/b'), ['bearer']), true)
  assert.equal(hasMalformedToken(offering(`chat, ${G}YQ==`), ['bearer']), false)
  assert.equal(hasMalformedToken(offering(`chat, ${G}YQ`), ['gate101']), false)
  assert.equal(hasMalformedToken(offering(`chat=, ${G}YQ`), ['gate101']), false)
  assert.equal(hasMalformedToken(handshakeOf(), ALL), false)
})

test('a ticket is found beside a real subprotocol', () => {
  const found = findSubprotocolTicket(offering('chat, ticket.gate101.AbC_-9'))
  assert.equal(found.type, 'found')
  assert.equal(found.credential, 'AbC_-9')
  assert.deepEqual(valuesOf(found.handshake, 'sec-websocket-protocol'), ['chat'])
  assert.equal(findSubprotocolTicket(offering('chat, ticket.gate102.x')).type, 'absent')
})

test('what is wrong with a ticket', () => {
  const codeFor = (...lines: string[]): string | undefined => codeOf(findSubprotocolTicket(offering(...lines)))
  assert.equal(codeFor('chat, ticket.gate101.a, ticket.gate101.b'), 'credential_conflict')
  assert.equal(codeFor('ticket.gate101.a'), 'subprotocol_required')
  assert.equal(codeFor('ticket.gate101.a, refusal.gate101'), 'subprotocol_required')
  for (const value of ['', 'a=', 'a.b', 'a+b', 'a'.repeat(8193)])
    assert.equal(codeFor(`chat, ticket.gate101.${value}`), 'invalid_ticket')
})

test('the option', () => {
  assert.deepEqual(readSubprotocolForms(undefined), [])
  assert.deepEqual(readSubprotocolForms(false), [])
  assert.deepEqual(readSubprotocolForms(true), ['gate101'])
  assert.deepEqual(readSubprotocolForms(['phoenix', 'bearer', 'phoenix']), ['phoenix', 'bearer'])
  for (const wrong of ['gate101', ['jwt'], ['toString'], [1], {}, null, 1])
    assert.throws(() => readSubprotocolForms(wrong), { code: 'GATE101_CONFIG' })
})
