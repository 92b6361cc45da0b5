import { systemClock } from '../../src/core/clock.ts'
import { Hub } from '../../src/cluster/hub.ts'
import { memoryEngine } from '../../src/cluster/memory.ts'
import { memoryTicketStore } from '../../src/credentials/ticket-store.ts'
import { contract } from './contract.ts'

contract('memory', async () => {
  const hubs = new Map<string, Hub>()
  return {
    engine(prefix = '') {
      const hub = hubs.get(prefix) ?? new Hub(systemClock, memoryTicketStore(systemClock))
      hubs.set(prefix, hub)
      return memoryEngine(hub)
    },
    stop: async () => undefined,
  }
})
