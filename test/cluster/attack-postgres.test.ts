import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { Pool } from 'pg'
import { Gate101Error } from '../../src/core/errors.ts'
import { postgresCluster } from '../../src/postgres.ts'
import { skipWithout } from '../support/debian.ts'
import { findPostgres, PostgresServer } from '../support/engines-postgres.ts'

const skip = skipWithout(findPostgres())
const nothing = (): void => undefined

describe('postgres', { skip, timeout: 60_000 }, () => {
  let server: PostgresServer
  let owner: Pool

  before(async () => {
    server = await PostgresServer.start()
    owner = server.pool()
  })

  after(async () => {
    await server?.stop()
  })

  /** A setting of the server, until it holds. */
  async function set(change: string, value: string): Promise<void> {
    await owner.query(`ALTER SYSTEM ${change}`)
    await owner.query('SELECT pg_reload_conf()')
    for (;;) {
      const { rows } = await owner.query<{ synchronous_standby_names: string }>('SHOW synchronous_standby_names')
      if (rows[0]?.synchronous_standby_names === value) return
    }
  }

  it('tables of these names with other columns are refused at start', async () => {
    const tables = ['heads', 'entries', 'reports', 'places', 'tickets']
    await owner.query(`CREATE SCHEMA other; ${tables.map((name) => `CREATE TABLE other.${name} (a int)`).join('; ')}`)
    const engine = postgresCluster(server.pool(), { schema: 'other' })
    const opened = await engine.open(nothing, nothing).catch((error: unknown) => error)
    await engine.close()
    assert.ok(opened instanceof Gate101Error, 'it is opened')
  })

  it('a server without its standbys does not say what the log is where a standby was to confirm all', async () => {
    const first = postgresCluster(server.pool())
    await first.open(nothing, nothing)
    await first.read(0, 1)
    await first.close()
    const left = postgresCluster(server.pool(), { durable: 'replicated' })
    async function ask(): Promise<object | undefined> {
      await left.open(nothing, nothing)
      return await left.read(0, 1)
    }
    try {
      await set(`SET synchronous_standby_names = '*'`, '*')
      const late = new Promise<undefined>((resolve) => void setTimeout(() => resolve(undefined), 500))
      assert.equal(await Promise.race([ask().catch(() => undefined), late]), undefined)
    } finally {
      await set('RESET synchronous_standby_names', '')
      await left.close()
    }
  })

  it('what somebody writes into the head of the log is healed by beginning anew', async () => {
    const engine = postgresCluster(server.pool(), { prefix: 'healed' })
    await engine.open(nothing, nothing)
    for (const what of [`last = 9223372036854775807`, `floor = 77`, `begun_at = '4000-01-01 BC'`]) {
      const { generation } = await engine.read(0, 1)
      await owner.query(`UPDATE gate101.heads SET ${what} WHERE generation = $1`, [generation])
      await engine.restart(generation)
      const { floor, last, age } = await engine.read(0, 1)
      assert.deepEqual([floor, last, age < 60_000], [0, 0, true])
    }
    await engine.close()
  })
})
