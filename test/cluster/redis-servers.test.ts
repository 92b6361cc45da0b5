import { after, before } from 'node:test'
import { Cluster } from 'ioredis'
import { createCluster } from 'redis'
import { namesOf } from '../../src/cluster/redis/names.ts'
import { redisCluster, type RedisClient } from '../../src/redis.ts'
import { skipWithout } from '../support/debian.ts'
import { findRedis, RedisServer } from '../support/engines-redis.ts'
import { contract } from './contract.ts'

const skip = skipWithout(findRedis())

let servers: RedisServer[] = []
let ends: Array<() => unknown> = []

/** Two primaries, each with a half of the slots. */
before(async () => {
  if (skip !== false) return
  const settings = { 'cluster-enabled': 'yes', 'cluster-node-timeout': '2000' }
  servers = await Promise.all([0, 1].map(async () => await RedisServer.start({ settings })))
  const [one, two] = servers as [RedisServer, RedisServer]
  await one.ask('CLUSTER', 'ADDSLOTSRANGE', '0', '8191')
  await two.ask('CLUSTER', 'ADDSLOTSRANGE', '8192', '16383')
  await two.ask('CLUSTER', 'SET-CONFIG-EPOCH', '2')
  await one.ask('CLUSTER', 'MEET', '127.0.0.1', String(two.port))
  for (const server of servers)
    while (!String(await server.ask('CLUSTER', 'INFO')).includes('cluster_state:ok')) await nap()
})

after(async () => {
  for (const end of ends.splice(0)) end()
  for (const server of servers) await server.stop()
})

const CLIENTS: ReadonlyArray<readonly [name: string, make: () => RedisClient]> = [
  ['redis', () => createCluster({ rootNodes: servers.map(({ port }) => ({ url: `redis://127.0.0.1:${port}` })) })],
  [
    'ioredis',
    () => {
      const client = new Cluster(
        servers.map(({ port }) => ({ host: '127.0.0.1', port })),
        { lazyConnect: true },
      )
      ends.push(() => client.disconnect())
      return client
    },
  ],
]

for (const [name, make] of CLIENTS) {
  contract(
    `redis, a cluster of servers, through ${name}`,
    async () => ({
      engine: (prefix) => redisCluster(make(), prefix === undefined ? {} : { prefix }),
      flush: async () => {
        for (const server of servers) await server.ask('FLUSHALL')
      },
      lose: async (prefix, seq) => {
        const from = async (server: RedisServer): Promise<unknown> =>
          await server.ask('XDEL', namesOf('', prefix).log, `${seq}-0`)
        await Promise.any(servers.map(from))
      },
      stop: async () => undefined,
    }),
    skip,
  )
}

async function nap(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 20))
}
