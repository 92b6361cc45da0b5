import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createHostCheck } from '../../../src/handshake/host.ts'
import { createOriginCheck, parseOrigin, type OriginOptions } from '../../../src/handshake/origin.ts'
import { presentedCredentials } from '../../../src/handshake/presented.ts'
import { createProxyTrust } from '../../../src/handshake/trust.ts'
import { handshakeOf, withHeaders } from './helpers.ts'

const NAMES = ['authorization', 'cookie', 'x-api-key']
type Fields = ReadonlyArray<readonly [string, string]>

function codeOf(
  origins: OriginOptions['origins'],
  fields: Fields,
  peer = {},
  proxies: readonly string[] = [],
): string | undefined {
  const handshake = handshakeOf({ headers: withHeaders(...fields), peer })
  return createOriginCheck({ origins, trust: createProxyTrust(proxies) }).check(
    handshake,
    presentedCredentials(handshake, NAMES),
  )?.code
}
const origin = (value: string): Fields => [['origin', value]]
const host = (value: string): readonly [string, string] => ['host', value]

describe('Origin against a list (O1)', () => {
  const list = [
    'https://app.example.com',
    'http://127.0.0.1:3000',
    'capacitor://localhost',
    'https://xn--bcher-kva.example',
  ]
  for (const good of [
    'https://app.example.com',
    'https://app.example.com:443',
    'HTTPS://APP.example.com',
    'http://127.0.0.1:3000',
    'capacitor://localhost',
    'https://xn--bcher-kva.example',
  ]) {
    it(`lets ${good} pass`, () => assert.equal(codeOf(list, origin(good)), undefined))
  }
  const bad = [
    'http://app.example.com',
    'https://app.example.com:8443',
    'https://app.example.com.evil.com',
    'https://evilapp.example.com',
    'https://app-example.com',
    'https://appAexample.com',
    'https://x.app.example.com',
    'https://app.example.com`evil.com',
    'https://app.example.com%60',
    'https://app.example.com{',
    'https://app.example.com_',
    'null',
    '',
    'https://app.example.com.',
    'https://app.example.com/',
    'https://user@app.example.com',
    'https://app.example.com, https://evil.com',
    'https://app.example.com https://evil.com',
    'https://\u0430pp.example.com',
    'https://bücher.example',
    'http://127.1:3000',
    'http://2130706433:3000',
    'http://0x7f.0.0.1:3000',
    'http://[::1]:3000',
    'https://app.example.com:00443',
    'https://app.example.com:99999',
    'chrome-extension://abc',
    'file://',
    'tauri://localhost',
    'app.example.com',
    '//app.example.com',
  ]
  for (const text of bad)
    it(`refuses ${JSON.stringify(text)}`, () => assert.equal(codeOf(list, origin(text)), 'bad_origin'))

  it('an empty list lets no browser in', () =>
    assert.equal(codeOf([], origin('https://app.example.com')), 'bad_origin'))
})

describe('same-origin (O1, O3)', () => {
  const at = (name: string, text: string, peer = {}): string | undefined =>
    codeOf('same-origin', [host(name), ['origin', text]], peer)
  it('compares scheme, host and port with Host', () => {
    assert.equal(at('localhost:8080', 'http://localhost:8080'), undefined)
    assert.equal(at('localhost', 'http://localhost'), undefined)
    assert.equal(at('localhost:8080', 'http://localhost:8081'), 'bad_origin')
    assert.equal(at('localhost:8080', 'http://localhost'), 'bad_origin')
    assert.equal(at('a.example', 'http://b.example'), 'bad_origin')
  })
  it('lets an https Origin pass on a plain socket, and no http Origin on TLS', () => {
    assert.equal(at('app.example', 'https://app.example'), undefined)
    assert.equal(at('app.example', 'https://app.example', { encrypted: true }), undefined)
    assert.equal(at('app.example', 'http://app.example', { encrypted: true }), 'bad_origin')
  })
  it('believes forwarded values from trusted proxies only', () => {
    const forwarded: Fields = [
      host('inner'),
      ['x-forwarded-host', 'app.example'],
      ['x-forwarded-proto', 'https'],
      ['origin', 'https://app.example'],
    ]
    assert.equal(codeOf('same-origin', forwarded), 'bad_origin')
    assert.equal(codeOf('same-origin', forwarded, {}, ['127.0.0.1']), undefined)
    assert.equal(codeOf('same-origin', forwarded, { injected: true }, ['127.0.0.1']), 'bad_origin')
    assert.equal(
      codeOf('same-origin', [...forwarded.slice(0, 3), ['origin', 'http://app.example']], {}, ['127.0.0.1']),
      'bad_origin',
    )
  })
  it('refuses what the browser calls cross-site', () => {
    assert.equal(
      codeOf('same-origin', [
        ['sec-fetch-site', 'cross-site'],
        ['origin', 'http://localhost'],
      ]),
      'cross_site',
    )
    assert.equal(codeOf('same-origin', [['sec-fetch-site', 'cross-site']]), 'cross_site')
    assert.equal(
      codeOf(
        ['https://a.example'],
        [
          ['sec-fetch-site', 'cross-site'],
          ['origin', 'https://a.example'],
        ],
      ),
      undefined,
    )
    assert.equal(
      codeOf(
        ['https://a.example'],
        [
          ['sec-fetch-mode', 'navigate'],
          ['origin', 'https://a.example'],
        ],
      ),
      'cross_site',
    )
  })
})

