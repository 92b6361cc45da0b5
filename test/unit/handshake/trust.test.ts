import assert from 'node:assert/strict'
import { BlockList } from 'node:net'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  addressKey,
  clientAddress,
  createProxyTrust,
  effectiveHost,
  isLocal,
  plainAddress,
} from '../../../src/handshake/trust.ts'
import { handshakeOf, withHeaders } from './helpers.ts'

type Fields = ReadonlyArray<readonly [string, string]>
const PROXIES = createProxyTrust(['10.0.0.0/8'])
const from = (fields: Fields, peer = {}): ReturnType<typeof handshakeOf> =>
  handshakeOf({ headers: withHeaders(...fields), peer: { address: '10.0.0.1', ...peer } })
const clientOf = (fields: Fields, peer = {}): string => clientAddress(from(fields, peer), PROXIES).address

describe('createProxyTrust', () => {
  const cases: ReadonlyArray<readonly [list: string[], address: string, trusted: boolean]> = [
    [['10.0.0.1'], '10.0.0.1', true],
    [['10.0.0.1'], '10.0.0.2', false],
    [['10.0.0.1'], '::ffff:10.0.0.1', true],
    [['10.0.0.1'], '::ffff:a00:1', true],
    [['::ffff:10.0.0.1'], '10.0.0.1', true],
    [['10.0.0.0/9'], '10.127.255.255', true],
    [['10.0.0.0/9'], '10.128.0.0', false],
    [['10.0.0.0/32'], '10.0.0.1', false],
    [['2001:db8::/32'], '2001:db8:ffff::1', true],
    [['2001:db8::/32'], '2001:db9::1', false],
    [['fe80::/10'], 'fe80::1%eth0', true],
    [['::1'], '127.0.0.1', false],
    [['10.0.0.0/8'], '', false],
    [['0.0.0.0/0', '::/0'], 'evil.example', false],
    [[], '127.0.0.1', false],
  ]
  for (const [list, address, trusted] of cases) {
    it(`[${list.join()}] ${trusted ? 'trusts' : 'does not trust'} "${address}"`, () =>
      assert.equal(createProxyTrust(list).trusts(address), trusted))
  }
  it('trusts nobody by default', () => assert.equal(createProxyTrust(undefined).trusts('127.0.0.1'), false))

  const wrong: unknown[] = [
    'loopback',
    '10.0.0.1',
    null,
    ['10.0.0.0/'],
    ['10.0.0.0/08'],
    ['10.0.0.0/1e1'],
    ['10.0.0.0/ 8'],
    ['::/129'],
    ['fe80::1%eth0'],
    ['010.0.0.1'],
    [' 10.0.0.1'],
    ['10.0.0'],
    ['[::1]'],
    ['localhost'],
    ['*'],
    [null],
  ]
  for (const list of wrong) {
    it(`throws for ${JSON.stringify(list)}`, () =>
      assert.throws(() => createProxyTrust(list as string[]), { code: 'GATE101_CONFIG', message: /trustedProxies/ }))
  }
})

