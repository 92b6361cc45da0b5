import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createHostCheck, type HostOptions } from '../../../src/handshake/host.ts'
import { createProxyTrust } from '../../../src/handshake/trust.ts'
import { handshakeOf, withHeaders } from './helpers.ts'

type Fields = ReadonlyArray<readonly [string, string]>

function codeOf(fields: Fields, options: Partial<HostOptions> = {}, peer = {}): string | undefined {
  const check = createHostCheck({ hosts: [], originHosts: [], trust: createProxyTrust(undefined), ...options })
  return check(handshakeOf({ headers: withHeaders(...fields), peer }))?.code
}
const named = (host: string, hosts: readonly string[] = []): string | undefined => codeOf([['host', host]], { hosts })

describe('Host by name (O4)', () => {
  const refused = [
    'evil.example',
    'localhost.evil.example',
    'evil-localhost',
    '127.0.0.1.evil.example',
    '127.1',
    '2130706433',
    '0x7f.0.0.1',
    '[::1].evil.example',
  ]
  for (const host of refused)
    it(`refuses ${host}`, () => assert.match(String(named(host)), /^(?:host_not_allowed|bad_host)$/))

  it('refuses what is no host on every address', () => {
    for (const host of ['', 'a b', 'a/b', 'a@b', 'a:b', 'a:123456', '%6c', 'b\u00fccher'])
      assert.equal(codeOf([['host', host]], {}, { localAddress: '203.0.113.1' }), 'bad_host', host)
  })

  it('takes a listed name with a trailing dot, in any case, at any port', () => {
    for (const host of ['app.example', 'APP.example', 'app.example.', 'app.example:1', 'app.example.:65535'])
      assert.equal(named(host, ['App.Example']), undefined, host)
  })

  it('takes a name that is listed with a port at that port alone', () => {
    assert.equal(named('app.example:8443', ['app.example:8443']), undefined)
    assert.equal(named('app.example.:8443', ['app.example:8443']), undefined)
    for (const host of ['app.example', 'app.example:843', 'app.example:84430', 'app.example:'])
      assert.equal(named(host, ['app.example:8443']), 'host_not_allowed', host)
  })
})

describe('Host behind a proxy (O4)', () => {
  const forwarded: Fields = [
    ['host', 'inner'],
    ['x-forwarded-host', 'app.example'],
  ]
  const trust = createProxyTrust(['127.0.0.1'])
  it('is the forwarded one where the proxy is trusted', () => {
    assert.equal(codeOf(forwarded, { hosts: ['app.example'], trust }), undefined)
    assert.equal(codeOf(forwarded, { hosts: ['inner'], trust }), 'host_not_allowed')
  })
  it('is its own where the proxy is not, and for inject()', () => {
    assert.equal(codeOf(forwarded, { hosts: ['app.example'] }), 'host_not_allowed')
    assert.equal(codeOf(forwarded, { hosts: ['app.example'], trust }, { injected: true }), 'host_not_allowed')
  })
  it('must be a host when it is forwarded', () =>
    assert.equal(codeOf([['x-forwarded-host', 'app.example/x']], { hosts: ['app.example'], trust }), 'bad_host'))
})

describe('the option hosts', () => {
  const wrong: unknown[] = [
    'app.example',
    1,
    {},
    [1],
    [null],
    [''],
    ['.'],
    ['*'],
    ['*.example'],
    ['http://app.example'],
    ['app.example/'],
    ['app.example:'],
    ['app.example:0'],
    ['app.example:080'],
    ['app.example:65536'],
    ['user@app.example'],
    ['[.]'],
    ['::1'],
    ['b\u00fccher.example'],
    [' app.example'],
  ]
  for (const hosts of wrong) {
    it(`throws for ${JSON.stringify(hosts)}`, () =>
      assert.throws(() => codeOf([], { hosts: hosts as string[] }), { code: 'GATE101_CONFIG', message: /hosts: / }))
  }
})
