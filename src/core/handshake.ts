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
  /** Header fields in the order and spelling in which they came. */
  readonly headers: HeaderPairs
  readonly peer: Peer
}

/** All values of one header field, in order. `name` in lower case. */
export function valuesOf(handshake: Pick<Handshake, 'headers'>, name: string): string[] {
  const values: string[] = []
  for (const [field, value] of handshake.headers) {
    if (field.length === name.length && field.toLowerCase() === name) values.push(value)
  }
  return values
}

/** The value of a header field that the shape check has already found to occur at most once. */
export function valueOf(handshake: Pick<Handshake, 'headers'>, name: string): string | undefined {
  for (const [field, value] of handshake.headers) {
    if (field.length === name.length && field.toLowerCase() === name) return value
  }
  return undefined
}
