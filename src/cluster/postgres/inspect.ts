import { Gate101Error } from '../../core/errors.ts'
import type { Durability } from '../engine.ts'
import { DatabaseError, type Driver, type Row } from './driver.ts'
import { createSql, DURABLE_TABLES, TABLES } from './schema.ts'

/** What the engine is to be. */
export interface Wanted {
  readonly schema: string
  readonly durable: Durability
}

const OLDEST = 13
const NO_RIGHT = '42501'
const NO_COLUMN = '42703'

const config = (message: string): Gate101Error => new Gate101Error('GATE101_CONFIG', `postgresCluster: ${message}`)

/**
 * Finds out what the server is, and makes the tables where there are none.
 *
 * @throws Gate101Error `GATE101_CONFIG`
 */
export async function inspect(driver: Driver, wanted: Wanted): Promise<Durability> {
  try {
    const durable = judge(await one(driver, SERVER), wanted.durable)
    const tables = tablesOf(wanted.schema)
    if ((await one(driver, tables))[0] !== '') await create(driver, wanted.schema)
    judgeTables(await one(driver, tables), wanted)
    return durable
  } catch (error) {
    if (error instanceof DatabaseError && error.code === NO_RIGHT)
      throw config(`${error.message}. ${byHand(wanted.schema)}`)
    throw error
  }
}

/** Tables of the same names may be somebody else's, or those of another version. */
export function advise({ schema }: Wanted): (error: unknown) => never {
  return (error) => {
    if (!(error instanceof DatabaseError) || error.code !== NO_COLUMN) throw error
    throw config(`the tables of the schema "${schema}" have other columns. Choose another one: { schema: '…' }.`)
  }
}

async function one(driver: Driver, text: string): Promise<Row> {
  const [row] = await driver.run(text)
  if (row === undefined) throw new Error('PostgreSQL: an empty answer')
  return row
}

async function create(driver: Driver, schema: string): Promise<void> {
  await driver.run(createSql(schema))
}

function byHand(schema: string): string {
  return `Let a role that may run what postgresSchema() gives, then: GRANT USAGE ON SCHEMA "${schema}" TO <role>; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "${schema}" TO <role>`
}

const SERVER = `SELECT current_setting('server_version_num') AS version, pg_is_in_recovery()::text AS standby,
  current_setting('transaction_read_only') AS readonly, current_setting('fsync') AS fsync,
  current_setting('synchronous_standby_names') AS standbys`

function judge([version, standby, readOnly, fsync, standbys]: Row, wanted: Durability): Durability {
  if (Number(version) < OLDEST * 10_000) throw config(`PostgreSQL ${OLDEST} or later is needed.`)
  if (standby === 'true') throw config('this server is a standby. Connect to the primary.')
  if (readOnly === 'on') throw config('transactions are read-only here. Set default_transaction_read_only = off.')
  if (wanted === 'memory') return fsync === 'on' ? 'disk' : 'memory'
  if (fsync !== 'on') throw config(`a crash loses what was written. Set fsync = on, or say { durable: 'memory' }.`)
  if (wanted === 'disk') return 'disk'
  if (standbys === '')
    throw config(`no standby has what was written. Set synchronous_standby_names, or say { durable: 'disk' }.`)
  return 'replicated'
}

const RIGHTS = ['SELECT', 'INSERT', 'UPDATE', 'DELETE']

/** Three lists of tables: those that are not there, that a crash empties, that we may not use. */
function tablesOf(schema: string): string {
  const may = RIGHTS.map((right) => `has_table_privilege(c.oid, '${right}')`).join(' AND ')
  const list = (which: string): string => `coalesce(string_agg(t.name, ', ') FILTER (WHERE ${which}), '')`
  return `SELECT ${list('c.oid IS NULL')} AS missing, ${list(`c.relpersistence <> 'p'`)} AS unlogged,
  ${list(`NOT (${may} AND has_schema_privilege(n.oid, 'USAGE'))`)} AS closed
FROM unnest(string_to_array('${TABLES.join(',')}', ',')) AS t (name)
LEFT JOIN pg_namespace n ON n.nspname = '${schema}'
LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.name`
}

function judgeTables([missing, unlogged, closed]: Row, { schema, durable }: Wanted): void {
  if (missing !== '') throw config(`there is no table ${missing} in the schema "${schema}". ${byHand(schema)}`)
  if (closed !== '')
    throw config(`this role may not use the tables ${closed} of the schema "${schema}". ${byHand(schema)}`)
  const lossy = (unlogged ?? '').split(', ').filter((table) => DURABLE_TABLES.includes(table))
  if (lossy.length > 0 && durable !== 'memory')
    throw config(`a crash empties the tables ${lossy.join(', ')}. Run ALTER TABLE "${schema}".${lossy[0]} SET LOGGED.`)
}
