import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { pairsOf, peerOf, type Handshake, type PeerSocket } from '../core/handshake.ts'

/** The facts of one upgrade request. */
export function readHandshake(req: IncomingMessage, socket: Duplex): Handshake {
  return {
    method: req.method ?? '',
    httpVersion: req.httpVersion,
    target: req.url ?? '',
    headers: pairsOf(req.rawHeaders),
    // A Duplex that is no socket has none of these facts, and a peer without an address.
    peer: peerOf(socket as PeerSocket),
  }
}
