import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
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
    ['Upgrade: h2c', withHeaders(['upgrade', 'h2c']), 'upgrade_required'],
    ['no Upgrade', without('upgrade'), 'upgrade_required'],
    ['Upgrade: websocket, h2c', withHeaders(['upgrade', 'websocket, h2c']), 'bad_upgrade'],
    ['two Upgrade lines', withHeaders(['upgrade', 'websocket'], ['upgrade', 'websocket']), 'bad_upgrade'],
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
    ['two versions', withHeaders(['sec-websocket-version', '13'], ['sec-websocket-version', '13']), 'duplicate_header'],
    ['no key', without('sec-websocket-key'), 'bad_key'],
    ['a key of 15 bytes', withHeaders(['sec-websocket-key', 'AAAAAAAAAAAAAAAAAAAA']), 'bad_key'],
    ['a key of 24 bytes', withHeaders(['sec-websocket-key', 'A'.repeat(32)]), 'bad_key'],
    ['a key with trailing bits', withHeaders(['sec-websocket-key', 'AAAAAAAAAAAAAAAAAAAAAB==']), 'bad_key'],
    ['two keys', [...GOOD, ['sec-websocket-key', 'dGhlIHNhbXBsZSBub25jZQ==']], 'duplicate_header'],
    ['Content-Length: 5', withHeaders(['content-length', '5']), 'body_not_allowed'],
    ['chunked', withHeaders(['transfer-encoding', 'chunked']), 'body_not_allowed'],
    ['Expect', withHeaders(['expect', '100-continue']), 'expectation_failed'],
    ['two Origins', withHeaders(['origin', 'http://a'], ['origin', 'http://a']), 'duplicate_header'],
    ['two Authorizations', withHeaders(['authorization', 'a'], ['authorization', 'b']), 'duplicate_header'],
    ['two API keys', withHeaders(['x-api-key', 'a'], ['x-api-key', 'a']), 'duplicate_header'],
    ['a long credential', withHeaders(['authorization', 'a'.repeat(8193)]), 'headers_too_large'],
    ['65 headers', [...GOOD, ...filler(60)], 'headers_too_large'],
    ['a flood before the real ones', [...filler(1018), ...GOOD], 'headers_too_large'],
    [
      '33 subprotocols',
      withHeaders(['sec-websocket-protocol', Array.from({ length: 33 }, (_, n) => `p${n}`).join()]),
      'bad_protocol',
    ],
    ['a subprotocol twice', withHeaders(['sec-websocket-protocol', 'a, a']), 'bad_protocol'],
    ['a subprotocol with =', withHeaders(['sec-websocket-protocol', 'a=']), 'bad_protocol'],
    ['an empty subprotocol', withHeaders(['sec-websocket-protocol', '']), 'bad_protocol'],
    [
      '64 KiB of spaces as subprotocols',
      withHeaders(['sec-websocket-protocol', `a,${' '.repeat(65_536)}b c`]),
      'bad_protocol',
    ],
  ]
  for (const [name, headers, code] of refused) it(`refuses: ${name}`, () => assert.equal(codeOf(headers), code))

  it('refuses other methods and versions of HTTP', () => {
    for (const method of ['POST', 'PUT', 'HEAD', 'OPTIONS', 'CONNECT', 'get'])
      assert.equal(codeOf(GOOD, { method }), 'method_not_allowed')
    for (const httpVersion of ['1.0', '0.9', '2.0']) assert.equal(codeOf(GOOD, { httpVersion }), 'http_version')
  })
})
