import assert from 'node:assert/strict'
import { afterEach, describe, test } from 'node:test'
import type { ClusterEngine } from '../../src/cluster/engine.ts'
import { Gate101Error } from '../../src/core/errors.ts'
import { redisCluster, type RedisClient, type RedisClusterOptions } from '../../src/redis.ts'
import { skipWithout } from '../support/debian.ts'
import { findRedis, ioredisOf, nodeRedisOf, RedisServer, Relay } from '../support/engines-redis.ts'

const skip = skipWithout(findRedis())

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

const CLIENTS: ReadonlyArray<readonly [name: string, make: (to: { readonly port: number }) => RedisClient]> = [
  ['redis', ({ port }) => nodeRedisOf({ url: `redis://127.0.0.1:${port}` })],
  ['ioredis', ({ port }) => ioredisOf({ port })],
]
const [[, nodeRedis], [, ioredis]] = CLIENTS as [(typeof CLIENTS)[0], (typeof CLIENTS)[0]]

/** An engine, with what it was told. */
class Node {
  static readonly #opened: Node[] = []
  readonly engine: ClusterEngine
  readonly heard: string[] = []
  wakes = 0

  constructor(client: RedisClient, options?: RedisClusterOptions) {
    this.engine = redisCluster(client, options)
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

  async append(...texts: readonly string[]): Promise<void> {
    const { generation } = await this.engine.read(0, 1)
    for (const text of texts) await this.engine.append(generation, bytes(text))
  }

  async log(): Promise<readonly string[]> {
    const { entries } = await this.engine.read(0, 1000)
    return entries.map(({ data }) => new TextDecoder().decode(data))
  }

  /** Says it until the others hear it: what is said while a connection is away is lost. */
  async say(text: string, ...others: readonly Node[]): Promise<void> {
    await until(async () => {
      await this.engine.say(bytes(text))
      return others.every(({ heard }) => heard.includes(text))
    })
  }
}

const ticket = (id: string) => ({ id, owner: 'o', data: bytes(id), lifetime: 60_000, limit: 5 })

/** A replica that has all that its primary has. */
async function replicaOf(primary: RedisServer): Promise<RedisServer> {
  const replica = await RedisServer.start({ settings: { replicaof: `127.0.0.1 ${primary.port}` } })
  await until(async () => String(await replica.ask('INFO', 'replication')).includes('master_link_status:up'))
  return replica
}

afterEach(async () => await Node.closeAll())

describe('redis, a server with faults', { skip, timeout: 120_000 }, () => {
  for (const [name, make] of CLIENTS) {
    test(`${name}: killed and restarted, it has all that it has confirmed, and listens again`, async () => {
      await using server = await RedisServer.start()
      const one = await new Node(make(server)).open()
      const two = await new Node(make(server)).open()
      const { generation } = await one.engine.read(0, 1)
      await one.engine.tickets.add(ticket('taken'))
      assert.notEqual(await two.engine.tickets.take('taken'), undefined)
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
      await assert.rejects(one.engine.append(generation, bytes('away')))
      const { wakes } = two
      await server.restart()
      const page = await until(async () => await two.engine.read(0, 1000))
      assert.equal(page.generation, generation)
      for (const [seq, text] of confirmed)
        assert.equal(new TextDecoder().decode(page.entries.find((entry) => entry.seq === seq)?.data), text)
      assert.equal(await two.engine.tickets.take('taken'), undefined)
      await one.say('back', one, two)
      assert.ok(two.wakes > wakes)
      assert.equal(await one.engine.append(generation, bytes('on')), page.last + 1)
    })

    test(`${name}: restarted without persistence it begins another log`, async () => {
      await using server = await RedisServer.start({ persistence: false })
      await assert.rejects(redisCluster(make(server)).open(nothing, nothing), isConfig(/appendonly yes/))
      const one = new Node(make(server), { durable: 'memory' })
      const told = await one.engine.open(nothing, nothing)
      assert.equal(told.durable, 'memory')
      await one.append('a', 'b')
      const before = await one.engine.read(0, 1)
      await server.kill()
      await server.restart()
      const page = await until(async () => await one.engine.read(0, 1000))
      assert.notEqual(page.generation, before.generation)
      assert.equal(page.last, 0)
      assert.equal(await one.engine.append(before.generation, bytes('late')), undefined)
      await one.engine.close()
    })

    test(`${name}: a connection that was ended alone is replaced`, async () => {
      await using server = await RedisServer.start()
      const one = await new Node(make(server)).open()
      await server.ask('CLIENT', 'KILL', 'TYPE', 'pubsub')
      await until(async () => one.wakes > 0)
      await one.say('again', one)
      await server.ask('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
      await until(async () => await one.engine.read(0, 1))
      await one.say('and again', one)
    })

    test(`${name}: nothing resolves while it stands still, and all goes on afterwards`, async () => {
      await using server = await RedisServer.start()
      const one = await new Node(make(server)).open()
      await one.append('before')
      const { generation } = await one.engine.read(0, 1)
      server.pause()
      const asked = [
        one.engine.append(generation, bytes('meanwhile')),
        one.engine.read(0, 1),
        one.engine.say(bytes('x')),
        one.engine.enter({ key: 'k', id: 'i' }, 1000, 1),
        one.engine.tickets.take('t'),
        new Node(make(server)).open(),
      ]
      const late = new Promise((resolve) => setTimeout(resolve, 100, 'late'))
      assert.equal(await Promise.race([late, ...asked]), 'late')
      server.resume()
      await Promise.all(asked)
      assert.deepEqual(await one.log(), ['before', 'meanwhile'])
      await one.say('on', one)
    })

    test(`${name}: closed in the middle of opening, nothing stays`, async () => {
      await using server = await RedisServer.start()
      const client = make(server)
      server.pause()
      for (const ms of [0, 50]) {
        const engine = redisCluster(client)
        const opening = engine.open(nothing, nothing)
        opening.catch(nothing)
        if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms))
        await engine.close()
        await assert.rejects(opening)
      }
      server.resume()
      await until(
        async () =>
          String(await server.ask('CLIENT', 'LIST'))
            .trim()
            .split('\n').length === 1,
      )
    })

    test(`${name}: a log that has lost entries to a replica that was behind is another one`, async () => {
      await using primary = await RedisServer.start()
      await using replica = await replicaOf(primary)
      await using relay = await Relay.start(primary)
      const writer = await new Node(make(relay)).open()
      const reader = await new Node(make(relay)).open()
      await writer.append('1', '2', '3')
      await primary.ask('WAIT', '1', '5000')
      await until(async () => String(await replica.ask('XLEN', logOf(await keysOf(replica)))) === '3')
      await replica.ask('REPLICAOF', '127.0.0.1', '1')
      await writer.append('4', '5')
      const { generation, last } = await reader.engine.read(0, 10)
      assert.equal(last, 5)
      await primary.kill()
      await assert.rejects(new Node(make(replica)).open(), isConfig(/read-only replica/))
      await replica.ask('REPLICAOF', 'NO', 'ONE')
      relay.lead(replica)
      // Who has not seen what was lost goes on, and takes the numbers again.
      const other = await new Node(make(replica)).open()
      assert.deepEqual(await other.log(), ['1', '2', '3'])
      await other.append('4 again', '5 again', '6')
      const page = await until(async () => await reader.engine.read(4, 10))
      assert.notEqual(page.generation, generation)
      assert.equal(page.last, 0)
      assert.equal((await until(async () => await writer.engine.read(0, 10))).generation, page.generation)
      assert.equal(await writer.engine.append(generation, bytes('late')), undefined)
      assert.equal(await other.engine.append(generation, bytes('late')), undefined)
      assert.equal(await writer.engine.append(page.generation, bytes('new')), 1)
      assert.deepEqual(await other.log(), ['new'])
    })
  }

  test('what a writer has written and never read is missed as well', async () => {
    await using primary = await RedisServer.start()
    await using replica = await replicaOf(primary)
    await using relay = await Relay.start(primary)
    const writer = await new Node(ioredis(relay)).open()
    const { generation } = await writer.engine.read(0, 1)
    await writer.engine.append(generation, bytes('1'))
    await primary.ask('WAIT', '1', '5000')
    await replica.ask('REPLICAOF', '127.0.0.1', '1')
    assert.equal(await writer.engine.append(generation, bytes('2')), 2)
    await replica.ask('REPLICAOF', 'NO', 'ONE')
    relay.lead(replica)
    const page = await until(async () => await writer.engine.read(0, 10))
    assert.notEqual(page.generation, generation)
  })

  test('a primary that has become a replica rejects all, and goes on where it is one again', async () => {
    await using server = await RedisServer.start()
    const one = await new Node(ioredis(server)).open()
    const two = await new Node(nodeRedis(server)).open()
    await one.append('a')
    const { generation } = await one.engine.read(0, 1)
    await server.ask('REPLICAOF', '127.0.0.1', '1')
    for (const { engine } of [one, two]) {
      await assert.rejects(engine.read(0, 1), /READONLY/)
      await assert.rejects(engine.append(generation, bytes('no')))
      await assert.rejects(engine.reports())
      await assert.rejects(engine.enter({ key: 'k', id: 'i' }, 1000, 1))
      await assert.rejects(engine.tickets.take('t'))
    }
    await server.ask('REPLICAOF', 'NO', 'ONE')
    for (const { engine } of [one, two])
      assert.equal((await until(async () => await engine.read(0, 1))).generation, generation)
    await one.say('on', one, two)
  })

  test('where the address leads to another primary by now, it is found, though the old one still answers', async () => {
    await using primary = await RedisServer.start()
    await using replica = await replicaOf(primary)
    await using relay = await Relay.start(primary)
    const one = await new Node(ioredis(relay)).open()
    const two = await new Node(nodeRedis(relay)).open()
    await one.append('a')
    const { generation } = await two.engine.read(0, 10)
    await until(async () => String(await replica.ask('XLEN', logOf(await keysOf(replica)))) === '1')
    relay.leadNew(replica)
    await replica.ask('REPLICAOF', 'NO', 'ONE')
    await primary.ask('REPLICAOF', '127.0.0.1', '1')
    for (const { engine } of [one, two])
      assert.equal(await until(async () => (await engine.append(generation, bytes('b'))) !== undefined), true)
    assert.deepEqual(await two.log(), ['a', 'b', 'b'])
    await one.say('here', one, two)
  })

  test('what is to be replicated waits for a replica, together, and is not done without one', async () => {
    await using primary = await RedisServer.start()
    const engine = redisCluster(nodeRedis(primary), { durable: 'replicated' })
    await assert.rejects(engine.open(nothing, nothing), isConfig(/no replica confirms/))
    await using replica = await replicaOf(primary)
    const nodes = [
      new Node(nodeRedis(primary), { durable: 'replicated' }),
      new Node(ioredis(primary), { durable: 'replicated' }),
    ]
    for (const node of nodes) await node.open()
    const [one, two] = nodes as [Node, Node]
    assert.equal((await redisCluster(ioredis(primary)).open(nothing, nothing)).durable, 'disk')
    const { generation } = await one.engine.read(0, 1)
    for (const script of ['knows', 'has forgotten']) {
      if (script === 'has forgotten') await primary.ask('SCRIPT', 'FLUSH')
      const seqs = await Promise.all([one, two, one, two].map(({ engine }) => engine.append(generation, bytes(script))))
      assert.equal(new Set(seqs).size, 4)
      assert.equal(Number(await replica.ask('XLEN', logOf(await keysOf(replica)))), (await one.engine.read(0, 1)).last)
    }
    assert.equal(await one.engine.append('another', bytes('x')), undefined)
    replica.pause()
    await assert.rejects(one.engine.append(generation, bytes('alone')), /no replica has confirmed/)
    // It may have been left behind: then another one knows more.
    await assert.rejects(one.engine.read(0, 1), /no replica has confirmed/)
    replica.resume()
    await until(async () => await one.engine.append(generation, bytes('together')))
  })
})

async function keysOf(server: RedisServer): Promise<readonly string[]> {
  return (await server.ask('KEYS', '*')) as string[]
}

function logOf(keys: readonly string[]): string {
  return keys.find((key) => key.endsWith(':log')) ?? ''
}
