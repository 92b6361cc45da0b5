import { BlockList, isIP, isIPv4, isIPv6 } from 'node:net'
import { Gate101Error } from '../core/errors.ts'
import { valueOf, valuesOf, type Handshake } from '../core/handshake.ts'

/** Which peers' forwarding headers are believed. */
export interface ProxyTrust {
  readonly any: boolean
  trusts(address: string): boolean
}

const FORWARDING = ['x-forwarded-for', 'forwarded', 'x-real-ip', 'x-forwarded-host', 'x-forwarded-proto', 'via']

/** `::ffff:192.0.2.1` is the IPv4 address that a dual-stack socket shows. */
export function plainAddress(address: string): string {
  const zone = address.indexOf('%')
  const bare = zone < 0 ? address : address.slice(0, zone)
  const mapped = /^::ffff:(?:(\d+\.\d+\.\d+\.\d+)|([0-9a-f]{1,4}):([0-9a-f]{1,4}))$/i.exec(bare)
  if (mapped === null) return bare
  const [, dotted, high = '0', low = '0'] = mapped
  return dotted ?? [high, low].flatMap(bytesOf).join('.')
}

function bytesOf(group: string): [number, number] {
  const value = Number.parseInt(group, 16)
  return [value >> 8, value & 0xff]
}

/** @throws Gate101Error `GATE101_CONFIG` for an entry that is neither an address nor a CIDR range. */
export function createProxyTrust(list: readonly string[] | undefined): ProxyTrust {
  if (list === undefined) return { any: false, trusts: () => false }
  if (!Array.isArray(list)) throw wrong(list)
  const ranges = new BlockList()
  for (const entry of list as readonly unknown[]) addRange(ranges, entry)
  return { any: list.length > 0, trusts: (address) => contains(ranges, address) }
}

function addRange(ranges: BlockList, entry: unknown): void {
  if (typeof entry !== 'string') throw wrong(entry)
  const [address = '', bits, ...more] = entry.split('/')
  const family = isIPv4(address) ? 'ipv4' : 'ipv6'
  if (isIP(address) === 0 || address.includes('%') || more.length > 0) throw wrong(entry)
  if (bits === undefined) return ranges.addAddress(address, family)
  const prefix = Number(bits)
  if (!/^(?:0|[1-9]\d{0,2})$/.test(bits) || prefix > (family === 'ipv4' ? 32 : 128)) throw wrong(entry)
  ranges.addSubnet(address, prefix, family)
}

function wrong(entry: unknown): Gate101Error {
  return new Gate101Error(
    'GATE101_CONFIG',
    `createGate: trustedProxies must be a list of addresses and CIDR ranges such as "10.0.0.0/8"; "${String(entry)}" is none.`,
  )
}

function contains(ranges: BlockList, address: string): boolean {
  const plain = plainAddress(address)
  if (isIPv4(plain)) return ranges.check(plain, 'ipv4')
  return isIPv6(plain) && ranges.check(plain, 'ipv6')
}

