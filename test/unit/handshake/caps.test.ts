import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { createCaps } from '../../../src/handshake/caps.ts'
import { addressKey, clientAddress, createProxyTrust, isLocal } from '../../../src/handshake/trust.ts'
import { handshakeOf, withHeaders } from './helpers.ts'

describe('caps (W1)', () => {
  const enter = (caps: ReturnType<typeof createCaps>, key: string | undefined): (() => void) | string => {
    const lease = caps.enter(() => key)
    return typeof lease === 'function' ? lease : lease.code
  }
  it('refuses the first above the cap of one address, and lets others in', () => {
    const caps = createCaps({ total: 10, perAddress: 2 })
    const first = enter(caps, 'a')
    enter(caps, 'a')
    assert.equal(enter(caps, 'a'), 'too_many_from_address')
    assert.equal(typeof enter(caps, 'b'), 'function')
    assert.ok(typeof first === 'function')
    first()
    assert.equal(typeof enter(caps, 'a'), 'function')
    assert.equal(enter(caps, 'a'), 'too_many_from_address')
  })
  it('refuses the first above the total, whoever it is', () => {
    const caps = createCaps({ total: 2, perAddress: 2 })
    enter(caps, undefined)
    enter(caps, 'a')
    assert.equal(enter(caps, 'b'), 'too_many_handshakes')
  })
  it('counts an address that cannot be believed against the total alone', () => {
    const caps = createCaps({ total: 4, perAddress: 1 })
    for (let n = 0; n < 4; n++) assert.equal(typeof enter(caps, undefined), 'function')
    assert.equal(enter(caps, undefined), 'too_many_handshakes')
  })
  it('agrees with a plain count at every step, however places are taken and left', () => {
    const step = fc.record({ key: fc.constantFrom('a', 'b', 'c', undefined), leave: fc.nat(20), enters: fc.boolean() })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const caps = createCaps({ total: 6, perAddress: 2 })
        const open: Array<{ key: string | undefined; release: () => void }> = []
        for (const { key, leave, enters } of steps) {
          if (!enters) {
            const [gone] = open.splice(leave % Math.max(open.length, 1), 1)
            gone?.release()
            gone?.release() // a second release must not free another's place
          } else {
            const same = open.filter((place) => place.key === key).length
            const wanted =
              open.length >= 6 ? 'too_many_handshakes' : key !== undefined && same >= 2 ? 'too_many_from_address' : 'in'
            const lease = enter(caps, key)
            assert.equal(typeof lease === 'function' ? 'in' : lease, wanted)
            if (typeof lease === 'function') open.push({ key, release: lease })
          }
          assert.equal(caps.size, open.length)
        }
      }),
    )
  })
})

describe('client addresses (W1)', () => {
  const client = (fields: ReadonlyArray<readonly [string, string]>, address: string, proxies?: string[]): string => {
    const found = clientAddress(
      handshakeOf({ headers: withHeaders(...fields), peer: { address } }),
      createProxyTrust(proxies),
    )
    return found.believable ? found.address : 'not believable'
  }
  const xff = (value: string): ReadonlyArray<readonly [string, string]> => [['x-forwarded-for', value]]
  it('is the peer where no proxy is trusted', () => {
    assert.equal(client([], '127.0.0.1'), '127.0.0.1')
    assert.equal(client(xff('9.9.9.9'), '203.0.113.5'), '203.0.113.5')
    assert.equal(client(xff('9.9.9.9'), '127.0.0.1'), 'not believable')
    assert.equal(client([['forwarded', 'for=9.9.9.9']], '10.0.0.1'), 'not believable')
  })
  it('is the last hop that a trusted proxy has seen', () => {
    const proxies = ['10.0.0.0/8', '::1']
    assert.equal(client(xff('9.9.9.9'), '10.0.0.1', proxies), '9.9.9.9')
    assert.equal(client(xff('1.1.1.1, 9.9.9.9'), '10.0.0.1', proxies), '9.9.9.9')
    assert.equal(client(xff('1.1.1.1, 9.9.9.9, 10.0.0.2'), '::ffff:10.0.0.1', proxies), '9.9.9.9')
    assert.equal(
      client(
        [
          ['x-forwarded-for', '1.1.1.1'],
          ['x-forwarded-for', '9.9.9.9:80'],
        ],
        '10.0.0.1',
        proxies,
      ),
      '9.9.9.9',
    )
    assert.equal(
      client([['forwarded', 'for=1.1.1.1, for="[2001:db8::1]:80";proto=https']], '::1', proxies),
      '2001:db8::1',
    )
    assert.equal(client(xff('1.1.1.1, unknown'), '10.0.0.1', proxies), '10.0.0.1')
    assert.equal(client(xff(''), '10.0.0.1', proxies), '10.0.0.1')
    assert.equal(client(xff('8.8.8.8'), '203.0.113.5', proxies), '203.0.113.5')
  })
  it('throws for what is no address or range', () => {
    for (const list of [['x'], ['10.0.0.0/33'], ['10.0.0.0/8/8'], ['10.0.0.0/-1'], [''], [1], 'all']) {
      assert.throws(() => createProxyTrust(list as string[]), { code: 'GATE101_CONFIG' }, JSON.stringify(list))
    }
  })
  it('has one key for a /64', () => {
    assert.equal(addressKey('2001:db8:0:1::1'), addressKey('2001:0db8:0000:0001:ffff:ffff:ffff:ffff'))
    assert.notEqual(addressKey('2001:db8:0:1::1'), addressKey('2001:db8:0:2::1'))
    assert.equal(addressKey('::ffff:192.0.2.1'), '192.0.2.1')
    assert.equal(addressKey('::1'), addressKey('::2'))
  })
  it('knows local addresses', () => {
    for (const address of [
      '127.0.0.1',
      '::1',
      '10.1.1.1',
      '192.168.1.1',
      '169.254.1.1',
      '::ffff:127.0.0.1',
      'fe80::1%eth0',
      '',
    ])
      assert.ok(isLocal(address), address)
    for (const address of ['8.8.8.8', '172.32.0.1', '2001:db8::1', '::ffff:8.8.8.8'])
      assert.ok(!isLocal(address), address)
  })
})
