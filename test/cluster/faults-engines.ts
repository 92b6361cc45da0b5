import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { spawn } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Pool } from 'pg'
import type { Program } from '../support/debian.ts'
import { findNats, NatsServer, operate, streamsOf } from '../support/engines-nats.ts'
import { findPostgres, PostgresServer } from '../support/engines-postgres.ts'
import { findRedis, RedisServer } from '../support/engines-redis.ts'
import { until } from './faults-world.ts'

/** A server that an engine of the cluster is on, and what can happen to it. */
export interface Faulty {
  readonly name: 'postgres' | 'redis' | 'nats'
  /** Where it is; another place after a failover. */
  readonly port: number
  /** `kill -9`. */
  kill(): Promise<void>
  restart(): Promise<void>
  /** While it is dead: takes all away. */
  wipe(): Promise<void>
  /** It is full, or read-only: what is open stays so. @returns what ends that. */
  refuseWrites?(): Promise<() => Promise<void>>
  /** Takes one entry out of the log: the newest one, or one that so many have come after. */
  lose(after: number): Promise<void>
  /** From now on there is one that falls behind. @returns what makes that one the server. */
  fallBehind(): Promise<() => Promise<void>>
  /** Takes away who has said that they are there: as a restart does where that is kept in memory. */
  forgetReports?(): Promise<void>
  /** A transaction that has taken the next number, and is not committed. */
  holdNumber?(): Promise<{ commit(): Promise<void>; rollback(): Promise<void> }>
  stop(): Promise<void>
}

export interface FaultyKind {
  readonly name: Faulty['name']
  readonly found: Program
  start(): Promise<Faulty>
}

/** A copy of a directory, with owners and rights. */
class Copies {
  readonly #home = mkdtempSync(join(tmpdir(), 'gate101-faults-'))

  async keep(name: string, from: string): Promise<void> {
    await this.#copy(from, join(this.#home, name))
  }

  async giveBack(name: string, to: string): Promise<void> {
    await this.#copy(join(this.#home, name), to)
  }

