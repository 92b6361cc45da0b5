import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import type { Client, Pool } from 'pg'
import type { ClusterEngine } from '../../src/cluster/engine.ts'
import { fromPayload, toPayload } from '../../src/cluster/postgres/payload.ts'
import { storeOf } from '../../src/cluster/postgres/store.ts'
import { Gate101Error } from '../../src/core/errors.ts'
import { postgresCluster, type PostgresClusterOptions } from '../../src/postgres.ts'
import { skipWithout } from '../support/debian.ts'
import { findPostgres, PostgresServer } from '../support/engines-postgres.ts'

const skip = skipWithout(findPostgres())

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const nothing = (): void => undefined

/** Nothing tells when a server is back, or when a statement waits: it is asked again and again. */
async function until<T>(check: () => Promise<T | false | undefined>): Promise<T> {
  for (;;) {
    const found = await check().catch(() => undefined)
    if (found !== undefined && found !== false) return found
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

const isConfig =
  (message: RegExp) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof Gate101Error, String(error))
    assert.equal(error.code, 'GATE101_CONFIG')
    assert.match(error.message, message)
    return true
  }

const CLIENTS = {
  pg: (server: PostgresServer, options?: PostgresClusterOptions) => postgresCluster(server.pool(), options),
  postgres: (server: PostgresServer, options?: PostgresClusterOptions) => postgresCluster(server.sql(), options),
}

