import type { ClusterEngine } from '../cluster/engine.ts'
import type { Duration } from '../core/duration.ts'
import { Gate101Error } from '../core/errors.ts'
import { checkNames, isRecord } from './check-names.ts'
import { durationOf } from './life-options.ts'

/** What becomes of open connections while the engine of the cluster is away. */
export interface ClusterLossOption {
  /** From when on. @defaultValue `'30s'` */
  readonly after?: Duration
  /**
   * They are closed (1013 `cluster_stale`), asked about again through the app (those that cannot be asked about are closed),
   * or kept; spread over ten seconds. @defaultValue `'recheck'`
   */
  readonly then?: 'close' | 'recheck' | 'keep'
}

/** The policy of a node that may not know of a revocation that others know of. */
export interface LossPolicy {
  /** Milliseconds. */
  readonly after: number
  readonly action: 'close' | 'recheck' | 'keep'
  readonly acceptWhenStale: boolean
}

const FUNCTIONS = [
  'open',
  'append',
  'read',
  'trim',
  'restart',
  'say',
  'report',
  'reports',
  'enter',
  'keep',
  'leave',
  'close',
]

/** Engines that have a gate: an engine tells one what it hears. */
const taken = new WeakSet<object>()

export function readCluster(given: unknown, hasSecret: boolean): ClusterEngine | undefined {
  if (given === undefined) return undefined
  const engine = given as ClusterEngine & Readonly<Record<string, unknown>>
  if (!isRecord(given) || !FUNCTIONS.every((name) => typeof engine[name] === 'function'))
    throw wrong(
      'cluster must be an engine: redisCluster(client), natsCluster(connection), postgresCluster(client), ipcCluster().',
    )
  if (taken.has(given)) throw wrong('cluster is the engine of another gate: make one for each, of the same client.')
  taken.add(given)
  if (!hasSecret) throw wrong('cluster needs `secret`: the same for all nodes, at least 32 random bytes.')
  return engine
}

export function readClusterLoss(given: ClusterLossOption = {}, acceptWhenStale: unknown = false): LossPolicy {
  if (!isRecord(given)) throw wrong('onClusterLoss must be an object.')
  checkNames('createGate: onClusterLoss', given, ['after', 'then'])
  const { after = '30s', then = 'recheck' } = given
  if (!['close', 'recheck', 'keep'].includes(then))
    throw wrong('onClusterLoss.then must be "close", "recheck" or "keep".')
  if (typeof acceptWhenStale !== 'boolean') throw wrong('dangerouslyAcceptWhenStale must be true or false.')
  return { after: durationOf('onClusterLoss.after', after, 0), action: then, acceptWhenStale }
}

function wrong(message: string): Gate101Error {
  return new Gate101Error('GATE101_CONFIG', `createGate: ${message}`)
}
