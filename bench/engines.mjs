// Engines of a cluster as servers of their own, on free ports: the same that the tests start.
import { spawnSync } from 'node:child_process'
import { tsImport } from 'tsx/esm/api'

const from = async (name) => await tsImport(`../test/support/engines-${name}.ts`, import.meta.url)
const isHere = (program) => spawnSync(program, ['--version']).status === 0

/** @returns by name, what starts one: `{ port, kill(), restart(), stop() }`; those that are installed alone */
export async function findEngines() {
  const engines = new Map()
  if (isHere('redis-server')) {
    const { RedisServer } = await from('redis')
    engines.set('redis', async () => await RedisServer.start())
  }
  if (isHere('nats-server')) {
    const { NatsServer } = await from('nats')
    engines.set('nats', async () => await NatsServer.start())
  }
  const { findPostgres, PostgresServer } = await from('postgres')
  if (!('missing' in findPostgres())) engines.set('postgres', async () => await PostgresServer.start())
  return engines
}