describe('the client behind trusted proxies (W1)', () => {
  const hops: ReadonlyArray<readonly [string, Fields, string]> = [
    ['IPv6 in brackets, with a port', [['x-forwarded-for', '[2001:db8::1]:443']], '2001:db8::1'],
    ['bare IPv6', [['x-forwarded-for', '2001:db8::1']], '2001:db8::1'],
    ['IPv4 mapped into IPv6', [['x-forwarded-for', '::ffff:9.9.9.9']], '9.9.9.9'],
    ['a trusted hop in its mapped form', [['x-forwarded-for', '9.9.9.9, ::ffff:10.0.0.2']], '9.9.9.9'],
    ['nothing but trusted hops', [['x-forwarded-for', '10.0.0.3, 10.0.0.2']], '10.0.0.3'],
    ['a bad hop behind a good one', [['x-forwarded-for', '9.9.9.9, x, 10.0.0.2']], '10.0.0.2'],
    ['a list that ends in a comma', [['x-forwarded-for', '9.9.9.9,']], '10.0.0.1'],
    ['Forwarded, names in any case', [['forwarded', 'For=9.9.9.9;PROTO=https;by=10.0.0.1']], '9.9.9.9'],
    ['Forwarded with an obfuscated name', [['forwarded', 'for=1.1.1.1, for=_hidden']], '10.0.0.1'],
    ['Forwarded without for', [['forwarded', 'for=1.1.1.1, proto=https']], '10.0.0.1'],
    ['Forwarded with for twice', [['forwarded', 'for=9.9.9.9;for=1.1.1.1']], '10.0.0.1'],
    ['a quote that the client left open', [['forwarded', 'for="1.1.1.1, for=9.9.9.9']], '9.9.9.9'],
    [
      'Forwarded on two lines',
      [
        ['forwarded', 'for=1.1.1.1'],
        ['forwarded', 'for=9.9.9.9'],
      ],
      '9.9.9.9',
    ],
    ['1000 hops', [['x-forwarded-for', `9.9.9.9${', 10.0.0.2'.repeat(1000)}`]], '9.9.9.9'],
    ['X-Real-IP alone', [['x-real-ip', '9.9.9.9']], '10.0.0.1'],
    [
      'both headers, agreeing',
      [
        ['x-forwarded-for', '9.9.9.9'],
        ['forwarded', 'for=9.9.9.9'],
      ],
      '9.9.9.9',
    ],
    [
      'both headers, one of them forged',
      [
        ['x-forwarded-for', '9.9.9.9'],
        ['forwarded', 'for=1.1.1.1'],
      ],
      '10.0.0.1',
    ],
    ['names with underscores', [['x_forwarded_for', '9.9.9.9']], '10.0.0.1'],
  ]
  for (const [name, fields, client] of hops) it(name, () => assert.equal(clientOf(fields), client))

  it('is not changed by what the client itself sent before', () => {
    const sent = fc.string({ unit: 'grapheme-ascii', maxLength: 60 })
    fc.assert(
      fc.property(sent, sent, (first, second) => {
        assert.equal(
          clientOf([
            ['x-forwarded-for', first],
            ['x-forwarded-for', `${second}, 9.9.9.9`],
          ]),
          '9.9.9.9',
        )
        assert.equal(
          clientOf([
            ['forwarded', first],
            ['forwarded', `${second}, for=9.9.9.9`],
          ]),
          '9.9.9.9',
        )
      }),
    )
  })
  it("is never one of the client's choice where the proxy writes one header only", () => {
    const fields = (forged: string): Fields => [
      ['x-forwarded-for', '9.9.9.9'],
      ['forwarded', forged],
    ]
    fc.assert(
      fc.property(fc.ipV4(), (address) => {
        assert.ok(['9.9.9.9', '10.0.0.1'].includes(clientOf(fields(`for=${address}`))))
      }),
    )
  })

  it('is not believed from an unlisted local peer that forwards, whatever the header', () => {
    for (const name of ['x-forwarded-for', 'forwarded', 'x-real-ip', 'via', 'x-forwarded-host', 'x-forwarded-proto']) {
      for (const address of ['127.0.0.1', '::1', '::ffff:192.168.0.1', 'fd00::1', '']) {
        const found = clientAddress(from([[name, 'x']], { address }), createProxyTrust(['10.0.0.0/8']))
        assert.equal(found.believable, false, `${name} from "${address}"`)
      }
    }
  })
  it('is believed from a public peer, which is then itself the client', () =>
    assert.deepEqual(clientAddress(from([['x-forwarded-for', '1.1.1.1']], { address: '203.0.113.5' }), PROXIES), {
      address: '203.0.113.5',
      believable: true,
    }))
  it('is the peer given to inject(), never a proxy', () =>
    assert.deepEqual(clientAddress(from([['x-forwarded-for', '1.1.1.1']], { injected: true }), PROXIES), {
      address: '10.0.0.1',
      believable: true,
    }))
})

