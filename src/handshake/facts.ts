import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Handshake, Peer } from '../core/handshake.ts'

/** What a `net.Socket` or `tls.TLSSocket` says of itself. */
interface SocketLike {
  readonly remoteAddress?: string | undefined
  readonly remotePort?: number | undefined
  readonly localAddress?: string | undefined
  readonly localPort?: number | undefined
  readonly encrypted?: boolean | undefined
  readonly authorized?: boolean | undefined
  getPeerCertificate?(): object | null | undefined
}

/** Each address costs a system call, so it is asked for when a question needs it. */
class SocketPeer implements Peer {
  readonly #socket: SocketLike

  constructor(socket: SocketLike) {
    this.#socket = socket
  }

  get address(): string {
    return this.#socket.remoteAddress ?? ''
  }
  get port(): number {
    return this.#socket.remotePort ?? 0
  }
  get localAddress(): string {
    return this.#socket.localAddress ?? ''
  }
  get localPort(): number {
    return this.#socket.localPort ?? 0
  }
  get encrypted(): boolean {
    return this.#socket.encrypted === true
  }
  get certified(): boolean {
    if (this.#socket.encrypted !== true || this.#socket.authorized !== true) return false
    return Object.keys(this.#socket.getPeerCertificate?.() ?? {}).length > 0
  }
}

/** The facts of one upgrade request. */
export function readHandshake(req: IncomingMessage, socket: Duplex): Handshake {
  const raw = req.rawHeaders
  const headers: Array<readonly [string, string]> = []
  for (let n = 0; n + 1 < raw.length; n += 2) headers.push([raw[n] ?? '', raw[n + 1] ?? ''])
  return {
    method: req.method ?? '',
    httpVersion: req.httpVersion,
    target: req.url ?? '',
    headers,
    peer: new SocketPeer(socket as unknown as SocketLike),
  }
}
