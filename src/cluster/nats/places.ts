import type { Place } from '../engine.ts'
import type { Names } from './names.ts'
import { inParts } from './parts.ts'
import type { Shelf } from './shelf.ts'

export interface Places {
  enter(place: Place, ttl: number, limit: number): Promise<boolean>
  keep(places: readonly Place[], ttl: number): Promise<void>
  leave(places: readonly Place[]): Promise<void>
}

/**
 * Each place is a subject. Who enters takes one first, then counts, and gives it back where there are too many: of two that cross,
 * the one that counts later sees both.
 */
export function placesOf(state: Shelf, names: Names): Places {
  /** Whether others leave one. Only where there are many it matters whose time is over. */
  async function isRoom(key: string, mine: string, limit: number, now: () => Promise<number>): Promise<boolean> {
    const others = (await state.subjects(names.anyPlace(key))).filter((subject) => subject !== mine)
    if (others.length < limit) return true
    return (await state.alive(others, await now())).length < limit
  }

  return {
    async enter({ key, id }, ttl, limit) {
      const mine = names.place(key, id)
      const before = await state.get(mine)
      await state.put(mine, ttl)
      const held = await state.get(mine)
      if (held === undefined) throw new Error('NATS: the place was taken away at once')
      if (before !== undefined && held.storedAt < before.until) return true
      if (await isRoom(key, mine, limit, async () => held.storedAt)) return true
      await state.discard(held)
      return false
    },

    async keep(places, ttl) {
      await inParts(places, async ({ key, id }) => await state.put(names.place(key, id), ttl))
    },

    async leave(places) {
      await inParts(places, async ({ key, id }) => await state.clear(names.place(key, id)))
    },
  }
}
