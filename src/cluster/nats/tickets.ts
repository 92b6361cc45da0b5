import type { TicketStore } from '../../core/ticket-store.ts'
import type { ServerClock } from './clock.ts'
import type { Names } from './names.ts'
import type { Kept, Shelf } from './shelf.ts'

/** So many that nobody came for are taken away with each one that is made. */
const SWEEP = 2

/** Each ticket is a subject, which the stream takes once; and whoever takes it away has it. Its owner's are counted when it is there. */
export function ticketsOf(tickets: Shelf, names: Names, clock: ServerClock): TicketStore {
  async function isRoom(own: Kept, owner: string, limit: number): Promise<boolean> {
    const all = await tickets.subjects(names.ticket('*', owner))
    const others = all.filter((subject) => subject !== own.subject)
    return others.length < limit || (await tickets.alive(others, own.storedAt)).length < limit
  }

  async function sweep(now: number): Promise<void> {
    for (let n = 0; n < SWEEP; n++) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const oldest = await tickets.oldest(names.ticket('*', '*'))
      if (oldest === undefined || oldest.until > now) return
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await tickets.discard(oldest)
    }
  }

  return {
    async add({ id, owner, data, lifetime, limit }) {
      await tickets.put(names.ticket(id, owner), lifetime, data)
      const own = await tickets.get(names.ticket(id, owner))
      if (own === undefined) throw new Error('NATS: the ticket was taken away at once')
      const twins = await tickets.subjects(names.ticket(id, '*'))
      const isFirst = twins.length <= 1
      if (isFirst && (await isRoom(own, owner, limit))) {
        await sweep(own.storedAt)
        return true
      }
      await tickets.discard(own)
      if (!isFirst) throw new Error('NATS: there is such a ticket already')
      return false
    },

    async take(id) {
      const kept = await tickets.get(names.ticket(id, '*'))
      if (kept === undefined) return undefined
      const [isMine, now] = await Promise.all([tickets.clear(names.ticket(id, '*')), clock.now()])
      return isMine && now < kept.until ? kept.data : undefined
    },
  }
}