describe('effectiveHost (O1)', () => {
  const cases: ReadonlyArray<readonly [string, Fields, object, string, string | undefined]> = [
    ['nothing forwarded', [['host', 'a']], {}, 'a', undefined],
    ['nothing forwarded, on TLS', [['host', 'a']], { encrypted: true }, 'a', 'https'],
    [
      'forwarded host and proto',
      [
        ['x-forwarded-host', 'b'],
        ['x-forwarded-proto', 'https'],
      ],
      {},
      'b',
      'https',
    ],
    [
      'proto in capitals',
      [
        ['host', 'a'],
        ['x-forwarded-proto', 'HTTPS'],
      ],
      {},
      'a',
      'https',
    ],
    [
      'proto wss',
      [
        ['host', 'a'],
        ['x-forwarded-proto', 'wss'],
      ],
      {},
      'a',
      'https',
    ],
    [
      'proto ws, on TLS',
      [
        ['host', 'a'],
        ['x-forwarded-proto', 'ws'],
      ],
      { encrypted: true },
      'a',
      'http',
    ],
    [
      'a proto that is none, on TLS',
      [
        ['host', 'a'],
        ['x-forwarded-proto', 'x'],
      ],
      { encrypted: true },
      'a',
      'https',
    ],
    [
      'the last of a list',
      [
        ['x-forwarded-host', 'evil, b'],
        ['x-forwarded-proto', 'http,https'],
      ],
      {},
      'b',
      'https',
    ],
    [
      'the last of two lines',
      [
        ['x-forwarded-host', 'evil'],
        ['x-forwarded-host', 'b'],
      ],
      {},
      'b',
      undefined,
    ],
    ['Forwarded', [['forwarded', 'host=evil;proto=http, host="b:8443";proto=https']], {}, 'b:8443', 'https'],
    [
      'Forwarded with host twice',
      [
        ['host', 'a'],
        ['forwarded', 'host=b;host=c'],
      ],
      {},
      'a',
      undefined,
    ],
  ]
  for (const [name, fields, peer, host, scheme] of cases) {
    it(name, () => assert.deepEqual(effectiveHost(from(fields, peer), PROXIES), { host, scheme }))
  }
  it('is the Host header where the peer is not trusted, and for inject()', () => {
    const fields: Fields = [
      ['host', 'a'],
      ['x-forwarded-host', 'b'],
      ['x-forwarded-proto', 'https'],
      ['forwarded', 'host=c'],
    ]
    const own = { host: 'a', scheme: undefined }
    assert.deepEqual(effectiveHost(from(fields, { address: '203.0.113.5' }), PROXIES), own)
    assert.deepEqual(effectiveHost(from(fields, { address: '' }), PROXIES), own)
    assert.deepEqual(effectiveHost(from(fields, { injected: true }), PROXIES), own)
  })
})

describe('addresses', () => {
  const group = fc.integer({ min: 0, max: 0xffff })
  const half = fc.tuple(group, group, group, group)
  const long = (groups: readonly number[]): string => groups.map((n) => n.toString(16).padStart(4, '0')).join(':')

  it('addressKey is one for a /64 and another for the next, in every spelling', () => {
    const few = half.map((groups) => groups.map((n) => n % 2))
    fc.assert(
      fc.property(fc.oneof(half, few), fc.oneof(half, few), half, half, (left, right, one, two) => {
        const a = long([...left, ...one])
        const b = long([...right, ...two])
        const network = new BlockList()
        network.addSubnet(a, 64, 'ipv6')
        if (left.every((n) => n === 0)) return // IPv4 lives in ::/64
        assert.equal(addressKey(a) === addressKey(b), network.check(b, 'ipv6'), `${a} ${b}`)
        assert.equal(addressKey(new URL(`http://[${a}]`).hostname.slice(1, -1)), addressKey(a.toUpperCase()))
      }),
    )
  })
  it('addressKey is the IPv4 address in every spelling of a mapped one', () => {
    for (const text of [
      '192.0.2.1',
      '::ffff:192.0.2.1',
      '::FFFF:c000:201',
      '0:0:0:0:0:ffff:192.0.2.1',
      '::ffff:c000:0201',
    ])
      assert.equal(addressKey(text), '192.0.2.1', text)
    assert.notEqual(addressKey('::ffff:192.0.2.1'), addressKey('::ffff:192.0.2.2'))
  })
  it('addressKey leaves the zone out, and throws for nothing', () => {
    assert.equal(addressKey('fe80::1%eth0'), addressKey('fe80::2%eth1'))
    for (const text of ['', 'x', ':', '%', '1.2.3', '[::1]']) assert.equal(typeof addressKey(text), 'string')
  })
  it('plainAddress unmaps', () => {
    assert.equal(plainAddress('::ffff:127.0.0.1'), '127.0.0.1')
    assert.equal(plainAddress('::ffff:7f00:1'), '127.0.0.1')
    assert.equal(plainAddress('::1'), '::1')
    assert.equal(plainAddress('1::ffff:7f00:1'), '1::ffff:7f00:1')
  })
  it('isLocal ends where the ranges end', () => {
    const local = [
      '127.255.255.255',
      '10.255.255.255',
      '172.31.255.255',
      '100.64.0.1',
      'fdff::1',
      'febf::1',
      '::ffff:7f00:1',
    ]
    for (const address of local) assert.ok(isLocal(address), address)
    const others = [
      '126.0.0.1',
      '128.0.0.1',
      '11.0.0.1',
      '172.15.0.1',
      '192.169.0.1',
      '169.253.0.1',
      '::2',
      'fec0::1',
      'x',
    ]
    for (const address of others) assert.ok(!isLocal(address), address)
  })
})
