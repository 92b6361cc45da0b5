import type { Report } from '../engine.ts'
import type { ServerClock } from './clock.ts'
import { lastOf, type Names } from './names.ts'
import type { Shelf } from './shelf.ts'

export interface Reports {
  report(node: string, data: Uint8Array, ttl: number): Promise<void>
  reports(): Promise<readonly Report[]>
}

export function reportsOf(state: Shelf, names: Names, clock: ServerClock): Reports {
  return {
    async report(node, data, ttl) {
      if (data.length === 0) await state.clear(names.report(node))
      else await state.put(names.report(node), ttl, data)
    },

    async reports() {
      const [subjects, now] = await Promise.all([state.subjects(names.anyReport), clock.now()])
      const alive = await state.alive(subjects, now)
      return alive.map(({ subject, data }) => ({ node: lastOf(subject), data }))
    },
  }
}
