import { isIPv4, isIPv6 } from 'node:net'
import { refuse, type Refuse } from '../core/decision.ts'
import { Gate101Error } from '../core/errors.ts'
import type { Handshake } from '../core/handshake.ts'
import { effectiveHost, isLocal, type ProxyTrust } from './trust.ts'

export interface HostOptions {
  /** Names this server answers to, with or without a port. */
  readonly hosts: readonly string[]
  /** Hosts of the allowed origins. */
  readonly originHosts: readonly string[]
  readonly trust: ProxyTrust
}

const HOST = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{0,5}))?$/

/**
 * Rule O4: on a loopback or private address, a page of another site can reach this server under a name of its own (DNS
 * rebinding), with an Origin that equals Host. Only names that the server is known by are answered.
 *
 * @throws Gate101Error `GATE101_CONFIG` for an entry that is no host.
 */
export function createHostCheck(options: HostOptions): (handshake: Handshake) => Refuse | undefined {
  const known = readHosts(options.hosts)
  for (const host of options.originHosts) known.add(host)
  return (handshake) => {
    const written = effectiveHost(handshake, options.trust).host.toLowerCase()
    const parts = HOST.exec(written)
    if (parts === null) return refuse('bad_host')
    const host = (parts[1] ?? '').replace(/\.$/, '')
    if (known.has(host) || known.has(`${host}:${parts[2]}`) || isAddress(host) || host === 'localhost') return undefined
    return isLocal(handshake.peer.localAddress) ? refuse('host_not_allowed') : undefined
  }
}

function isAddress(host: string): boolean {
  return isIPv4(host) || (host.startsWith('[') && isIPv6(host.slice(1, -1)))
}

function readHosts(hosts: readonly string[]): Set<string> {
  if (!Array.isArray(hosts)) throw wrong('it must be a list, such as ["app.example.com"].')
  return new Set((hosts as readonly unknown[]).map(readHost))
}

function readHost(entry: unknown): string {
  const parts = typeof entry === 'string' ? HOST.exec(entry.toLowerCase()) : null
  const [, name = '', port] = parts ?? []
  const host = name.replace(/\.$/, '')
  const validPort = port === undefined || (/^[1-9]/.test(port) && Number(port) <= 65535)
  if (host === '' || !validPort || (host.startsWith('[') && !isAddress(host))) {
    throw wrong(`"${String(entry)}" is no host. Write a name such as "app.example.com", or "app.example.com:8443".`)
  }
  return port === undefined ? host : `${host}:${port}`
}

function wrong(message: string): Gate101Error {
  return new Gate101Error('GATE101_CONFIG', `createGate: hosts: ${message}`)
}
