import type { Place } from '../engine.ts'
import type { Driver } from './driver.ts'
import { after, BEGIN, whole, word, words } from './sql.ts'
import type { Store } from './store.ts'

export interface Places {
  enter(place: Place, ttl: number, limit: number): Promise<boolean>
  keep(places: readonly Place[], ttl: number): Promise<void>
  leave(places: readonly Place[]): Promise<void>
}

/**
 * One row for each place. Who enters holds the lock of the key: the statement after the one that waits for it sees what the one
 * before has committed. Rows of several places are always locked in the same order.
 */
export function placesOf(driver: Driver, { schema, prefix, lock }: Store): Places {
  return {
    async enter({ key, id }, ttl, limit) {
      const held = `FROM ${schema}places WHERE prefix = ${prefix} AND key = ${word(key)} AND expires_at > clock_timestamp()`
      const rows = await driver.run(
        `${BEGIN}SELECT pg_advisory_xact_lock(${lock(`place:${key}`)});
INSERT INTO ${schema}places (prefix, key, id, expires_at)
SELECT ${prefix}, ${word(key)}, ${word(id)}, ${after(ttl)}
WHERE EXISTS (SELECT ${held} AND id = ${word(id)}) OR (SELECT count(*) ${held}) < ${whole(limit)}
ON CONFLICT (prefix, key, id) DO UPDATE SET expires_at = excluded.expires_at RETURNING id`,
      )
      return rows.length > 0
    },

    async keep(places, ttl) {
      if (places.length === 0) return
      await driver.run(
        `${BEGIN}INSERT INTO ${schema}places (prefix, key, id, expires_at)
SELECT ${prefix}, key, id, ${after(ttl)} FROM ${given(places)} GROUP BY key, id ORDER BY key COLLATE "C", id COLLATE "C"
ON CONFLICT (prefix, key, id) DO UPDATE SET expires_at = excluded.expires_at`,
      )
    },

    async leave(places) {
      if (places.length === 0) return
      const left = `${schema}places p WHERE prefix = ${prefix} AND (key, id) IN (SELECT key, id FROM ${given(places)})`
      await driver.run(
        `${BEGIN}SELECT count(*) FROM (SELECT FROM ${left} ORDER BY key, id FOR UPDATE OF p) locked; DELETE FROM ${left}`,
      )
    },
  }
}

function given(places: readonly Place[]): string {
  return `unnest(${words(places.map(({ key }) => key))}, ${words(places.map(({ id }) => id))}) AS given (key, id)`
}
