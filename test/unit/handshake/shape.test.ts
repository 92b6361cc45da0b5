import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { refusalMessage } from '../../../src/core/refusal-message.ts'
import { checkShape } from '../../../src/handshake/shape.ts'
import { GOOD, handshakeOf, withHeaders } from './helpers.ts'

const OPTIONS = { singleHeaders: ['authorization', 'x-api-key'], maxHeaders: 64, maxCredentialBytes: 8192 }
type Fields = ReadonlyArray<readonly [string, string]>

function codeOf(headers: Fields, rest: { method?: string; httpVersion?: string } = {}): string | undefined {
  return checkShape(handshakeOf({ headers, ...rest }), OPTIONS)?.code
}
const without = (name: string): Fields => GOOD.filter(([field]) => field !== name)
const filler = (count: number): Fields => Array.from({ length: count }, (_, n) => [`x-${n}`, 'x'] as const)

describe('checkShape (H1, H2)', () => {
  it('lets a good handshake pass', () => assert.equal(codeOf(GOOD), undefined))

  const passes: ReadonlyArray<readonly [string, Fields]> = [
    ['Connection: keep-alive, Upgrade', withHeaders(['connection', 'keep-alive, Upgrade'])],
    ['two Connection lines', withHeaders(['connection', 'keep-alive'], ['connection', 'upgrade'])],
    ['Upgrade: WebSocket', withHeaders(['upgrade', 'WebSocket'])],
    ['Content-Length: 0', withHeaders(['content-length', '0'])],
    ['two subprotocol lines', withHeaders(['sec-websocket-protocol', 'a, b'], ['sec-websocket-protocol', 'c'])],
    ['32 subprotocols', withHeaders(['sec-websocket-protocol', Array.from({ length: 32 }, (_, n) => `p${n}`).join()])],
    ['a subprotocol of all token characters', withHeaders(['sec-websocket-protocol', "aZ09!#$%&'*+-.^_`|~"])],
    ['tabs and spaces around tokens', withHeaders(['sec-websocket-protocol', 'a\t ,\t b'])],
    ['Connection: Upgrade, close', withHeaders(['connection', 'Upgrade, close'])],
    ['a credential of 8192 bytes', withHeaders(['authorization', 'a'.repeat(8192)])],
    ['10,000 extension parameters', withHeaders(['sec-websocket-extensions', `a${';b'.repeat(10_000)}`])],
    ['Sec-WebSocket-Origin beside Origin', withHeaders(['origin', 'http://a'], ['sec-websocket-origin', 'http://b'])],
    [
      'credential names with other separators',
      withHeaders(['x-api-key', 'a'], ['x_api_key', 'b'], ['x_api_key', 'c'], ['x.api.key', 'd']),
    ],
    ['Host with port', withHeaders(['host', '[::1]:8080'])],
    ['64 headers', [...GOOD, ...filler(59)]],
    ['a large Cookie', withHeaders(['cookie', 'a'.repeat(12_000)])],
    [
      'names of object properties',
      withHeaders(['__proto__', 'x'], ['constructor', 'x'], ['tostring', 'x'], ['hasownproperty', 'x']),
    ],
  ]
  for (const [name, headers] of passes) it(`lets pass: ${name}`, () => assert.equal(codeOf(headers), undefined))

  const refused: ReadonlyArray<readonly [string, Fields, string]> = [
    ['no Host', without('host'), 'bad_host'],
    ['two Hosts', [...GOOD, ['host', 'localhost']], 'bad_host'],
    ['empty Host', withHeaders(['host', '']), 'bad_host'],
    ['a Host with a path', withHeaders(['host', 'a/b']), 'bad_host'],
    ['a Host with userinfo', withHeaders(['host', 'a@b']), 'bad_host'],
    ['two different Hosts', [...GOOD, ['host', 'evil.example']], 'bad_host'],
    ['a list of Hosts', withHeaders(['host', 'a, b']), 'bad_host'],
    ['a Host with a port of letters', withHeaders(['host', 'a:b']), 'bad_host'],
    ['a Host with two ports', withHeaders(['host', 'a:1:2']), 'bad_host'],
    ['a Host with a bare IPv6 address', withHeaders(['host', '::1']), 'bad_host'],
    ['a Host in brackets that is no IPv6 address', withHeaders(['host', '[::::]:80']), 'bad_host'],
    ['a Host with letters beyond ASCII', withHeaders(['host', 'b\u00fccher']), 'bad_host'],
    ['Upgrade: h2c', withHeaders(['upgrade', 'h2c']), 'upgrade_required'],
    ['no Upgrade', without('upgrade'), 'upgrade_required'],
    ['Upgrade: websocket, h2c', withHeaders(['upgrade', 'websocket, h2c']), 'bad_upgrade'],
    ['two Upgrade lines', withHeaders(['upgrade', 'websocket'], ['upgrade', 'websocket']), 'bad_upgrade'],
    ['an empty Upgrade', withHeaders(['upgrade', '']), 'upgrade_required'],
    ['Upgrade: websocket/13', withHeaders(['upgrade', 'websocket/13']), 'upgrade_required'],
    ['h2c and websocket on two lines', withHeaders(['upgrade', 'h2c'], ['upgrade', 'websocket']), 'bad_upgrade'],
    ['Upgrade with an empty element', withHeaders(['upgrade', 'websocket,']), 'bad_upgrade'],
    ['Upgrade with U+00A0', withHeaders(['upgrade', 'websocket\u00a0']), 'upgrade_required'],
    ['Connection: keep-alive', withHeaders(['connection', 'keep-alive']), 'bad_connection'],
    ['an empty Connection', withHeaders(['connection', '']), 'bad_connection'],
    ['Connection with U+00A0', withHeaders(['connection', 'keep-alive,\u00a0Upgrade']), 'bad_connection'],
    ['a second Connection line that names a header', [...GOOD, ['connection', 'X-Api-Key']], 'bad_connection'],
    ['no Connection', without('connection'), 'bad_connection'],
    ['Connection names a header', withHeaders(['connection', 'Upgrade, Authorization']), 'bad_connection'],
    [
      'Connection names a forwarding header',
      withHeaders(['connection', 'Upgrade, X-Forwarded-User']),
      'bad_connection',
    ],
    ['no version', without('sec-websocket-version'), 'bad_version'],
    ['version 8', withHeaders(['sec-websocket-version', '8']), 'bad_version'],
    ['version 777', withHeaders(['sec-websocket-version', '777']), 'bad_version'],
    ['version 013', withHeaders(['sec-websocket-version', '013']), 'bad_version'],
    ['version "13, 8"', withHeaders(['sec-websocket-version', '13, 8']), 'bad_version'],
    [
      'version 8 with an Origin of its own',
      withHeaders(
        ['sec-websocket-version', '8'],
        ['origin', 'http://evil'],
        ['sec-websocket-origin', 'http://localhost'],
      ),
      'bad_version',
    ],
    [
      'Hixie-76',
      [
        ...GOOD.filter(([name]) => !name.startsWith('sec-websocket')),
        ['sec-websocket-key1', '4 @1  46546xW%0l 1 5'],
        ['sec-websocket-key2', '12998 5 Y3 1  .P00'],
      ],
      'bad_version',
    ],
    [
      'versions 13 and 8',
      withHeaders(['sec-websocket-version', '13'], ['sec-websocket-version', '8']),
      'duplicate_header',
    ],
    ['two versions', withHeaders(['sec-websocket-version', '13'], ['sec-websocket-version', '13']), 'duplicate_header'],
    ['no key', without('sec-websocket-key'), 'bad_key'],
    ['a key of 15 bytes', withHeaders(['sec-websocket-key', 'AAAAAAAAAAAAAAAAAAAA']), 'bad_key'],
    ['a key of 24 bytes', withHeaders(['sec-websocket-key', 'A'.repeat(32)]), 'bad_key'],
    ['a key with trailing bits', withHeaders(['sec-websocket-key', 'AAAAAAAAAAAAAAAAAAAAAB==']), 'bad_key'],
    ['an empty key', withHeaders(['sec-websocket-key', '']), 'bad_key'],
    ['a key in base64url', withHeaders(['sec-websocket-key', 'dGhlIHNhbXBsZS-ub25jZQ==']), 'bad_key'],
    ['a key without padding', withHeaders(['sec-websocket-key', 'dGhlIHNhbXBsZSBub25jZQ']), 'bad_key'],
    ['a key with a space', withHeaders(['sec-websocket-key', 'dGhlIHNhbXBs ZSBub25jZQ==']), 'bad_key'],
    ['two keys', [...GOOD, ['sec-websocket-key', 'dGhlIHNhbXBsZSBub25jZQ==']], 'duplicate_header'],
    ['Content-Length: 5', withHeaders(['content-length', '5']), 'body_not_allowed'],
    ['Content-Length: 0 twice', withHeaders(['content-length', '0'], ['content-length', '0']), 'body_not_allowed'],
    ['Content-Length: 00', withHeaders(['content-length', '00']), 'body_not_allowed'],
    ['Content-Length: "0, 0"', withHeaders(['content-length', '0, 0']), 'body_not_allowed'],
    ['Transfer-Encoding: identity', withHeaders(['transfer-encoding', 'identity']), 'body_not_allowed'],
    ['chunked', withHeaders(['transfer-encoding', 'chunked']), 'body_not_allowed'],
    ['Expect', withHeaders(['expect', '100-continue']), 'expectation_failed'],
    ['two Origins', withHeaders(['origin', 'http://a'], ['origin', 'http://a']), 'duplicate_header'],
    ['two different Origins', withHeaders(['origin', 'http://a'], ['origin', 'http://b']), 'duplicate_header'],
    ['an empty API key beside a good one', withHeaders(['x-api-key', ''], ['x-api-key', 'a']), 'duplicate_header'],
    ['two Authorizations', withHeaders(['authorization', 'a'], ['authorization', 'b']), 'duplicate_header'],
    ['two API keys', withHeaders(['x-api-key', 'a'], ['x-api-key', 'a']), 'duplicate_header'],
    ['a long credential', withHeaders(['authorization', 'a'.repeat(8193)]), 'headers_too_large'],
    ['65 headers', [...GOOD, ...filler(60)], 'headers_too_large'],
    ['a flood behind the real ones', [...GOOD, ...filler(2100)], 'headers_too_large'],
    ['a flood that has cut the real ones off', filler(1023), 'headers_too_large'],
    ['a flood before the real ones', [...filler(1018), ...GOOD], 'headers_too_large'],
    [
      '33 subprotocols',
      withHeaders(['sec-websocket-protocol', Array.from({ length: 33 }, (_, n) => `p${n}`).join()]),
      'bad_protocol',
    ],
    ['a subprotocol twice', withHeaders(['sec-websocket-protocol', 'a, a']), 'bad_protocol'],
    ['a subprotocol with =', withHeaders(['sec-websocket-protocol', 'a=']), 'bad_protocol'],
    [
      'a subprotocol on two lines',
      withHeaders(['sec-websocket-protocol', 'a'], ['sec-websocket-protocol', 'a']),
      'bad_protocol',
    ],
    ['a subprotocol with U+00A0', withHeaders(['sec-websocket-protocol', '\u00a0a']), 'bad_protocol'],
    ['a quoted subprotocol', withHeaders(['sec-websocket-protocol', '"a"']), 'bad_protocol'],
    ['an empty element', withHeaders(['sec-websocket-protocol', 'a,,b']), 'bad_protocol'],
    ['64 KiB of commas', withHeaders(['sec-websocket-protocol', ','.repeat(65_536)]), 'bad_protocol'],
    ['an empty subprotocol', withHeaders(['sec-websocket-protocol', '']), 'bad_protocol'],
    [
      '64 KiB of spaces as subprotocols',
      withHeaders(['sec-websocket-protocol', `a,${' '.repeat(65_536)}b c`]),
      'bad_protocol',
    ],
  ]
  for (const [name, headers, code] of refused) it(`refuses: ${name}`, () => assert.equal(codeOf(headers), code))

  it('sends the statuses and headers that the codes stand for', () => {
    const answer = (headers: Fields, rest = {}): unknown => {
      const refusal = checkShape(handshakeOf({ headers, ...rest }), OPTIONS)
      if (refusal === undefined) return undefined
      const named = refusalMessage(refusal).headers.filter(([name]) => /^(?:Allow|Upgrade|Sec-)/.test(name))
      return [refusal.status, Object.fromEntries(named)]
    }
    const websocket = { Upgrade: 'websocket', 'Sec-WebSocket-Version': '13' }
    assert.deepEqual(answer(GOOD, { method: 'POST' }), [405, { Allow: 'GET' }])
    assert.deepEqual(answer(withHeaders(['sec-websocket-version', '8'])), [426, websocket])
    assert.deepEqual(answer(withHeaders(['upgrade', 'h2c'])), [426, websocket])
    assert.deepEqual(answer(withHeaders(['expect', '100-continue'])), [417, {}])
    assert.deepEqual(answer(filler(65)), [431, {}])
    assert.deepEqual(answer(without('host')), [400, {}])
  })

  it('first says what is most wrong', () => {
    assert.equal(codeOf([], { method: 'POST' }), 'method_not_allowed')
    assert.equal(codeOf([], { httpVersion: '1.0' }), 'http_version')
    assert.equal(
      codeOf([
        ['host', 'a'],
        ['upgrade', 'h2c'],
        ['connection', 'Upgrade, HTTP2-Settings'],
      ]),
      'upgrade_required',
    )
    assert.equal(codeOf([...filler(65)], { method: 'POST' }), 'headers_too_large')
  })

  it('asks no less of a header because it carries a credential', () => {
    const singleHeaders = ['sec-websocket-protocol', 'content-length', 'origin']
    const code = (...fields: Fields): string | undefined =>
      checkShape(handshakeOf({ headers: withHeaders(...fields) }), { ...OPTIONS, singleHeaders })?.code
    assert.equal(code(['sec-websocket-protocol', 'a, b']), undefined)
    assert.equal(code(['sec-websocket-protocol', 'a, a']), 'bad_protocol')
    assert.equal(code(['content-length', '5']), 'body_not_allowed')
    assert.equal(code(['origin', 'http://a'], ['origin', 'http://a']), 'duplicate_header')
  })

  it('refuses other methods and versions of HTTP', () => {
    for (const method of ['POST', 'PUT', 'HEAD', 'OPTIONS', 'CONNECT', 'get'])
      assert.equal(codeOf(GOOD, { method }), 'method_not_allowed')
    for (const httpVersion of ['1.0', '0.9', '2.0']) assert.equal(codeOf(GOOD, { httpVersion }), 'http_version')
  })
})
