import type { HeaderPairs } from './decision.ts'

/** The other end of the connection, as the socket itself reports it: nothing here comes from a header. */
export interface Peer {
  /** IP address in text form; `''` where the socket has none (a Unix socket). */
  readonly address: string
  readonly port: number
  /** The address of this server that the peer reached. */
  readonly localAddress: string
  readonly localPort: number
  /** True on TLS. */
  readonly encrypted: boolean
  /** True when a TLS client certificate was presented and verified. */
  readonly certified: boolean
  /** True for `gate.inject()`: no proxy is trusted, whatever the address. */
  readonly injected?: boolean
}

/**
 * The HTTP request that asks for the upgrade, as frozen facts. Nothing is merged, decoded or re-parsed: every question
 * reads the bytes that the app's router will read.
 */
export interface Handshake {
  readonly method: string
  /** `1.1` */
  readonly httpVersion: string
  /** The request target exactly as it was sent. */
  readonly target: string
  /** Header fields in the order in which they came, names in lower case. */
  readonly headers: HeaderPairs
  readonly peer: Peer
}

/** What a `net.Socket` or `tls.TLSSocket` says of itself. */
export interface PeerSocket {
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
  readonly #socket: PeerSocket
  #address: string | undefined

  constructor(socket: PeerSocket) {
    this.#socket = socket
  }

  /** Remembered once read: a socket that is gone does not know it any more. */
  get address(): string {
    this.#address ??= this.#socket.remoteAddress ?? ''
    return this.#address
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

export function peerOf(socket: PeerSocket): Peer {
  return new SocketPeer(socket)
}

/**
 * Header fields from Node's `rawHeaders`: its `headers` object has lost second values. What HTTP/2 calls `:authority` is
 * the Host (RFC 9113 section 8.3.1).
 */
export function pairsOf(raw: readonly string[]): HeaderPairs {
  const pairs: Array<readonly [string, string]> = []
  for (let n = 0; n + 1 < raw.length; n += 2) {
    const name = (raw[n] ?? '').toLowerCase()
    pairs.push([name === ':authority' ? 'host' : name, raw[n + 1] ?? ''])
  }
  return pairs
}

/** All values of one header field, in order. `name` in lower case. */
export function valuesOf(handshake: Pick<Handshake, 'headers'>, name: string): string[] {
  return handshake.headers.filter(([field]) => field === name).map(([, value]) => value)
}

/** The value of a header field that the shape check has already found to occur at most once. */
export function valueOf(handshake: Pick<Handshake, 'headers'>, name: string): string | undefined {
  for (const [field, value] of handshake.headers) {
    if (field === name) return value
  }
  return undefined
}