describe('no Origin (O2)', () => {
  const cases: ReadonlyArray<readonly [string, Fields, object, string | undefined]> = [
    ['nothing', [], {}, undefined],
    ['a cookie', [['cookie', 'a=1']], {}, 'missing_origin'],
    ['a client certificate', [], { certified: true }, 'missing_origin'],
    [
      'a cookie and an API key',
      [
        ['cookie', 'a=1'],
        ['x-api-key', 'k'],
      ],
      {},
      undefined,
    ],
    [
      'a cookie and an empty API key',
      [
        ['cookie', 'a=1'],
        ['x-api-key', ''],
      ],
      {},
      'missing_origin',
    ],
    ['Authorization', [['authorization', 'Bearer x']], {}, undefined],
  ]
  for (const [name, fields, peer, code] of cases)
    it(`with ${name}`, () => assert.equal(codeOf('same-origin', fields, peer), code))
  it('can be allowed, or refused always', () => {
    assert.equal(codeOf({ allow: 'same-origin', missing: 'allow' }, [['cookie', 'a=1']]), undefined)
    assert.equal(codeOf({ allow: 'same-origin', missing: 'refuse' }, [['x-api-key', 'k']]), 'missing_origin')
  })
})

describe('the option origins', () => {
  it('throws for what would protect less than it seems to', () => {
    const wrong: unknown[] = [
      '*',
      'https://a.example',
      ['*'],
      ['https://*.example'],
      ['https://a.example/'],
      ['null'],
      [''],
      [/a/],
      [1],
      { allow: '*' },
      { allow: ['x'] },
      { allow: [], mising: 'allow' },
      { allow: [], missing: 'yes' },
      1,
      null,
    ]
    for (const origins of wrong)
      assert.throws(() => codeOf(origins as string[], []), { code: 'GATE101_CONFIG' }, String(origins))
  })
  it('parseOrigin reads one spelling of an address only', () => {
    for (const text of ['http://[::1]', 'http://[2001:db8::1]:8080', 'http://127.0.0.1'])
      assert.ok(parseOrigin(text), text)
    const others = [
      '[0:0:0:0:0:0:0:1]',
      '[::0001]',
      '[::ffff:127.0.0.1]',
      '[::1%25lo]',
      '[1.2.3.4]',
      '[]',
      '[:]',
      '1.2.3',
    ]
    for (const name of [...others, '01.2.3.4', '1.2.3.4.5', '0x7f000001', '256.1.1.1', '.a', 'a..b'])
      assert.equal(parseOrigin(`http://${name}`), undefined, name)
  })
  it('parseOrigin folds ASCII alone, and knows no scheme by accident', () => {
    assert.equal(parseOrigin('https://\u212aapp.example'), undefined)
    assert.equal(parseOrigin('http\u017f://app.example'), undefined)
    assert.deepEqual(parseOrigin('constructor://x'), { scheme: 'constructor', host: 'x', port: '' })
  })
  it('parseOrigin takes no port that is none', () => {
    for (const port of ['', '-1', '65536', '080', '1e3', '0x50', '80 ', '123456'])
      assert.equal(parseOrigin(`http://a:${port}`), undefined, port)
    assert.equal(parseOrigin('http://a:65535')?.port, '65535')
  })
  it('parseOrigin ends at once on what is long', () =>
    assert.equal(parseOrigin(`https://${'a.'.repeat(500_000)}!`), undefined))
  it('parseOrigin knows default ports', () => {
    assert.deepEqual(parseOrigin('https://a.example'), { scheme: 'https', host: 'a.example', port: '443' })
    assert.equal(parseOrigin('https://a..example'), undefined)
  })
})

describe('Host (O4)', () => {
  const check = (
    name: string,
    peer = {},
    options: { hosts?: string[]; originHosts?: string[] } = {},
  ): string | undefined =>
    createHostCheck({ hosts: [], originHosts: [], trust: createProxyTrust(undefined), ...options })(
      handshakeOf({ headers: withHeaders(host(name)), peer }),
    )?.code
  it('is an address or localhost on loopback and private addresses', () => {
    for (const name of ['localhost', 'LOCALHOST:8080', '127.0.0.1', '127.0.0.1:8080', '[::1]:8080', '192.168.1.5'])
      assert.equal(check(name), undefined, name)
    for (const localAddress of [
      '127.0.0.1',
      '::1',
      '::ffff:127.0.0.1',
      '10.0.0.1',
      '172.16.0.1',
      '192.168.0.1',
      'fd00::1',
      'fe80::1',
      '',
    ]) {
      assert.equal(check('evil.example', { localAddress }), 'host_not_allowed', localAddress)
    }
  })
  it('is anything on a public address', () =>
    assert.equal(check('app.example', { localAddress: '203.0.113.1' }), undefined))
  it('is a name that is listed, or the host of an allowed origin', () => {
    assert.equal(check('App.Example:8080', {}, { hosts: ['app.example'] }), undefined)
    assert.equal(check('app.example:8080', {}, { hosts: ['app.example:8080'] }), undefined)
    assert.equal(check('app.example:81', {}, { hosts: ['app.example:8080'] }), 'host_not_allowed')
    assert.equal(check('app.example', {}, { originHosts: ['app.example'] }), undefined)
    assert.equal(check('x.app.example', {}, { hosts: ['app.example'] }), 'host_not_allowed')
  })
  it('throws for an entry that is no host', () =>
    assert.throws(() => check('a', {}, { hosts: ['http://a'] }), { code: 'GATE101_CONFIG' }))
})
