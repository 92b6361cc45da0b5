import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { Cluster, Redis } from 'ioredis'
import { createClient, createClientPool, createCluster, createSentinel } from 'redis'
import type { ClusterEngine } from '../../src/cluster/engine.ts'
import { Confirmed } from '../../src/cluster/redis/confirmed.ts'
import { inspect } from '../../src/cluster/redis/inspect.ts'
import { namesOf } from '../../src/cluster/redis/names.ts'
import { script } from '../../src/cluster/redis/script.ts'
import { Gate101Error } from '../../src/core/errors.ts'
import { redisCluster, type RedisClient, type RedisClusterOptions } from '../../src/redis.ts'
import { skipWithout } from '../support/debian.ts'
import { findRedis, RedisServer } from '../support/engines-redis.ts'

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

/** Nothing tells when the server is done: it is asked again and again. */
async function until<T>(check: () => Promise<T | false | undefined>): Promise<T> {
  for (;;) {
    const found = await check().catch(() => undefined)
    if (found !== undefined && found !== false) return found
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

const ticket = (id: string, owner = 'o', lifetime = 60_000) => ({ id, owner, data: bytes(id), lifetime, limit: 2 })

type Options = Readonly<Record<string, unknown>>

const CLIENTS: ReadonlyArray<readonly [string, (server: RedisServer, options?: Options) => RedisClient]> = [
  ['redis', (server, options) => server.nodeRedis(options)],
  ['ioredis', (server, options) => server.ioredis(options)],
]

test('the clients are taken as they are', () => {
  const given = [
    createClient(),
    createClient({ RESP: 2, url: 'redis://localhost:1' }),
    createClient({ RESP: 3, commandOptions: { typeMapping: { 36: Buffer } } }),
    createCluster({ rootNodes: [{ url: 'redis://localhost:1' }] }),
    new Redis({ lazyConnect: true }),
    new Redis({ lazyConnect: true, protocol: 3, replyMapping: 'resp3' }),
    new Cluster([], { lazyConnect: true }),
  ] as const
  const engines: ClusterEngine[] = [
    redisCluster(given[0]),
    redisCluster(given[1]),
    redisCluster(given[2]),
    redisCluster(given[3]),
    redisCluster(given[4]),
    redisCluster(given[5]),
    redisCluster(given[6], { prefix: 'p', durable: 'memory' }),
  ]
  for (const engine of engines) assert.equal(engine.name, 'redis')
})

test('what is no client, or no option, is refused', () => {
  const client = createClient()
  const sentinel = createSentinel({ name: 'x', sentinelRootNodes: [{ host: 'localhost', port: 1 }] })
  for (const wrong of [undefined, null, {}, 'redis://localhost', () => client, sentinel, createClientPool()])
    assert.throws(() => redisCluster(wrong as unknown as RedisClient), isConfig(/redisCluster: the client must be/))
  const wrongs = [
    [{ prefx: 'x' }, /unknown option "prefx"/],
    [{ prefix: 1 }, /prefix must be a string/],
    [{ durable: 'disc' }, /durable must be/],
  ] as const
  for (const [options, message] of wrongs)
    assert.throws(() => redisCluster(client, options as unknown as RedisClusterOptions), isConfig(message))
})

test('what a server says of itself decides', async () => {
  const good = { redis_version: '6.2.0', role: 'master', maxmemory_policy: 'noeviction', aof_enabled: '1' }
  const says = async (facts: object, fsync: unknown, wanted: 'memory' | 'disk') => {
    const info = Object.entries({ ...good, ...facts }).map(([name, value]) => `${name}:${value}`)
    const send = async ([command]: readonly unknown[]): Promise<unknown> => {
      if (command === 'EVAL') return Buffer.from(`# Server\r\n${info.join('\r\n')}\r\n`)
      if (fsync === undefined) throw new Error("NOPERM this user has no permissions to run the 'config|get' command")
      return fsync
    }
    return (await inspect(send, 'k', wanted)).durable
  }
  assert.equal(await says({}, ['appendfsync', Buffer.from('everysec')], 'disk'), 'disk')
  assert.equal(await says({}, { appendfsync: Buffer.from('always') }, 'disk'), 'disk')
  assert.equal(await says({ redis_version: '10.0.1' }, undefined, 'disk'), 'disk')
  assert.equal(await says({ aof_enabled: '0' }, undefined, 'memory'), 'memory')
  assert.equal(await says({}, ['appendfsync', Buffer.from('no')], 'memory'), 'memory')
  assert.equal(await says({}, ['appendfsync', Buffer.from('everysec')], 'memory'), 'disk')
  await assert.rejects(says({ redis_version: '6.0.16' }, undefined, 'disk'), isConfig(/6\.2 or later/))
  await assert.rejects(says({ role: 'slave' }, undefined, 'disk'), isConfig(/read-only replica/))
  await assert.rejects(says({ maxmemory_policy: 'volatile-lru' }, undefined, 'memory'), isConfig(/noeviction/))
  await assert.rejects(says({ aof_enabled: '0' }, undefined, 'disk'), isConfig(/appendonly yes/))
  await assert.rejects(says({}, ['appendfsync', Buffer.from('no')], 'disk'), isConfig(/appendfsync everysec/))
})

test('what a replica confirms decides how an append waits', async () => {
  const waits = async (answers: Record<string, unknown>): Promise<string> => {
    const sent: string[] = []
    const send = async ([command]: readonly unknown[]): Promise<unknown> => {
      sent.push(String(command))
      const answer = answers[String(command)] ?? 1
      if (answer instanceof Error) throw answer
      return answer
    }
    const confirmed = new Confirmed({ send })
    await confirmed.prepare(send)
    sent.length = 0
    await Promise.all(['a', 'b', 'c'].map(async (text) => await confirmed.write(script(text), ['k'])))
    return sent.join(' ')
  }
  const unknown = new Error("ERR unknown command 'WAITAOF', with args beginning with: '1'")
  assert.equal(await waits({ WAITAOF: [1, 1] }), 'EVALSHA WAITAOF EVALSHA EVALSHA WAITAOF')
  assert.equal(await waits({ WAITAOF: [1, 0] }), 'EVALSHA WAIT EVALSHA EVALSHA WAIT')
  assert.equal(await waits({ WAITAOF: unknown, WAIT: 2 }), 'EVALSHA WAIT EVALSHA EVALSHA WAIT')
  await assert.rejects(waits({ WAITAOF: [1, 0], WAIT: 0 }), isConfig(/no replica confirms/))
  await assert.rejects(waits({ WAITAOF: new Error('the connection is lost') }), /connection is lost/)
})

describe('redis, one server', { skip, timeout: 120_000 }, () => {
  let server: RedisServer
  let opened: ClusterEngine[] = []
  let prefixes = 0

  before(async () => {
    server = await RedisServer.start()
  })

  after(async () => {
    await server?.stop()
  })

  async function open(engine: ClusterEngine, hear: (data: Uint8Array) => void = nothing): Promise<ClusterEngine> {
    opened.push(engine)
    await engine.open(hear, nothing)
    return engine
  }

  const that = (what: string, check: (options: { prefix: string }) => Promise<void>): void => {
    test(what, async () => {
      try {
        await check({ prefix: `own${(prefixes += 1)}` })
      } finally {
        for (const engine of opened) await engine.close()
        opened = []
      }
    })
  }

  /** How many connections have this name. */
  const connected = async (name: string): Promise<number> =>
    String(await server.ask('CLIENT', 'LIST')).split(`name=${name} `).length - 1

  /** The commands of engines that the server gets meanwhile; what scripts do is not among them. */
  async function sentBy(monitor: Redis, act: () => Promise<unknown>): Promise<string[]> {
    const sent: string[] = []
    let over = nothing
    const isOver = new Promise<void>((resolve) => (over = resolve))
    const listener = (_time: string, [command = '']: string[], source: string): void => {
      if (command === 'echo') over()
      if (source !== 'lua' && !/^(echo|ping|info|client|hello|script)$/i.test(command)) sent.push(command)
    }
    monitor.on('monitor', listener)
    await act()
    await server.ask('echo', 'over')
    await isOver
    monitor.off('monitor', listener)
    return sent
  }

  for (const [name, make] of CLIENTS) {
    that(`${name}: each function is one round trip`, async (options) => {
      const engine = await open(redisCluster(make(server), options))
      const { generation } = await engine.read(0, 1)
      const all: Record<string, () => Promise<unknown>> = {
        append: async () => await engine.append(generation, bytes('a')),
        read: async () => await engine.read(0, 10),
        say: async () => await engine.say(bytes('s')),
        report: async () => await engine.report('n', bytes('r'), 60_000),
        reports: async () => await engine.reports(),
        enter: async () => await engine.enter({ key: 'k', id: 'i' }, 60_000, 1),
        keep: async () =>
          await engine.keep(
            [
              { key: 'k', id: 'i' },
              { key: 'l', id: 'i' },
            ],
            60_000,
          ),
        leave: async () =>
          await engine.leave([
            { key: 'k', id: 'i' },
            { key: 'l', id: 'i' },
          ]),
        add: async () => await engine.tickets.add({ ...ticket(`t${(prefixes += 1)}`), limit: 100 }),
        take: async () => await engine.tickets.take('t'),
        trim: async () => await engine.trim(generation, 1),
        restart: async () => await engine.restart('another'),
      }
      // From here on the server knows every script.
      for (const act of Object.values(all)) await act()
      const monitor = await server.ioredis().monitor()
      try {
        for (const [what, act] of Object.entries(all)) assert.equal((await sentBy(monitor, act)).length, 1, what)
        await server.ask('SCRIPT', 'FLUSH')
        assert.deepEqual(await sentBy(monitor, all['read']!), ['EVALSHA', 'EVAL'])
        assert.deepEqual(await sentBy(monitor, all['read']!), ['EVALSHA'])
      } finally {
        monitor.disconnect()
      }
    })

    that(`${name}: the client is not used, changed or ended; what was connected goes`, async (options) => {
      const client = make(server, { name: `the-${name}`, connectionName: `the-${name}` })
      const before = { ...(client as { options: object }).options }
      const engine = redisCluster(client, options)
      await engine.open(nothing, nothing)
      assert.equal(await connected(`the-${name}`), 2)
      await engine.close()
      await until(async () => (await connected(`the-${name}`)) === 0)
      assert.deepEqual((client as { options: object }).options, before)
      await assert.rejects(engine.read(0, 1))
      await engine.open(nothing, nothing)
      assert.equal((await engine.read(0, 1)).last, 0)
      await engine.close()
    })

    that(`${name}: the key prefix of the client stands before all that is kept, and keeps apart`, async (options) => {
      const heard: string[] = []
      const hear = (who: string) => (data: Uint8Array) => void heard.push(`${who}:${Buffer.from(data).toString()}`)
      const one = await open(redisCluster(make(server, { keyPrefix: `app${name}:` }), options), hear('one'))
      const two = await open(redisCluster(make(server), options), hear('two'))
      const { generation } = await one.read(0, 1)
      await one.append(generation, bytes('a'))
      await one.enter({ key: 'k', id: 'i' }, 60_000, 1)
      await one.report('n', bytes('r'), 60_000)
      await one.tickets.add(ticket('t'))
      await two.say(bytes('2'))
      await one.say(bytes('1'))
      await until(async () => heard.length === 2)
      assert.deepEqual(heard.toSorted(), ['one:1', 'two:2'])
      assert.deepEqual([(await two.read(0, 1)).last, await two.reports()], [0, []])
      const keys = (await server.ask('KEYS', `app${name}:*`)) as string[]
      assert.equal(keys.length, 7)
      for (const key of keys) assert.ok(key.startsWith(namesOf(`app${name}:`, options.prefix).head.replace('head', '')))
      assert.ok((await one.tickets.take('t')) !== undefined)
    })

    that(
      `${name}: a user with the rights that the docs list is enough, and one that lacks any is told`,
      async (options) => {
        const recipe = readFileSync(new URL('../../docs/recipes/redis.md', import.meta.url), 'utf8')
        const line = /^ACL SETUSER gate (.*)$/m.exec(recipe)?.[1] ?? ''
        const rights = line.split(' ')
        const user = { username: 'gate', password: 'password' }
        const grant = async (given: readonly string[]): Promise<unknown> =>
          await server.ask('ACL', 'SETUSER', 'gate', 'reset', ...given)
        await grant(rights)
        const engine = await open(redisCluster(make(server, user), options))
        const { generation } = await engine.read(0, 1)
        assert.equal(await engine.append(generation, bytes('a')), 1)
        for (const right of rights.slice(2)) {
          if (['+@connection', '+config|get'].includes(right)) continue
          await grant(rights.filter((other) => other !== right))
          const refused = redisCluster(make(server, user), options).open(nothing, nothing)
          await assert.rejects(refused, (error) => {
            const what = right.startsWith('+')
              ? right.slice(1).toUpperCase()
              : right.startsWith('~')
                ? 'keys'
                : 'channels'
            return isConfig(new RegExp(`may not (run|use the) ${what} \\(NOPERM\\)`))(error)
          })
        }
        await server.ask('ACL', 'SETUSER', 'gate', 'reset')
      },
    )

    that(`${name}: an error tells neither address nor name nor password`, async (options) => {
      const user = { username: 'mallory', password: 'correct-horse' }
      await using gone = await RedisServer.start()
      await gone.kill()
      for (const [to, code] of [
        [server, /WRONGPASS/],
        [gone, /ECONNREFUSED/],
      ] as const) {
        const engine = redisCluster(make(to, user), options)
        await assert.rejects(engine.open(nothing, nothing), ({ message, stack }: Error) => {
          assert.match(message, code)
          assert.doesNotMatch(`${message}${stack?.split('\n')[0]}`, /mallory|horse|127\.0|localhost/)
          assert.ok(!message.includes(String(to.port)))
          return true
        })
      }
    })
  }

  that('a full server rejects what adds, does nothing of it, and all the rest goes on', async (options) => {
    const engine = await open(redisCluster(server.ioredis(), options))
    const { generation } = await engine.read(0, 1)
    assert.equal(await engine.append(generation, bytes('before')), 1)
    assert.equal(await engine.append(generation, bytes('newest')), 2)
    await engine.tickets.add(ticket('t'))
    await engine.enter({ key: 'k', id: 'i' }, 60_000, 1)
    await server.ask('CONFIG', 'SET', 'maxmemory', '1')
    try {
      await assert.rejects(engine.append(generation, bytes('full')), /OOM/)
      await assert.rejects(engine.tickets.add(ticket('u')), /OOM/)
      await assert.rejects(engine.report('n', bytes('r'), 60_000), /OOM/)
      await engine.trim(generation, 1)
      const page = await engine.read(0, 10)
      assert.deepEqual([page.floor, page.last, page.entries.length], [1, 2, 1])
      assert.ok((await engine.tickets.take('t')) !== undefined)
      await engine.leave([{ key: 'k', id: 'i' }])
      await engine.say(bytes('s'))
    } finally {
      await server.ask('CONFIG', 'SET', 'maxmemory', '0')
    }
    assert.equal(await engine.append(generation, bytes('after')), 3)
    assert.equal(await engine.tickets.take('u'), undefined)
    assert.equal(await engine.enter({ key: 'k', id: 'j' }, 60_000, 1), true)
  })

  that('what is left of a log without its head is no part of the next one', async (options) => {
    const engine = await open(redisCluster(server.nodeRedis(), options))
    const names = namesOf('', options.prefix)
    const { generation } = await engine.read(0, 1)
    for (const text of ['a', 'b']) await engine.append(generation, bytes(text))
    await server.ask('DEL', names.head)
    assert.equal(await engine.append(generation, bytes('late')), undefined)
    const page = await engine.read(0, 10)
    assert.notEqual(page.generation, generation)
    assert.deepEqual([page.last, page.entries], [0, []])
    assert.equal(await engine.append(page.generation, bytes('c')), 1)
    await server.ask('DEL', names.log)
    const lost = await engine.read(0, 10)
    assert.deepEqual([lost.generation, lost.last, lost.entries], [page.generation, 1, []])
  })

  that('a place that two have, a report and a ticket leave nothing behind when their time is over', async (options) => {
    const engine = await open(redisCluster(server.ioredis(), options))
    await engine.enter({ key: 'k', id: 'i' }, 300, 2)
    await engine.keep([{ key: 'k', id: 'j' }], 100)
    await engine.report('n', bytes('r'), 300)
    await engine.report('m', bytes('r'), 100)
    await engine.tickets.add(ticket('t', 'p', 300))
    await engine.tickets.add(ticket('u', 'q', 100))
    assert.equal((await engine.reports()).length, 2)
    const base = namesOf('', options.prefix).head.replace('head', '*')
    await until(async () => ((await server.ask('KEYS', base)) as string[]).length === 0)
  })

  that('what an owner has taken counts no more, and what was never taken is swept by the next one', async (options) => {
    const { tickets } = await open(redisCluster(server.ioredis(), options))
    const { owners, lapses } = namesOf('', options.prefix)
    assert.equal(await tickets.add(ticket('a')), true)
    assert.equal(await tickets.add(ticket('b')), true)
    assert.equal(await tickets.add(ticket('c')), false)
    await tickets.take('a')
    assert.equal(await tickets.add(ticket('c')), true)
    assert.equal(await tickets.add(ticket('d')), false)
    // Whose name begins in the same way is another one.
    assert.equal(await tickets.add(ticket('x', 'o-', 50)), true)
    assert.equal(await tickets.add(ticket('y', 'o:', 50)), true)
    await until(async () => {
      await tickets.add(ticket(`e${(prefixes += 1)}`, `other${prefixes}`))
      const left = (await server.ask('ZRANGE', owners, '0', '-1')) as string[]
      return !left.some((member) => /:[xy]$/.test(member))
    })
    assert.equal(await server.ask('ZCARD', owners), await server.ask('ZCARD', lapses))
    await assert.rejects(tickets.add(ticket('b', 'somebody')), /a ticket of this id/)
    assert.deepEqual(Buffer.from((await tickets.take('b'))!), Buffer.from('b'))
  })

  that('a client of one server is refused by a cluster of servers', async (options) => {
    await using other = await RedisServer.start({ settings: { 'cluster-enabled': 'yes' } })
    const { head } = namesOf('', options.prefix)
    const slot = Number(await other.ask('CLUSTER', 'KEYSLOT', head))
    await other.ask('CLUSTER', 'ADDSLOTSRANGE', String(slot), String(slot))
    await other.ask('CLUSTER', 'SET-CONFIG-EPOCH', '1')
    const engine = redisCluster(other.ioredis(), options)
    await assert.rejects(engine.open(nothing, nothing))
    const unable = redisCluster(new Cluster([{ host: '127.0.0.1', port: other.port }], { lazyConnect: true }), {
      durable: 'replicated',
    })
    await assert.rejects(unable.open(nothing, nothing), isConfig(/cannot be 'replicated'/))
  })
})
