import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { Peer } from '../core/handshake.ts'

/** The other end of a plain HTTP request, as the socket itself reports it. */
export function peerOf(socket: Socket): Peer {
  const tls = socket instanceof TLSSocket ? socket : undefined
  return Object.freeze({
    address: socket.remoteAddress ?? '',
    port: socket.remotePort ?? 0,
    localAddress: socket.localAddress ?? '',
    localPort: socket.localPort ?? 0,
    encrypted: tls !== undefined,
    certified: tls?.authorized === true,
  })
}

/** Header fields in the order and spelling in which they came: Node's `headers` object has lost second values. */
export function rawPairs(raw: readonly string[]): Array<readonly [string, string]> {
  const pairs: Array<readonly [string, string]> = []
  for (let at = 0; at + 1 < raw.length; at += 2) pairs.push([raw[at] ?? '', raw[at + 1] ?? ''])
  return pairs
}
