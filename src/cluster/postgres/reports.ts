import type { Report } from '../engine.ts'
import type { Driver } from './driver.ts'
import { after, BEGIN, bytes, word } from './sql.ts'
import type { Store } from './store.ts'

export interface Reports {
  report(node: string, data: Uint8Array, ttl: number): Promise<void>
  reports(): Promise<readonly Report[]>
}

const SWEEP_MS = 60_000
const HOUR_MS = 60 * 60_000

export function reportsOf(driver: Driver, { schema, prefix }: Store): Reports {
  let swept = Number.NEGATIVE_INFINITY

  /** Every node reports now and then: a good time for what nobody has taken away. */
  function sweeping(): string {
    const now = performance.now()
    if (now - swept < SWEEP_MS) return ''
    swept = now
    return `${sweep(schema, 'reports', 'node', 1000)}; ${sweep(schema, 'places', 'key, id', 10_000)}; `
  }

  return {
    async report(node, data, ttl) {
      const statement =
        data.length === 0
          ? `DELETE FROM ${schema}reports WHERE prefix = ${prefix} AND node = ${word(node)}`
          : `INSERT INTO ${schema}reports (prefix, node, data, expires_at)
VALUES (${prefix}, ${word(node)}, ${bytes(data)}, ${after(ttl)})
ON CONFLICT (prefix, node) DO UPDATE SET data = excluded.data, expires_at = excluded.expires_at`
      await driver.run(`${BEGIN}${sweeping()}${statement}`)
    },

    async reports() {
      const rows = await driver.run(
        // One that is to stay for longer than an hour none of the nodes has made.
        `SELECT node::text, encode(data, 'hex') AS data FROM ${schema}reports
WHERE prefix = ${prefix} AND expires_at > clock_timestamp() AND expires_at < ${after(HOUR_MS)} ORDER BY node`,
      )
      return rows.map(([node, data]) => ({ node: node ?? '', data: Buffer.from(data ?? '', 'hex') }))
    },
  }
}

/** Takes away some that are over, of any prefix; leaves alone what somebody is at. */
export function sweep(schema: string, table: string, key: string, most: number): string {
  return `DELETE FROM ${schema}${table} WHERE (prefix, ${key}) IN (SELECT prefix, ${key} FROM ${schema}${table}
WHERE expires_at <= clock_timestamp() LIMIT ${most} FOR UPDATE SKIP LOCKED) AND expires_at <= clock_timestamp()`
}
