import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { redisCluster } from '../../src/redis.ts'
import { skipWithout } from '../support/debian.ts'
import { findRedis, RedisServer, Relay } from '../support/engines-redis.ts'

const skip = skipWithout(findRedis())

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const nothing = (): void => undefined
const ticket = { id: 'i'.repeat(43), owner: 'o'.repeat(43), data: bytes('t'), lifetime: 60_000, limit: 5 }

async function until(check: () => Promise<boolean>): Promise<void> {
  while (!(await check())) await new Promise((resolve) => setTimeout(resolve, 10))
}

/** Makes one server the replica of another. */
async function follow(replica: RedisServer, port: number): Promise<void> {
  await replica.ask('REPLICAOF', '127.0.0.1', String(port))
  await until(async () => String(await replica.ask('INFO', 'replication')).includes('master_link_status:up'))
}

describe('redis: a ticket that was taken', { skip, timeout: 60_000 }, () => {
  it('is not there again after a restart from a snapshot', async () => {
    await using server = await RedisServer.start({ settings: { appendonly: 'no' } })
    const engine = redisCluster(server.nodeRedis(), { durable: 'memory' })
    await engine.open(nothing, nothing)
    assert.equal(await engine.tickets.add(ticket), true)
    await server.ask('SAVE')
    assert.ok((await engine.tickets.take(ticket.id)) !== undefined)
    await engine.close()
    await server.kill()
    await server.restart()
    const after = redisCluster(server.nodeRedis(), { durable: 'memory' })
    await after.open(nothing, nothing)
    const again = await after.tickets.take(ticket.id)
    await after.close()
    assert.equal(again, undefined)
  })

  it('is not there again on a replica that takes over and was behind', async () => {
    await using one = await RedisServer.start()
    await using two = await RedisServer.start()
    await using relay = await Relay.start(one)
    await follow(two, relay.port)
    const engine = redisCluster(one.nodeRedis())
    await engine.open(nothing, nothing)
    assert.equal(await engine.tickets.add(ticket), true)
    await until(async () => String(await two.ask('KEYS', '*')).includes(ticket.id))
    relay.swallow()
    assert.ok((await engine.tickets.take(ticket.id)) !== undefined)
    await engine.close()
    await two.ask('REPLICAOF', 'NO', 'ONE')
    const after = redisCluster(two.nodeRedis())
    await after.open(nothing, nothing)
    const again = await after.tickets.take(ticket.id)
    await after.close()
    assert.equal(again, undefined)
  })
})

describe('redis: an entry that is longer than any of ours', { skip, timeout: 60_000 }, () => {
  it('does not end the log that it was put into', async () => {
    await using server = await RedisServer.start()
    const engine = redisCluster(server.nodeRedis())
    await engine.open(nothing, nothing)
    const { generation } = await engine.read(0, 1)
    await engine.append(generation, bytes('one'))
    const keys = (await server.ask('KEYS', '*:head')) as string[]
    const head = keys[0] ?? ''
    await server.ask('XADD', head.replace(/head$/, 'log'), '2-0', 'e', 'x'.repeat(40_000))
    await server.ask('HSET', head, 'last', '2')
    await engine.read(0, 10)
    const again = await engine.read(1, 10)
    await engine.close()
    assert.deepEqual([again.generation, again.last], [generation, 2])
  })
})

describe('redis: a primary that was left behind', { skip, timeout: 60_000 }, () => {
  it('does not answer with its old log where a replica was to confirm all', async () => {
    await using one = await RedisServer.start()
    await using two = await RedisServer.start()
    await using three = await RedisServer.start()
    await using relay = await Relay.start(one)
    await follow(two, relay.port)
    const left = redisCluster(one.nodeRedis(), { durable: 'replicated' })
    await left.open(nothing, nothing)
    const { generation } = await left.read(0, 1)
    assert.equal(await left.append(generation, bytes('one')), 1)
    relay.swallow()
    await two.ask('REPLICAOF', 'NO', 'ONE')
    await follow(three, two.port)
    const other = redisCluster(two.nodeRedis(), { durable: 'replicated' })
    await other.open(nothing, nothing)
    assert.equal(await other.append(generation, bytes('a revocation')), 2)
    const page = await left.read(0, 10).catch(() => undefined)
    await left.close()
    await other.close()
    assert.equal(page, undefined)
  })
})
