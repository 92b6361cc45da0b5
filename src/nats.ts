import { Gate101Error } from './core/errors.ts'
import type { ClusterEngine, Durability } from './cluster/engine.ts'
import { natsEngine } from './cluster/nats/engine.ts'
import type { NatsClient } from './cluster/nats/link.ts'
import { checkNames } from './gate/check-names.ts'

export type { ClusterEngine, Durability } from './cluster/engine.ts'
export type { NatsClient } from './cluster/nats/link.ts'

/** Options of {@link natsCluster}. */
export interface NatsClusterOptions {
  /** Names the cluster: gates of the same prefix and account are nodes of one. @defaultValue 'gate101' */
  readonly prefix?: string
  /**
   * What a revocation must survive: `disk` a restart of the server, `replicated` the loss of its machine (three servers keep it).
   * A server that keeps less is refused at start.
   *
   * @defaultValue 'disk'
   */
  readonly durable?: Durability
}

/**
 * Gates of several processes as one cluster, through a NATS server (2.9 or later) with JetStream that your app has already.
 *
 * Makes its streams at start where they are missing. It never closes the connection; close it after `gate.close()`.
 *
 * @param connection - of `@nats-io/transport-node` 3. With `maxReconnectAttempts: -1` it outlives every outage.
 * @throws Gate101Error `GATE101_CONFIG` for another client, unknown names and wrong types.
 * @example
 * ```ts
 * const connection = await connect({ servers, maxReconnectAttempts: -1 })
 * const gate = createGate({ identify, secret, cluster: natsCluster(connection) })
 * ```
 */
export function natsCluster(connection: NatsClient, options: NatsClusterOptions = {}): ClusterEngine {
  checkNames('natsCluster', options, ['prefix', 'durable'])
  const { prefix = 'gate101', durable = 'disk' } = options
  if (typeof prefix !== 'string') throw config('prefix must be a string.')
  if (!['memory', 'disk', 'replicated'].includes(durable))
    throw config(`durable must be 'memory', 'disk' or 'replicated'.`)
  if (!isClient(connection)) throw config('the connection must be what connect() of @nats-io/transport-node gives.')
  return natsEngine(connection, { prefix, durable })
}

function isClient(given: unknown): boolean {
  if (typeof given !== 'object' || given === null) return false
  const methods = ['publish', 'request', 'subscribe', 'status'] satisfies ReadonlyArray<keyof NatsClient>
  return methods.every((name) => typeof (given as NatsClient)[name] === 'function')
}

function config(message: string): Gate101Error {
  return new Gate101Error('GATE101_CONFIG', `natsCluster: ${message}`)
}
