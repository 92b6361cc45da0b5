import { randomBytes } from 'node:crypto'
import type { Durability, LogPage } from '../engine.ts'
import { DatabaseError, type Driver, type Row } from './driver.ts'
import { WAKE } from './payload.ts'
import { createSql } from './schema.ts'
import { BEGIN, bytes, whole, word } from './sql.ts'
import type { Store } from './store.ts'

/** Changes when a standby becomes the server, or a backup is played back. Fails on a standby: it may be behind. */
const TIMELINE = 'substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)'

/** Entries are of 32 KiB at most; what is longer nobody can read in any case. */
const MOST_BYTES = 32 * 1024 + 1

/**
 * Something that is written: a server that its standbys have left behind waits with it for ever, and does not answer what it does not
 * know any more.
 */
const TRACE = `SELECT pg_logical_emit_message(true, 'gate101', ''); `

/**
 * The log of one prefix: a row that counts, and the entries. The row is locked from the count to the commit, so that numbers
 * are in the order of commit.
 */
export class Log {
  readonly #driver: Driver
  readonly #store: Store
  readonly #begin: string
  readonly #isReplicated: boolean
  readonly #trace: string

  constructor(driver: Driver, store: Store, durable: Durability) {
    this.#driver = driver
    this.#store = store
    this.#isReplicated = durable === 'replicated'
    this.#begin = BEGIN + (this.#isReplicated ? flushing(['off', 'local'], 'on') : flushing(['off'], 'local'))
    this.#trace = this.#isReplicated ? `${this.#begin}SELECT ${TIMELINE}; ${TRACE}` : ''
  }

  async append(generation: string, data: Uint8Array): Promise<number | undefined> {
    const { schema, prefix, channel } = this.#store
    const [row] = await this.#driver.run(
      `${this.#begin}${this.#make()}
WITH head AS (
  UPDATE ${schema}heads SET last = last + 1
  WHERE prefix = ${prefix} AND generation = ${word(generation)} AND ${this.#holds('heads')} RETURNING last
), entry AS (
  INSERT INTO ${schema}entries (prefix, generation, seq, data)
  SELECT ${prefix}, ${word(generation)}, last, ${bytes(data)} FROM head RETURNING seq
)
SELECT seq::text, pg_notify('${channel}', '${WAKE}')::text FROM entry`,
    )
    return row === undefined ? undefined : Number(row[0])
  }

  /** Rejects where the tables are none of ours. */
  async check(): Promise<void> {
    await this.#driver.run(this.#page(0, 1)).catch(noneIfMissing)
  }

  async read(after: number, limit: number): Promise<LogPage> {
    const text = `${this.#trace}${this.#page(after, limit)}`
    let rows = await this.#driver.run(text).catch(noneIfMissing)
    if (rows === undefined) await this.#driver.run(createSql(this.#store.name))
    if (rows === undefined || rows.length === 0) {
      await this.#driver.run(`${this.#begin}${this.#make()}`)
      rows = await this.#driver.run(text)
    }
    return toPage(rows)
  }

  async trim(generation: string, upTo: number): Promise<void> {
    const { schema, prefix } = this.#store
    await this.#driver.run(
      `${BEGIN}UPDATE ${schema}heads SET floor = greatest(floor, least(${whole(upTo)}, last))
WHERE prefix = ${prefix} AND generation = ${word(generation)};
DELETE FROM ${schema}entries e USING ${schema}heads h
WHERE h.prefix = ${prefix} AND e.prefix = h.prefix AND e.generation = h.generation AND e.seq <= h.floor;
${this.#clear()}`,
    )
  }

  async restart(generation: string): Promise<void> {
    const { schema, prefix } = this.#store
    await this.#driver.run(
      `${this.#begin}UPDATE ${schema}heads
SET generation = ${random()}, timeline = ${TIMELINE}, last = 0, floor = 0, begun_at = clock_timestamp()
WHERE prefix = ${prefix} AND generation = ${word(generation)};
${this.#clear()}`,
    )
  }

  /** A generation where there is none, or none that still holds; without an effect, and without a lock, where there is one. */
  #make(): string {
    const { schema, prefix } = this.#store
    return `INSERT INTO ${schema}heads (prefix, generation, timeline, last, floor, begun_at)
SELECT ${prefix}, ${random()}, ${TIMELINE}, 0, 0, clock_timestamp()
WHERE NOT EXISTS (SELECT FROM ${schema}heads WHERE prefix = ${prefix} AND ${this.#holds('heads')})
ON CONFLICT (prefix) DO UPDATE SET generation = excluded.generation, timeline = excluded.timeline,
  last = 0, floor = 0, begun_at = excluded.begun_at WHERE NOT ${this.#holds('heads')};`
  }

  /** What only one disk was to keep is not surely on a server that has taken over. */
  #holds(head: string): string {
    return this.#isReplicated ? `(${TIMELINE} IS NOT NULL)` : `(${head}.timeline = ${TIMELINE})`
  }

  /** What is left of other generations. A statement of its own: it sees what has been committed while the one before waited. */
  #clear(): string {
    const { schema, prefix } = this.#store
    return `DELETE FROM ${schema}entries WHERE prefix = ${prefix}
AND generation <> (SELECT generation FROM ${schema}heads WHERE prefix = ${prefix});`
  }

  #page(after: number, limit: number): string {
    const { schema, prefix } = this.#store
    return `SELECT h.generation::text, (extract(epoch FROM clock_timestamp() - h.begun_at) * 1000)::bigint::text AS age,
  h.floor::text, h.last::text, e.seq::text, encode(e.data, 'hex') AS data
FROM ${schema}heads h LEFT JOIN LATERAL (
  SELECT seq, substr(data, 1, ${MOST_BYTES}) AS data FROM ${schema}entries WHERE prefix = h.prefix AND generation = h.generation
  AND seq > greatest(${whole(after)}, h.floor) AND seq <= h.last ORDER BY seq LIMIT ${whole(limit)}
) e ON true
WHERE h.prefix = ${prefix} AND ${this.#holds('h')} ORDER BY e.seq`
  }
}

/** A commit waits for the disk, or the standby, whatever the session's default is; where it waits for more, it still does. */
function flushing(weaker: readonly string[], level: string): string {
  const current = `current_setting('synchronous_commit')`
  const list = weaker.map((one) => `'${one}'`).join(', ')
  return `SELECT set_config('synchronous_commit', CASE WHEN ${current} IN (${list}) THEN '${level}' ELSE ${current} END, true); `
}

/** The server may have come back without its tables. */
function noneIfMissing(error: unknown): undefined {
  const isMissing = error instanceof DatabaseError && ['42P01', '3F000'].includes(error.code)
  if (!isMissing) throw error
}

function random(): string {
  return word(randomBytes(16).toString('base64url'))
}

function toPage(rows: readonly Row[]): LogPage {
  const [generation, age, floor, last] = rows[0] ?? []
  if (typeof generation !== 'string') throw new Error('PostgreSQL: the log was taken away in the middle')
  return {
    generation,
    age: Math.max(0, Number(age)),
    floor: Number(floor),
    last: Number(last),
    entries: rows.flatMap(([, , , , seq, data]) =>
      typeof seq === 'string' ? [{ seq: Number(seq), data: Buffer.from(data ?? '', 'hex') }] : [],
    ),
  }
}