  stop(): void {
    rmSync(this.#home, { recursive: true, force: true })
  }

  path(name: string): string {
    return join(this.#home, name)
  }

  /** Not at once: others are waited for meanwhile, with the time they take. */
  async #copy(from: string, to: string): Promise<void> {
    await rm(to, { recursive: true, force: true })
    const [code] = (await once(spawn('cp', ['-a', from, to], { stdio: 'inherit' }), 'exit')) as [number]
    if (code !== 0) throw new Error(`cp has failed: ${code}`)
  }
}

async function startPostgres(): Promise<Faulty> {
  const server = await PostgresServer.start()
  // What is changed for the nodes is not changed for who changes it.
  const admin = new Pool({ connectionString: server.url(), max: 2, options: '-c default_transaction_read_only=off' })
  admin.on('error', () => undefined)
  const copies = new Copies()
  const { rows } = await admin.query<{ data_directory: string }>('SHOW data_directory')
  const [{ data_directory: data } = { data_directory: '' }] = rows
  const keep = async (name: string): Promise<void> => {
    // As it is at one moment: a crash leaves no more.
    server.pause()
    await copies.keep(name, data)
    server.resume()
  }
  await keep('empty')
  const readOnly = async (is: 'on' | 'off'): Promise<void> => {
    await admin.query(`ALTER SYSTEM SET default_transaction_read_only = ${is}`)
    await admin.query('SELECT pg_reload_conf()')
  }
  return {
    name: 'postgres',
    port: server.port,
    kill: async () => await server.kill(),
    restart: async () => await server.restart(),
    wipe: async () => await copies.giveBack('empty', data),
    async refuseWrites() {
      await readOnly('on')
      return async () => await readOnly('off')
    },
    async lose(after) {
      await admin.query('DELETE FROM gate101.entries WHERE seq = (SELECT last FROM gate101.heads) - $1', [after])
    },
    async fallBehind() {
      await keep('old')
      return async () => {
        await server.kill()
        await copies.giveBack('old', data)
        await server.restart()
      }
    },
    async forgetReports() {
      await admin.query('TRUNCATE gate101.reports')
    },
    async holdNumber() {
      const session = await admin.connect()
      await session.query('BEGIN')
      await session.query('UPDATE gate101.heads SET last = last + 1')
      await session.query(
        `INSERT INTO gate101.entries SELECT prefix, generation, last, 'somebody else' FROM gate101.heads`,
      )
      const end = async (how: string): Promise<void> => {
        await session.query(how)
        session.release()
      }
      return { commit: async () => await end('COMMIT'), rollback: async () => await end('ROLLBACK') }
    },
    async stop() {
      await admin.end()
      await server.stop()
      copies.stop()
    },
  }
}

async function startRedis(): Promise<Faulty> {
  let server = await RedisServer.start()
  const all = [server]
  const dirOf = async (one: RedisServer): Promise<string> =>
    ((await one.ask('CONFIG', 'GET', 'dir')) as string[])[1] ?? ''
  const dirs = new Map([[server, await dirOf(server)]])
  const keyOf = async (end: string): Promise<string> => ((await server.ask('KEYS', `*:${end}`)) as string[])[0] ?? ''
  return {
    name: 'redis',
    get port() {
      return server.port
    },
    kill: async () => await server.kill(),
    restart: async () => await server.restart(),
    async wipe() {
      const dir = dirs.get(server) ?? ''
      for (const name of readdirSync(dir)) rmSync(join(dir, name), { recursive: true })
    },
    async refuseWrites() {
      await server.ask('CONFIG', 'SET', 'maxmemory', '1')
      return async () => void (await server.ask('CONFIG', 'SET', 'maxmemory', '0'))
    },
    async lose(after) {
      const log = await keyOf('log')
      const newest = (await server.ask('XREVRANGE', log, '+', '-', 'COUNT', String(after + 1))) as string[][]
      await server.ask('XDEL', log, newest.at(-1)?.[0] ?? '')
    },
    async fallBehind() {
      const replica = await RedisServer.start({ settings: { replicaof: `127.0.0.1 ${server.port}` } })
      all.push(replica)
      dirs.set(replica, await dirOf(replica))
      await until('it has all', async () =>
        String(await replica.ask('INFO', 'replication')).includes('master_link_status:up'),
      )
      await server.ask('WAIT', '1', '5000')
      await replica.ask('REPLICAOF', '127.0.0.1', '1')
      return async () => {
        await server.kill()
        await replica.ask('REPLICAOF', 'NO', 'ONE')
        server = replica
      }
    },
    async forgetReports() {
      await server.ask('DEL', await keyOf('reports'))
    },
    async stop() {
      for (const one of all) await one.stop()
    },
  }
}

async function startNats(): Promise<Faulty> {
  const copies = new Copies()
  const store = copies.path('store')
  const server = await NatsServer.start({ config: `jetstream { store_dir: "${store}" }` })
  const admin = await server.client()
  const streamOf = async (end: RegExp): Promise<string> => (await streamsOf(admin)).find((name) => end.test(name)) ?? ''
  return {
    name: 'nats',
    port: server.port,
    kill: async () => await server.kill(),
    restart: async () => await server.restart(),
    wipe: async () => await rm(store, { recursive: true, force: true }),
    async refuseWrites() {
      const full: Array<Record<string, unknown>> = []
      for (const name of (await streamsOf(admin)).filter((stream) => /_log_/.test(stream))) {
        const { config, state } = (await operate(admin, `STREAM.INFO.${name}`)) as Record<
          string,
          Record<string, unknown>
        >
        full.push(config!)
        await operate(admin, `STREAM.UPDATE.${name}`, { ...config, discard: 'new', max_msgs: state!['messages'] })
      }
      return async () => {
        for (const config of full) await operate(admin, `STREAM.UPDATE.${String(config['name'])}`, config)
      }
    },
    async lose(after) {
      const log = await streamOf(/_log_/)
      const { state } = (await operate(admin, `STREAM.INFO.${log}`)) as { state: { last_seq: number } }
      await operate(admin, `STREAM.MSG.DELETE.${log}`, { seq: state.last_seq - after })
    },
    async fallBehind() {
      server.pause()
      await copies.keep('old', store)
      server.resume()
      return async () => {
        await server.kill()
        await copies.giveBack('old', store)
        await server.restart()
      }
    },
    async forgetReports() {
      const state = await streamOf(/_state$/)
      await operate(admin, `STREAM.PURGE.${state}`, {
        filter: `gate101.${/_(\w+)_state$/.exec(state)?.[1]}.state.report.*`,
      })
    },
    async stop() {
      await server.stop()
      copies.stop()
    },
  }
}

export const KINDS: readonly FaultyKind[] = [
  { name: 'postgres', found: findPostgres(), start: startPostgres },
  { name: 'redis', found: findRedis(), start: startRedis },
  { name: 'nats', found: findNats(), start: startNats },
]
