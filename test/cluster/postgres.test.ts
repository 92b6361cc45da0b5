import { after, before } from 'node:test'
import type { ClusterEngine } from '../../src/cluster/engine.ts'
import { storeOf } from '../../src/cluster/postgres/store.ts'
import { postgresCluster } from '../../src/postgres.ts'
import { skipWithout } from '../support/debian.ts'
import { findPostgres, PostgresServer } from '../support/engines-postgres.ts'
import { contract } from './contract.ts'

const skip = skipWithout(findPostgres())

let server: PostgresServer

before(async () => {
  if (skip === false) server = await PostgresServer.start()
})

after(async () => {
  await server?.stop()
})

const TABLES = ['heads', 'entries', 'reports', 'places', 'tickets'].map((table) => `gate101.${table}`).join(', ')

/** Every node has a client of its own, as a process has. */
function bench(engineOf: (prefix: string | undefined) => ClusterEngine) {
  const owner = server.pool({ max: 1 })
  return {
    engine: engineOf,
    flush: async () => void (await owner.query(`TRUNCATE ${TABLES}`)),
    lose: async (prefix: string, seq: number) => {
      const where = `prefix = ${storeOf('gate101', prefix).prefix} AND seq = ${seq}`
      await owner.query(`DELETE FROM gate101.entries WHERE ${where}`)
    },
    stop: async () => undefined,
  }
}

const optionsOf = (prefix: string | undefined) => (prefix === undefined ? {} : { prefix })

contract(
  'postgres through pg',
  async () => {
    const pools = [server.pool(), server.pool(), server.pool()]
    let made = 0
    return bench((prefix) => postgresCluster(pools[(made += 1) % 3]!, optionsOf(prefix)))
  },
  skip,
)

contract(
  'postgres through postgres',
  async () => {
    const clients = [server.sql(), server.sql(), server.sql()]
    let made = 0
    return bench((prefix) => postgresCluster(clients[(made += 1) % 3]!, optionsOf(prefix)))
  },
  skip,
)
