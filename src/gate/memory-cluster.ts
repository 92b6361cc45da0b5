import type { ClusterEngine } from '../cluster/engine.ts'
import { Hub } from '../cluster/hub.ts'
import { memoryEngine } from '../cluster/memory.ts'
import { systemClock, type Clock } from '../core/clock.ts'
import { memoryTicketStore } from '../credentials/ticket-store.ts'

/**
 * A cluster of gates of one process: for tests, and for several apps in one process. Each call of the function that it returns makes
 * the engine of one gate.
 *
 * @example
 * ```ts
 * const engine = memoryCluster()
 * const first = createGate({ identify, secret, cluster: engine() })
 * const second = createGate({ identify, secret, cluster: engine() })
 * ```
 */
export function memoryCluster(clock: Clock = systemClock): () => ClusterEngine {
  const hub = new Hub(clock, memoryTicketStore(clock))
  return () => memoryEngine(hub)
}
