import type { ClusterEngine } from './engine.ts'
import type { Hub } from './hub.ts'

/** An engine whose nodes are gates of one process. */
export function memoryEngine(hub: Hub): ClusterEngine {
  let leave = (): void => undefined
  return {
    name: 'memory',
    tickets: hub.tickets,
    async open(hear, wake) {
      leave = hub.join({ hear: (data) => queueMicrotask(() => hear(data)), wake: () => queueMicrotask(wake) })
      return { durable: 'memory' }
    },
    append: async (generation, data) => hub.append(generation, data),
    read: async (after, limit) => hub.read(after, limit),
    trim: async (generation, upTo) => hub.trim(generation, upTo),
    restart: async (generation) => hub.restart(generation),
    say: async (data) => hub.say(data),
    report: async (node, data, ttl) => hub.report(node, data, ttl),
    reports: async () => hub.reports(),
    enter: async (place, ttl, limit) => hub.enter(place, ttl, limit),
    keep: async (places, ttl) => hub.keep(places, ttl),
    leave: async (places) => hub.leave(places),
    close: async () => leave(),
  }
}
