import { after, before } from 'node:test'
import { namesOf } from '../../src/cluster/redis/names.ts'
import { redisCluster, type RedisClient } from '../../src/redis.ts'
import { skipWithout } from '../support/debian.ts'
import { findRedis, RedisServer } from '../support/engines-redis.ts'
import { contract } from './contract.ts'

const skip = skipWithout(findRedis())

let server: RedisServer

before(async () => {
  if (skip === false) server = await RedisServer.start()
})

after(async () => {
  await server?.stop()
})

const CLIENTS: ReadonlyArray<readonly [name: string, make: () => RedisClient]> = [
  ['redis through redis', () => server.nodeRedis()],
  ['redis through redis, RESP 2', () => server.nodeRedis({ RESP: 2 })],
  ['redis through ioredis', () => server.ioredis()],
  ['redis through ioredis, RESP 3', () => server.ioredis({ protocol: 3, replyMapping: 'resp3' })],
]

for (const [name, make] of CLIENTS) {
  contract(
    name,
    async () => ({
      engine: (prefix) => redisCluster(make(), prefix === undefined ? {} : { prefix }),
      flush: async () => void (await server.ask('FLUSHALL')),
      lose: async (prefix, seq) => void (await server.ask('XDEL', namesOf('', prefix).log, `${seq}-0`)),
      stop: async () => undefined,
    }),
    skip,
  )
}
