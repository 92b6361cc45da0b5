import { Gate101Error } from './core/errors.ts'
import type { ClusterEngine, Durability } from './cluster/engine.ts'
import type { Driver } from './cluster/redis/driver.ts'
import { redisEngine } from './cluster/redis/engine.ts'
import {
  ioredisClusterDriver,
  ioredisDriver,
  type IoredisClient,
  type IoredisClusterClient,
} from './cluster/redis/ioredis.ts'
import {
  nodeRedisClusterDriver,
  nodeRedisDriver,
  type NodeRedisClient,
  type NodeRedisClusterClient,
} from './cluster/redis/node-redis.ts'
import { checkNames } from './gate/check-names.ts'

export type { ClusterEngine, Durability } from './cluster/engine.ts'
export type { IoredisClient, IoredisClusterClient, IoredisConnection } from './cluster/redis/ioredis.ts'
export type {
  NodeRedisClient,
  NodeRedisClusterClient,
  NodeRedisClusterConnection,
  NodeRedisConnection,
} from './cluster/redis/node-redis.ts'

/** A client of `redis` 6 or `ioredis` 6, of one server or of a cluster of servers. */
export type RedisClient = NodeRedisClient | NodeRedisClusterClient | IoredisClient | IoredisClusterClient

/** Options of {@link redisCluster}. */
export interface RedisClusterOptions {
  /** Names the cluster: gates of the same prefix and server are nodes of one. @defaultValue 'gate101' */
  readonly prefix?: string
  /**
   * What a revocation must survive: `disk` a restart of the server, `replicated` the loss of its machine. A server that keeps less is
   * refused at start. With `replicated` each revocation waits until a replica has confirmed it.
   *
   * @defaultValue 'disk'
   */
  readonly durable?: Durability
}

/**
 * Gates of several processes as one cluster, through a Redis (6.2 or later) or Valkey that your app has already.
 *
 * Makes connections of its own with the settings of the client: one for commands, one to listen, with `replicated` one more.
 * The client itself is not used, need not be connected, and is never ended. The key prefix of the client is kept to.
 *
 * @param client - what `createClient` or `createCluster` of redis 6 gives, or a `Redis` or `Cluster` of ioredis 6.
 * @throws Gate101Error `GATE101_CONFIG` for another client, unknown names and wrong types.
 * @example
 * ```ts
 * const gate = createGate({ identify, secret, cluster: redisCluster(createClient({ url })) })
 * ```
 */
export function redisCluster(client: RedisClient, options: RedisClusterOptions = {}): ClusterEngine {
  checkNames('redisCluster', options, ['prefix', 'durable'])
  const { prefix = 'gate101', durable = 'disk' } = options
  if (typeof prefix !== 'string') throw config('prefix must be a string.')
  if (!['memory', 'disk', 'replicated'].includes(durable))
    throw config(`durable must be 'memory', 'disk' or 'replicated'.`)
  return redisEngine(driverOf(client), { prefix, durable })
}

function driverOf(client: RedisClient): Driver {
  const given: unknown = client
  if (has<IoredisClient>(given, 'duplicate', 'callBuffer'))
    return given.isCluster ? ioredisClusterDriver(client as IoredisClusterClient) : ioredisDriver(given)
  if (has<NodeRedisClusterClient>(given, 'duplicate', 'nodeClient')) return nodeRedisClusterDriver(given)
  // A client of sentinels has most of it, and takes other arguments.
  const isOne = has<NodeRedisClient>(given, 'duplicate', 'withTypeMapping') && !('acquire' in given)
  if (!isOne) throw config('the client must be one of redis (createClient, createCluster) or ioredis (Redis, Cluster).')
  return nodeRedisDriver(given)
}

function has<Client>(given: unknown, ...names: readonly (keyof Client)[]): given is Client & object {
  if (typeof given !== 'object' || given === null) return false
  return names.every((name) => typeof (given as Client)[name] === 'function')
}

function config(message: string): Gate101Error {
  return new Gate101Error('GATE101_CONFIG', `redisCluster: ${message}`)
}