const LOCAL = new BlockList()
for (const [address, prefix] of [
  ['127.0.0.0', 8],
  ['10.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['169.254.0.0', 16],
  ['100.64.0.0', 10],
] as const) {
  LOCAL.addSubnet(address, prefix, 'ipv4')
}
for (const [address, prefix] of [
  ['::1', 128],
  ['fc00::', 7],
  ['fe80::', 10],
] as const)
  LOCAL.addSubnet(address, prefix, 'ipv6')

/** Loopback, private, link-local or shared; also the empty address of a Unix socket. */
export function isLocal(address: string): boolean {
  return address === '' || contains(LOCAL, address)
}

function isTrustedPeer(handshake: Handshake, trust: ProxyTrust): boolean {
  return trust.any && handshake.peer.injected !== true && trust.trusts(handshake.peer.address)
}

/** The client as the trusted proxies report it; the peer itself where there are none. */
export function clientAddress(
  handshake: Handshake,
  trust: ProxyTrust,
): { readonly address: string; readonly believable: boolean } {
  const forwards = handshake.headers.some(([field]) => FORWARDING.includes(field))
  const { address: peer, injected } = handshake.peer
  if (!forwards || injected === true) return { address: peer, believable: true }
  if (!isTrustedPeer(handshake, trust)) return { address: peer, believable: !isLocal(peer) }
  const found = new Set(chains(handshake).map((hops) => walk(peer, hops, trust)))
  // A proxy that writes one of the two headers passes the other on as the client wrote it: they must agree.
  const [client = peer] = found
  return { address: found.size === 1 ? client : peer, believable: true }
}

/** The last hop that a trusted one has seen. */
function walk(peer: string, hops: readonly string[], trust: ProxyTrust): string {
  let client = peer
  for (const hop of hops.toReversed()) {
    if (!trust.trusts(client)) break
    if (isIP(hop) === 0) break // unknown, obfuscated or malformed: what is left of it was not set by a trusted hop
    client = hop
  }
  return client
}

/** For each forwarding header that is there: addresses from the client on, as far as it says. */
function chains(handshake: Handshake): string[][] {
  const forwarded = valuesOf(handshake, 'forwarded')
    .flatMap(elements)
    .map((element) => element.get('for') ?? '')
  const plain = valuesOf(handshake, 'x-forwarded-for').flatMap((value) => value.split(','))
  return [forwarded, plain].filter((hops) => hops.length > 0).map((hops) => hops.map(bareAddress))
}

/** `1.2.3.4`, `1.2.3.4:80`, `[::1]:80`, `::1` */
function bareAddress(text: string): string {
  const trimmed = text.trim()
  const bracketed = /^\[([^\]]+)\](?::\d+)?$/.exec(trimmed)
  if (bracketed !== null) return bracketed[1] ?? ''
  const withPort = /^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(trimmed)
  return plainAddress(withPort?.[1] ?? trimmed)
}

/**
 * RFC 7239 section 4, without the quoted commas and semicolons that no proxy sends: a client that leaves a quote open
 * could otherwise swallow what the proxy adds. An element that names a parameter twice is as good as empty.
 */
function elements(value: string): Array<Map<string, string>> {
  return value.split(',').map((element) => {
    const pairs = element.split(';').map((pair): [string, string] => {
      const at = pair.indexOf('=')
      const unquoted = pair
        .slice(at + 1)
        .trim()
        .replace(/^"(.*)"$/, '$1')
      return [pair.slice(0, Math.max(at, 0)).trim().toLowerCase(), unquoted]
    })
    const parameters = new Map(pairs)
    return parameters.size === pairs.length ? parameters : new Map<string, string>()
  })
}

/** One key for each client: an IPv6 client has its whole /64. */
export function addressKey(address: string): string {
  const plain = plainAddress(address)
  if (!isIPv6(plain)) return plain
  // One spelling of each address; a URL parser writes it as RFC 5952 says.
  const canonical = new URL(`http://[${plain}]`).hostname.slice(1, -1)
  const mapped = plainAddress(canonical)
  if (isIPv4(mapped)) return mapped
  const [left = '', right] = canonical.split('::')
  const head = left === '' ? [] : left.split(':')
  const tail = right === undefined || right === '' ? [] : right.split(':')
  const zeros = right === undefined ? [] : Array.from({ length: Math.max(0, 8 - head.length - tail.length) }, () => '0')
  const groups = [...head, ...zeros, ...tail].slice(0, 4)
  return `${groups.join(':')}::/64`
}

/** The Host and scheme that the client used: forwarded values count only from a trusted peer. */
export function effectiveHost(
  handshake: Handshake,
  trust: ProxyTrust,
): { readonly host: string; readonly scheme: 'http' | 'https' | undefined } {
  const own = {
    host: valueOf(handshake, 'host') ?? '',
    scheme: handshake.peer.encrypted ? ('https' as const) : undefined,
  }
  if (!isTrustedPeer(handshake, trust)) return own
  const last = valuesOf(handshake, 'forwarded').flatMap(elements).at(-1)
  const host = last?.get('host') ?? lastOf(handshake, 'x-forwarded-host') ?? own.host
  const proto = last?.get('proto') ?? lastOf(handshake, 'x-forwarded-proto')
  return { host, scheme: schemeOf(proto?.toLowerCase()) ?? own.scheme }
}

function schemeOf(proto: string | undefined): 'http' | 'https' | undefined {
  if (proto === 'https' || proto === 'wss') return 'https'
  return proto === 'http' || proto === 'ws' ? 'http' : undefined
}

function lastOf(handshake: Handshake, name: string): string | undefined {
  return valuesOf(handshake, name)
    .flatMap((value) => value.split(','))
    .at(-1)
    ?.trim()
}
