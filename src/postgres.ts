import { Gate101Error } from './core/errors.ts'
import type { ClusterEngine, Durability } from './cluster/engine.ts'
import type { Driver } from './cluster/postgres/driver.ts'
import { postgresEngine } from './cluster/postgres/engine.ts'
import { pgDriver, type PgPool } from './cluster/postgres/pg.ts'
import { postgresJsDriver, type PostgresSql } from './cluster/postgres/postgres-js.ts'
import { schemaSql } from './cluster/postgres/schema.ts'
import { checkNames } from './gate/check-names.ts'

export type { ClusterEngine, Durability } from './cluster/engine.ts'
export type { PgPool, PgSession } from './cluster/postgres/pg.ts'
export type { PostgresSql } from './cluster/postgres/postgres-js.ts'

/** Where the tables are. */
export interface PostgresSchemaOptions {
  /** A schema of the database, for these tables alone: a letter or `_`, then letters, digits and `_`. @defaultValue 'gate101' */
  readonly schema?: string
}

/** Options of {@link postgresCluster}. */
export interface PostgresClusterOptions extends PostgresSchemaOptions {
  /** Names the cluster: gates of the same prefix, schema and database are nodes of one. @defaultValue 'gate101' */
  readonly prefix?: string
  /**
   * What a revocation must survive: `disk` a crash of the server, `replicated` the loss of its machine. A server that keeps less is
   * refused at start.
   *
   * @defaultValue 'disk'
   */
  readonly durable?: Durability
}

/**
 * Gates of several processes as one cluster, through a PostgreSQL (13 or later) that your app has already.
 *
 * Makes its tables at start where they are missing and the role may; else the error says what to run. Keeps one session
 * open for LISTEN: one more connection than your app needs, and a direct one. It never ends the client; end it after `gate.close()`.
 *
 * @param client - a `Pool` of pg 8 with room for 2 connections or more, or the `sql` of postgres 3.
 * @throws Gate101Error `GATE101_CONFIG` for another client, unknown names and wrong types.
 * @example
 * ```ts
 * const gate = createGate({ identify, secret, cluster: postgresCluster(new Pool({ connectionString })) })
 * ```
 */
export function postgresCluster(client: PgPool | PostgresSql, options: PostgresClusterOptions = {}): ClusterEngine {
  checkNames('postgresCluster', options, ['prefix', 'durable', 'schema'])
  const { prefix = 'gate101', durable = 'disk' } = options
  if (typeof prefix !== 'string') throw config('postgresCluster', 'prefix must be a string.')
  if (!['memory', 'disk', 'replicated'].includes(durable))
    throw config('postgresCluster', `durable must be 'memory', 'disk' or 'replicated'.`)
  return postgresEngine(driverOf(client), { prefix, durable, schema: schemaOf('postgresCluster', options) })
}

/**
 * The tables as SQL, for your migrations, where the app's role may not make tables.
 *
 * @throws Gate101Error `GATE101_CONFIG` for unknown names and wrong types.
 * @example
 * ```ts
 * await writeFile('migrations/gate101.sql', postgresSchema())
 * ```
 */
export function postgresSchema(options: PostgresSchemaOptions = {}): string {
  checkNames('postgresSchema', options, ['schema'])
  return schemaSql(schemaOf('postgresSchema', options))
}

function schemaOf(where: string, { schema = 'gate101' }: PostgresSchemaOptions): string {
  if (typeof schema === 'string' && /^[A-Za-z_]\w{0,62}$/.test(schema)) return schema
  throw config(where, 'schema must be a letter or _, then at most 62 letters, digits and _.')
}

function driverOf(client: PgPool | PostgresSql): Driver {
  const given: unknown = client
  if (has<PostgresSql>(given, 'unsafe', 'listen')) return postgresJsDriver(given)
  if (!has<PgPool>(given, 'connect') || typeof given.totalCount !== 'number')
    throw config('postgresCluster', 'the client must be a Pool of pg, or the sql of postgres.')
  if ((given.options?.max ?? 2) < 2)
    throw config('postgresCluster', 'the pool must have room for 2 connections or more: one is kept to listen.')
  return pgDriver(given)
}

function has<Client>(given: unknown, ...names: readonly (keyof Client)[]): given is Client {
  if ((typeof given !== 'object' && typeof given !== 'function') || given === null) return false
  return names.every((name) => typeof (given as Client)[name] === 'function')
}

function config(where: string, message: string): Gate101Error {
  return new Gate101Error('GATE101_CONFIG', `${where}: ${message}`)
}