describe('postgres, one server', { skip, timeout: 120_000 }, () => {
  let server: PostgresServer
  let owner: Pool
  let opened: ClusterEngine[] = []
  let prefixes = 0

  before(async () => {
    server = await PostgresServer.start({ settings: { wal_writer_delay: '10s' } })
    owner = server.pool()
  })

  after(async () => {
    await server?.stop()
  })

  async function open(engine: ClusterEngine, hear: (data: Uint8Array) => void = nothing, wake = nothing) {
    opened.push(engine)
    await engine.open(hear, wake)
    return engine
  }

  const that = (what: string, check: (options: { prefix: string }) => Promise<void>): void => {
    test(what, async () => {
      try {
        await check({ prefix: `own${(prefixes += 1)}` })
      } finally {
        for (const engine of opened) await engine.close()
        opened = []
      }
    })
  }

  /** Resolves as soon as so many sessions wait for a lock. */
  async function waiting(count: number): Promise<void> {
    await until(async () => {
      const { rows } = await owner.query(
        `SELECT count(*)::int AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock'`,
      )
      return rows[0].n >= count
    })
  }

  async function readOnly(is: boolean): Promise<void> {
    const pool = server.pool({ options: '-c default_transaction_read_only=off', max: 1 })
    await pool.query(`ALTER SYSTEM SET default_transaction_read_only = ${is}`)
    await pool.query('SELECT pg_reload_conf()')
  }

  /** An append in the middle: what it has done is not committed. */
  async function unfinished(client: Client, generation: string): Promise<void> {
    await client.query('BEGIN')
    await client.query(
      `WITH head AS (UPDATE gate101.heads SET last = last + 1 WHERE generation = '${generation}' RETURNING *)
       INSERT INTO gate101.entries SELECT prefix, generation, last, 'slow'::bytea FROM head`,
    )
  }

  that('an append waits for the one that has begun before it, and comes after it', async (options) => {
    const one = await open(CLIENTS.pg(server, options))
    const two = await open(CLIENTS.postgres(server, options))
    const { generation } = await one.read(0, 1)
    for (const [end, numbers] of [
      ['COMMIT', [1, 2, 3]],
      ['ROLLBACK', [1, 2, 3, 4, 5]],
    ] as const) {
      const slow = await owner.connect()
      await unfinished(slow, generation)
      const before = (await two.read(0, 10)).last
      const appends = Promise.all([one.append(generation, bytes('a')), two.append(generation, bytes('b'))])
      await waiting(2)
      assert.equal((await two.read(0, 10)).last, before)
      await slow.query(end)
      slow.release()
      const given = await appends
      const page = await one.read(0, 10)
      assert.deepEqual(
        page.entries.map(({ seq }) => seq),
        numbers,
      )
      assert.equal(page.last, numbers.at(-1))
      assert.deepEqual(given.toSorted(), numbers.slice(-2))
    }
  })

  that('an append that has waited for a restart is not done', async (options) => {
    const one = await open(CLIENTS.pg(server, options))
    const { generation } = await one.read(0, 1)
    const slow = await owner.connect()
    await slow.query('BEGIN')
    await slow.query(`UPDATE gate101.heads SET generation = 'next', last = 0 WHERE generation = '${generation}'`)
    const append = one.append(generation, bytes('late'))
    await waiting(1)
    await slow.query('COMMIT')
    slow.release()
    assert.equal(await append, undefined)
    const { entries, last, generation: next } = await one.read(0, 10)
    assert.deepEqual([entries, last, next], [[], 0, 'next'])
  })

  that('a restart takes away what was appended while it waited', async (options) => {
    const one = await open(CLIENTS.pg(server, options))
    const { generation } = await one.read(0, 1)
    const slow = await owner.connect()
    await unfinished(slow, generation)
    const restart = one.restart(generation)
    await waiting(1)
    await slow.query('COMMIT')
    slow.release()
    await restart
    const { rows } = await owner.query('SELECT FROM gate101.entries WHERE generation = $1', [generation])
    assert.equal(rows.length, 0)
    assert.equal((await one.read(0, 10)).last, 0)
  })

  that('nobody waits for a lock for ever', async (options) => {
    const one = await open(CLIENTS.pg(server, options))
    const { generation } = await one.read(0, 1)
    const slow = await owner.connect()
    await unfinished(slow, generation)
    await assert.rejects(one.append(generation, bytes('late')), /lock timeout \(55P03\)/)
    await slow.query('ROLLBACK')
    slow.release()
    assert.equal(await one.append(generation, bytes('first')), 1)
  })

  that('who enters waits for the one before, and counts it', async (options) => {
    const one = await open(CLIENTS.postgres(server, options))
    const store = storeOf('gate101', options.prefix)
    const slow = await owner.connect()
    const owned = { id: 'i'.repeat(43), owner: 'o'.repeat(43), data: bytes('t'), lifetime: 60_000, limit: 1 }
    const over = `clock_timestamp() + interval '1 minute'`
    const cases = [
      ['place:k', `places VALUES (${store.prefix}, 'k', 'first', ${over})`],
      [`owner:${owned.owner}`, `tickets VALUES (${store.prefix}, 'first', '${owned.owner}', '', ${over})`],
    ] as const
    for (const [lock, insert] of cases) {
      await slow.query('BEGIN')
      await slow.query(`SELECT pg_advisory_xact_lock(${store.lock(lock)})`)
      await slow.query(`INSERT INTO gate101.${insert}`)
      const second = lock.startsWith('place') ? one.enter({ key: 'k', id: 'i' }, 60_000, 1) : one.tickets.add(owned)
      await Promise.race([waiting(1), second])
      await slow.query('COMMIT')
      assert.equal(await second, false, lock)
    }
    slow.release()
  })

  that('places are locked in one order, however they are given', async (options) => {
    const one = await open(CLIENTS.pg(server, options))
    const places = ['c', 'b', 'a'].map((id) => ({ key: 'k', id }))
    for (const change of [async () => await one.keep(places, 60_000), async () => await one.leave(places)]) {
      await one.keep(places, 60_000)
      const slow = await owner.connect()
      await slow.query('BEGIN')
      const lock = `SELECT FROM gate101.places WHERE prefix = ${storeOf('gate101', options.prefix).prefix} AND id =`
      await slow.query(`${lock} 'a' FOR UPDATE`)
      const changed = change()
      await waiting(1)
      for (const id of ['b', 'c']) assert.equal((await slow.query(`${lock} '${id}' FOR UPDATE NOWAIT`)).rowCount, 1)
      await slow.query('COMMIT')
      slow.release()
      await changed
    }
  })

  that('what is over is swept, whosever it was', async (options) => {
    const left = await open(CLIENTS.pg(server, options))
    const store = storeOf('gate101', options.prefix)
    const count = async (table: string): Promise<number> => {
      const { rows } = await owner.query(
        `SELECT count(*)::int AS n FROM gate101.${table} WHERE prefix = ${store.prefix}`,
      )
      return rows[0].n
    }
    await left.report('gone', bytes('x'), 1)
    await left.keep([{ key: 'k', id: 'gone' }], 1)
    await left.tickets.add({ id: 'gone', owner: 'o', data: bytes('x'), lifetime: 1, limit: 1 })
    await left.keep([{ key: 'k', id: 'here' }], 60_000)
    const other = await open(CLIENTS.pg(server, { prefix: `${options.prefix}-other` }))
    await other.report('node', bytes('x'), 60_000)
    await other.tickets.add({ id: 'i', owner: 'o', data: bytes('x'), lifetime: 60_000, limit: 1 })
    assert.deepEqual([await count('reports'), await count('places'), await count('tickets')], [0, 1, 0])
  })

  that('whatever the isolation that a session begins with, what crosses waits and does not fail', async (options) => {
    const serializable = { default_transaction_isolation: 'serializable' as const }
    const all = [
      await open(postgresCluster(server.sql({ connection: serializable }), options)),
      await open(postgresCluster(server.pool({ options: '-c default_transaction_isolation=serializable' }), options)),
    ] as const
    const { generation } = await all[0].read(0, 1)
    const each = Array.from({ length: 20 }, (_, n) => n)
    const seqs = await Promise.all(each.map((n) => all[n % 2]!.append(generation, bytes(`e${n}`))))
    assert.deepEqual(
      seqs.toSorted((a, b) => a! - b!),
      each.map((n) => n + 1),
    )
    const entered = await Promise.all(each.map((n) => all[n % 2]!.enter({ key: 'k', id: `n${n}` }, 60_000, 7)))
    assert.equal(entered.filter(Boolean).length, 7)
  })

  that('many keep and leave the same places at a time', async (options) => {
    const one = await open(CLIENTS.pg(server, options))
    const places = Array.from({ length: 200 }, (_, n) => ({ key: `k${n % 7}`, id: `i${n}` }))
    await Promise.all(
      Array.from({ length: 12 }, async (_, n) => {
        const mixed = places.toSorted((a, b) => ((a.id.length * 7 + n) % 5) - ((b.id.length + n) % 3))
        await (n % 3 === 0 ? one.leave(mixed) : one.keep([...mixed, ...mixed], 60_000))
      }),
    )
  })

  that('an append is on the disk when it resolves, also where sessions do not wait for it', async (options) => {
    const pool = server.pool({ options: '-c synchronous_commit=off' })
    const one = await open(postgresCluster(pool, options))
    const { generation } = await one.read(0, 1)
    const { rows } = await owner.query('SELECT pg_current_wal_insert_lsn() AS lsn')
    const written = async (): Promise<number> => {
      const flushed = await owner.query('SELECT pg_current_wal_flush_lsn() - $1::pg_lsn AS n', [rows[0].lsn])
      return Number(flushed.rows[0].n)
    }
    const data = randomBytes(8192)
    await one.append(generation, data)
    assert.ok((await written()) > 8192)
  })

  that('an append that fails leaves nothing behind, and the next one goes on', async (options) => {
    const one = await open(CLIENTS.pg(server, options))
    const { generation } = await one.read(0, 1)
    assert.equal(await one.append(generation, bytes('before')), 1)
    const change = async (how: string): Promise<unknown> => await owner.query(how)
    await change('ALTER TABLE gate101.entries ADD CONSTRAINT no_room CHECK (false) NOT VALID')
    await assert.rejects(one.append(generation, bytes('full')), /23514/)
    await change('ALTER TABLE gate101.entries DROP CONSTRAINT no_room')
    const page = await one.read(0, 10)
    assert.deepEqual([page.last, page.entries.length], [1, 1])
    assert.equal(await one.append(generation, bytes('after')), 2)
  })

  that('a server that has become read-only rejects, and reads', async (options) => {
    const one = await open(CLIENTS.pg(server, options))
    const { generation } = await one.read(0, 1)
    await readOnly(true)
    try {
      await until(
        async () =>
          await one.append(generation, bytes('x')).then(
            () => undefined,
            () => true,
          ),
      )
      await assert.rejects(one.append(generation, bytes('no')), /read-only transaction \(25006\)/)
      await assert.rejects(one.enter({ key: 'k', id: 'i' }, 1000, 1))
      const { last } = await one.read(0, 1000)
      assert.equal((await one.read(0, 1000)).last, last)
      await assert.rejects(CLIENTS.postgres(server, options).open(nothing, nothing), isConfig(/read-only/))
    } finally {
      await readOnly(false)
    }
    await until(async () => await one.append(generation, bytes('again')))
  })
})

test('a message is one notification', () => {
  for (const length of [0, 1, 2, 3, 4, 5, 6143, 6144]) {
    for (const data of [randomBytes(length), Buffer.alloc(length, 0xff), Buffer.alloc(length)]) {
      const payload = toPayload(data)
      assert.ok(payload.length < 8000, `${payload.length}`)
      assert.match(payload, /^[^'"\\\s]*$/)
      assert.deepEqual(Buffer.from(fromPayload(payload)!), data)
    }
  }
  for (const wrong of ['', 'w', '4', '1', '0abcd', '0abcdef', "0abcd'", '0#####', '9abcde', '0äbcde'])
    assert.equal(fromPayload(wrong), undefined, wrong)
})
