import type { Clock } from '../core/clock.ts'

/** Counts the renewals of each connection, those alone that renew. */
export interface Renewals {
  /** @returns false where there were too many within a minute. */
  enter(connection: object): boolean
}

const MINUTE = 60_000

export function createRenewals(clock: Clock, perMinute: number): Renewals {
  const counts = new WeakMap<object, { since: number; count: number }>()
  return {
    enter(connection): boolean {
      const now = clock.now()
      const known = counts.get(connection)
      if (known === undefined || now - known.since >= MINUTE || now < known.since) {
        counts.set(connection, { since: now, count: 1 })
        return true
      }
      known.count += 1
      return known.count <= perMinute
    },
  }
}
