import type { Handshake, Peer } from '../../../src/core/handshake.ts'

const PEER: Peer = {
  address: '127.0.0.1',
  port: 50000,
  localAddress: '127.0.0.1',
  localPort: 8080,
  encrypted: false,
  certified: false,
}

/** The headers of a handshake that nothing is wrong with. */
export const GOOD: ReadonlyArray<readonly [string, string]> = [
  ['host', 'localhost'],
  ['upgrade', 'websocket'],
  ['connection', 'Upgrade'],
  ['sec-websocket-version', '13'],
  ['sec-websocket-key', 'dGhlIHNhbXBsZSBub25jZQ=='],
]

/** A good handshake, but for what is given. */
export function handshakeOf(change: Partial<Omit<Handshake, 'peer'>> & { peer?: Partial<Peer> } = {}): Handshake {
  const { peer, ...rest } = change
  return { method: 'GET', httpVersion: '1.1', target: '/ws', headers: GOOD, ...rest, peer: { ...PEER, ...peer } }
}

/** {@link GOOD} with these fields in place of its own, or beside them. */
export function withHeaders(
  ...fields: ReadonlyArray<readonly [string, string]>
): ReadonlyArray<readonly [string, string]> {
  const names = new Set(fields.map(([name]) => name))
  return [...GOOD.filter(([name]) => !names.has(name)), ...fields]
}
