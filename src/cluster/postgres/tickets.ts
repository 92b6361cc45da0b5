import type { TicketStore } from '../../core/ticket-store.ts'
import type { Driver } from './driver.ts'
import { sweep } from './reports.ts'
import { after, BEGIN, bytes, whole, word } from './sql.ts'
import type { Store } from './store.ts'

export function ticketsOf(driver: Driver, { schema, prefix, lock }: Store): TicketStore {
  return {
    async add({ id, owner, data, lifetime, limit }) {
      const rows = await driver.run(
        `${BEGIN}SELECT pg_advisory_xact_lock(${lock(`owner:${owner}`)}); ${sweep(schema, 'tickets', 'id', 20)};
INSERT INTO ${schema}tickets (prefix, id, owner, data, expires_at)
SELECT ${prefix}, ${word(id)}, ${word(owner)}, ${bytes(data)}, ${after(lifetime)}
WHERE (SELECT count(*) FROM ${schema}tickets
  WHERE prefix = ${prefix} AND owner = ${word(owner)} AND expires_at > clock_timestamp()) < ${whole(limit)}
RETURNING id`,
      )
      return rows.length > 0
    },

    async take(id) {
      const [row] = await driver.run(
        `${BEGIN}DELETE FROM ${schema}tickets WHERE prefix = ${prefix} AND id = ${word(id)}
AND expires_at > clock_timestamp() RETURNING encode(data, 'hex') AS data`,
      )
      return row === undefined ? undefined : Buffer.from(row[0] ?? '', 'hex')
    },
  }
}
