import assert from 'node:assert/strict'
import { after, afterEach, before, describe, test } from 'node:test'
import { EventEmitter } from 'node:events'
import { Client, Pool } from 'pg'
import type { ClusterEngine } from '../../src/cluster/engine.ts'
import { pgDriver, type PgPool, type PgSession } from '../../src/cluster/postgres/pg.ts'
import { Gate101Error } from '../../src/core/errors.ts'
import { postgresCluster, postgresSchema, type PostgresClusterOptions } from '../../src/postgres.ts'
import { skipWithout } from '../support/debian.ts'
import { findPostgres, PostgresServer } from '../support/engines-postgres.ts'

const skip = skipWithout(findPostgres())

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const nothing = (): void => undefined

const isConfig =
  (message: RegExp) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof Gate101Error, String(error))
    assert.equal(error.code, 'GATE101_CONFIG')
    assert.match(error.message, message)
    return true
  }

/** Nothing tells when a server is back: it is asked again and again. */
async function until<T>(check: () => Promise<T | false | undefined>): Promise<T> {
  for (;;) {
    const found = await check().catch(() => undefined)
    if (found !== undefined && found !== false) return found
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

type Make = (server: PostgresServer, options?: PostgresClusterOptions) => ClusterEngine

/** Nobody but the engine listens to the errors of the pool; so it ends when the engine is closed. */
function ofPool(pool: Pool, options?: PostgresClusterOptions): ClusterEngine {
  const engine = postgresCluster(pool, options)
  const close = async (): Promise<void> => {
    await engine.close()
    if (!pool.ending) await pool.end()
  }
  return { ...engine, close }
}

const CLIENTS: ReadonlyArray<readonly [name: string, make: Make]> = [
  ['pg', (server, options) => ofPool(server.pool(), options)],
  ['postgres', (server, options) => postgresCluster(server.sql(), options)],
]

/** An engine, with what it was told. */
class Node {
  static readonly #opened: Node[] = []
  readonly engine: ClusterEngine
  readonly heard: string[] = []
  wakes = 0

  constructor(engine: ClusterEngine) {
    this.engine = engine
  }

  static async closeAll(): Promise<void> {
    for (const { engine } of Node.#opened.splice(0)) await engine.close()
  }

  async open(): Promise<this> {
    Node.#opened.push(this)
    await this.engine.open(
      (data) => void this.heard.push(new TextDecoder().decode(data)),
      () => void (this.wakes += 1),
    )
    return this
  }

  /** Says it until the others hear it: what is said while a session is away is lost. */
  async say(text: string, ...others: readonly Node[]): Promise<void> {
    await until(async () => {
      await this.engine.say(bytes(text))
      return others.every(({ heard }) => heard.includes(text))
    })
  }
}

const ticket = (id: string) => ({
  id: id.padEnd(43, '_'),
  owner: 'o'.repeat(43),
  data: bytes(id),
  lifetime: 60_000,
  limit: 5,
})

afterEach(async () => await Node.closeAll())

describe('postgres, a server with faults', { skip, timeout: 120_000 }, () => {
  let server: PostgresServer
  let owner: Pool

  before(async () => {
    server = await PostgresServer.start()
    owner = server.pool()
    owner.on('error', nothing)
  })

  after(async () => {
    await server?.stop()
  })

  test('many nodes that start at a time make the tables once, and silently', async (t) => {
    const log = t.mock.method(console, 'log', nothing)
    const nodes = Array.from({ length: 8 }, (_, n) => CLIENTS[n % 2]![1](server, { schema: 'many' }))
    await Promise.all(nodes.map(async (engine) => await engine.open(nothing, nothing)))
    for (const engine of nodes) await engine.close()
    assert.equal(log.mock.callCount(), 0)
    await owner.query(postgresSchema({ schema: 'many' }))
  })

  for (const [name, make] of CLIENTS) {
    test(`${name}: killed and restarted, it has all that it has confirmed, and listens again`, async () => {
      const prefix = `killed-${name}`
      const one = await new Node(make(server, { prefix })).open()
      const two = await new Node(make(server, { prefix })).open()
      const { generation } = await one.engine.read(0, 1)
      const taken = ticket(`taken-${name}`)
      await one.engine.tickets.add(taken)
      await one.engine.enter({ key: 'k', id: 'i' }, 60_000, 1)
      assert.notEqual(await two.engine.tickets.take(taken.id), undefined)
      const confirmed = new Map<number, string>()
      const enough = new Promise<void>((resolve) => {
        const append = async (text: string): Promise<void> => {
          const seq = await one.engine.append(generation, bytes(text))
          confirmed.set(seq!, text)
          if (confirmed.size === 10) resolve()
          await append(`${text}+`)
        }
        for (let n = 0; n < 4; n++) append(`${n}`).catch(nothing)
      })
      await enough
      await server.kill()
      await assert.rejects(one.engine.append(generation, bytes('away')), ({ message }: Error) => {
        assert.doesNotMatch(message, new RegExp(`${server.port}|127|owner`))
        return true
      })
      const { wakes } = two
      await server.restart()
      const page = await until(async () => await two.engine.read(0, 1000))
      assert.equal(page.generation, generation)
      for (const [seq, text] of confirmed)
        assert.equal(new TextDecoder().decode(page.entries.find((entry) => entry.seq === seq)?.data), text)
      assert.equal(await two.engine.tickets.take(taken.id), undefined)
      await one.say('back', one, two)
      assert.ok(two.wakes > wakes)
      await until(async () => await one.engine.append(generation, bytes('on')))
      await two.engine.close()
      const late = await new Node(make(server, { prefix })).open()
      await one.say('closed', one, late)
      assert.ok(!two.heard.includes('closed'))
    })

    test(`${name}: a session that was ended alone is replaced`, async () => {
      const one = await new Node(make(server, { prefix: `ended-${name}` })).open()
      const { rows } = await owner.query(
        `SELECT pg_terminate_backend(pid, 5000) AS is FROM pg_stat_activity WHERE query ILIKE 'listen %'`,
      )
      assert.ok(rows.length > 0)
      await until(async () => one.wakes > 0)
      await one.say('again', one)
    })

    test(`${name}: nothing resolves while it stands still, and all goes on afterwards`, async () => {
      const one = await new Node(make(server, { prefix: `paused-${name}` })).open()
      const { generation } = await one.engine.read(0, 1)
      server.pause()
      const settled: string[] = []
      const watch = async (what: string, promise: Promise<unknown>): Promise<void> => {
        await promise.finally(() => settled.push(what))
      }
      const all = [
        watch('append', one.engine.append(generation, bytes('x'))),
        watch('read', one.engine.read(0, 1)),
        watch('enter', one.engine.enter({ key: 'k', id: 'i' }, 60_000, 1)),
        watch('take', one.engine.tickets.take(ticket('t').id)),
      ]
      await new Promise((resolve) => setTimeout(resolve, 200))
      assert.deepEqual(settled, [])
      server.resume()
      await Promise.all(all)
      assert.equal((await one.engine.read(0, 1)).last, 1)
      await one.say('on', one)
    })

    test(`${name}: a role without rights is told what to run`, async () => {
      const schema = `rights_${name}`
      const role = `app_${name}`
      await owner.query(`CREATE ROLE ${role} LOGIN`)
      const url = server.url(role)
      const engine =
        name === 'pg'
          ? ofPool(server.pool({ connectionString: url }), { schema })
          : postgresCluster(server.sql({ user: role }), { schema })
      await assert.rejects(engine.open(nothing, nothing), isConfig(/postgresSchema\(\)/))
      await owner.query(postgresSchema({ schema }))
      const told = await engine.open(nothing, nothing).catch((error: Error) => error)
      assert.ok(isConfig(/GRANT/)(told))
      const [, grants = ''] = /then: (.*)$/.exec((told as Error).message) ?? []
      await owner.query(grants.replaceAll('<role>', role))
      await engine.open(nothing, nothing)
      assert.equal((await engine.read(0, 1)).last, 0)
      await engine.close()
    })
  }

  test('what is less durable than asked for is refused', async () => {
    const pool = server.pool()
    pool.on('error', nothing)
    const opening = async (options: PostgresClusterOptions) => {
      const engine = postgresCluster(pool, options)
      return await engine.open(nothing, nothing).finally(async () => await engine.close())
    }
    assert.deepEqual(await opening({}), { durable: 'disk' })
    await assert.rejects(opening({ durable: 'replicated' }), isConfig(/synchronous_standby_names/))
    await owner.query('ALTER TABLE gate101.entries SET UNLOGGED')
    await assert.rejects(opening({}), isConfig(/"gate101"\.entries SET LOGGED/))
    await owner.query('ALTER TABLE gate101.entries SET LOGGED')
    const setting = async (name: string, value: string): Promise<void> => {
      await owner.query(`ALTER SYSTEM SET ${name} = '${value}'`)
      await owner.query('SELECT pg_reload_conf()')
      await until(async () => (await pool.query(`SHOW ${name}`)).rows[0][name] === value)
    }
    await setting('fsync', 'off')
    await assert.rejects(opening({}), isConfig(/fsync = on/))
    assert.deepEqual(await opening({ durable: 'memory' }), { durable: 'memory' })
    await setting('fsync', 'on')
    await setting('synchronous_standby_names', '*')
    await owner.query('SET synchronous_commit = local')
    assert.deepEqual(await opening({ durable: 'replicated' }), { durable: 'replicated' })
  })

  test('a standby is refused, and what has taken over from another server is another generation', async () => {
    const sure = await new Node(postgresCluster(server.sql(), { prefix: 'replicated', durable: 'replicated' })).open()
    // What a standby would have been waited for.
    await owner.query('ALTER SYSTEM RESET synchronous_standby_names')
    await owner.query('SELECT pg_reload_conf()')
    const one = await new Node(ofPool(server.pool(), { prefix: 'promoted' })).open()
    const { generation } = await one.engine.read(0, 1)
    await one.engine.append(generation, bytes('x'))
    const kept = await until(async () => await sure.engine.read(0, 1))
    assert.equal(await sure.engine.append(kept.generation, bytes('kept')), 1)
    await server.becomeStandby()
    await until(async () => await owner.query('SELECT 1'))
    await assert.rejects(one.engine.read(0, 1), /recovery is in progress/)
    await assert.rejects(one.engine.append(generation, bytes('y')))
    await assert.rejects(sure.engine.read(0, 1), /recovery is in progress/)
    await assert.rejects(
      CLIENTS[0]![1](server, { prefix: 'late' }).open(nothing, nothing),
      isConfig(/standby. Connect to the primary/),
    )
    await owner.query('SELECT pg_promote()')
    assert.equal(
      await until(async () => [await one.engine.append(generation, bytes('z'))]).then(([seq]) => seq),
      undefined,
    )
    const page = await one.engine.read(0, 10)
    assert.notEqual(page.generation, generation)
    assert.deepEqual([page.last, page.entries], [0, []])
    const after = await sure.engine.read(0, 10)
    assert.deepEqual([after.generation, after.last], [kept.generation, 1])
    assert.equal(await sure.engine.append(kept.generation, bytes('more')), 2)
  })
})

test(
  'postgres: what has come back empty is another generation, and makes its tables',
  { skip, timeout: 60_000 },
  async () => {
    await using server = await PostgresServer.start({ persistence: false })
    const nodes = await Promise.all(CLIENTS.map(async ([, make]) => await new Node(make(server)).open()))
    const [one, two] = nodes as [Node, Node]
    const { generation } = await one.engine.read(0, 1)
    await one.engine.append(generation, bytes('gone'))
    await server.kill()
    await server.restart()
    const page = await until(async () => await two.engine.read(0, 10))
    assert.notEqual(page.generation, generation)
    assert.deepEqual([page.last, page.entries], [0, []])
    assert.equal(
      await until(async () => [await one.engine.append(generation, bytes('late'))]).then(([seq]) => seq),
      undefined,
    )
    assert.equal(await one.engine.append(page.generation, bytes('new')), 1)
    await one.say('back', one, two)
    for (const { engine } of nodes) await engine.close()
  },
)

test('postgres: what cannot work is told at once', async () => {
  const pool = new Pool({ host: '127.0.0.1', port: 1 })
  const wrong: ReadonlyArray<readonly [options: unknown, message: RegExp]> = [
    [{ prefx: 'x' }, /unknown option "prefx"\. Known: prefix, durable, schema/],
    [{ prefix: 1 }, /prefix must be a string/],
    [{ durable: 'paper' }, /durable must be/],
    [{ schema: 'a"; DROP' }, /schema must be/],
    [{ schema: 'x'.repeat(64) }, /schema must be/],
    [{ schema: ['public'] }, /schema must be/],
  ]
  for (const [options, message] of wrong)
    assert.throws(() => postgresCluster(pool, options as PostgresClusterOptions), isConfig(message))
  const clients: readonly unknown[] = [undefined, null, {}, 'postgres://', new Client(), () => undefined]
  for (const client of clients)
    assert.throws(() => postgresCluster(client as Pool), isConfig(/must be a Pool of pg, or the sql of postgres/))
  assert.throws(() => postgresCluster(new Pool({ max: 1 })), isConfig(/room for 2 connections/))
  assert.throws(() => postgresSchema({ schema: '"' }), isConfig(/postgresSchema: schema must be/))
  const engine = postgresCluster(pool)
  await assert.rejects(engine.open(nothing, nothing), /^Error: PostgreSQL: no answer \(ECONNREFUSED\)$/)
  await engine.close()
  await pool.end()
})

/** A pool whose sessions answer as long as they are let. */
class QuietPool implements PgPool {
  readonly totalCount = 0
  readonly sessions: QuietSession[] = []
  isAway = false
  on = nothing
  removeListener = nothing

  connect(done: (error: Error | undefined, session: QuietSession | undefined) => void): void {
    if (this.isAway) return done(new Error('away'), undefined)
    const session = new QuietSession()
    this.sessions.push(session)
    done(undefined, session)
  }
}

class QuietSession extends EventEmitter implements PgSession {
  isQuiet = false
  released: unknown

  async query(): Promise<unknown> {
    if (this.isQuiet) await new Promise(nothing)
    return { rows: [] }
  }

  release(destroy: boolean): void {
    assert.equal(this.released, undefined, 'released twice')
    this.released = destroy
  }
}

test('pg: a session that does not answer any more is replaced, as often as need be, and none after the end', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const pool = new QuietPool()
  let again = 0
  const stop = await pgDriver(pool).listen('c', nothing, () => void (again += 1))
  const pass = async (ms: number): Promise<void> => {
    for (let gone = 0; gone < ms; gone += 50) {
      t.mock.timers.tick(50)
      await new Promise(setImmediate)
    }
  }
  await pass(120_000)
  assert.equal(pool.sessions.length, 1)
  const [first] = pool.sessions
  first!.isQuiet = true
  await pass(26_000)
  assert.deepEqual([pool.sessions.length, first!.released, again], [2, true, 1])
  pool.isAway = true
  pool.sessions[1]!.emit('error', new Error('gone'))
  pool.sessions[1]!.emit('end')
  await pass(60_000)
  assert.equal(again, 1)
  pool.isAway = false
  await pass(6_000)
  assert.deepEqual([pool.sessions.length, again], [3, 2])
  await stop()
  assert.equal(pool.sessions[2]!.released, true)
  pool.sessions[2]!.emit('end')
  await pass(60_000)
  assert.equal(pool.sessions.length, 3)
})
