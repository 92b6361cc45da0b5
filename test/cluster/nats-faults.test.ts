import assert from 'node:assert/strict'
import { after, afterEach, before, describe, test } from 'node:test'
import type { NatsConnection } from '@nats-io/transport-node'
import type { ClusterEngine } from '../../src/cluster/engine.ts'
import { namesOf } from '../../src/cluster/nats/names.ts'
import { Gate101Error } from '../../src/core/errors.ts'
import { natsCluster, type NatsClient, type NatsClusterOptions } from '../../src/nats.ts'
import { skipWithout } from '../support/debian.ts'
import { findNats, NatsServer, operate, streamsOf } from '../support/engines-nats.ts'

const skip = skipWithout(findNats())

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

/** An engine, with what it was told. */
class Node {
  static readonly #opened: Node[] = []
  readonly engine: ClusterEngine
  readonly heard: string[] = []
  wakes = 0

  private constructor(engine: ClusterEngine) {
    this.engine = engine
  }

  static async open(server: NatsServer, options?: NatsClusterOptions): Promise<Node> {
    const node = new Node(natsCluster(await server.client(), options))
    Node.#opened.push(node)
    await node.engine.open(
      (data) => void node.heard.push(new TextDecoder().decode(data)),
      () => void (node.wakes += 1),
    )
    return node
  }

  static async closeAll(): Promise<void> {
    for (const { engine } of Node.#opened.splice(0)) await engine.close()
  }

  /** Says it until the others hear it: what is said while a client is away is lost. */
  async say(text: string, ...others: readonly Node[]): Promise<void> {
    await until(async () => {
      await this.engine.say(bytes(text))
      return others.every(({ heard }) => heard.includes(text))
    })
  }

  async texts(): Promise<string[]> {
    const { entries } = await this.engine.read(0, 1000)
    return entries.map(({ data }) => new TextDecoder().decode(data))
  }
}

const ticket = (id: string, owner = 'o') => ({
  id: id.padEnd(43, '_'),
  owner: owner.repeat(43),
  data: bytes(id),
  lifetime: 60_000,
  limit: 5,
})

afterEach(async () => await Node.closeAll())

describe('nats, a server with faults', { skip, timeout: 120_000 }, () => {
  let server: NatsServer

  before(async () => {
    server = await NatsServer.start()
  })

  after(async () => {
    await server?.stop()
  })

  test('killed and restarted, it has all that it has confirmed, and listens again', async () => {
    const prefix = 'killed'
    const one = await Node.open(server, { prefix })
    const two = await Node.open(server, { prefix })
    const { generation } = await one.engine.read(0, 1)
    await one.engine.tickets.add(ticket('taken'))
    assert.notEqual(await two.engine.tickets.take(ticket('taken').id), undefined)
    for (let n = 1; n <= 5; n++) await one.engine.append(generation, bytes(`trimmed${n}`))
    await one.engine.trim(generation, 5)
    const confirmed = new Map<number, string>()
    const enough = new Promise<void>((resolve) => {
      const append = async (text: string): Promise<void> => {
        const seq = await one.engine.append(generation, bytes(text))
        confirmed.set(seq!, text)
        if (confirmed.size === 50) resolve()
        await append(`${text}+`)
      }
      for (let n = 0; n < 4; n++) append(`${n}`).catch(nothing)
    })
    await enough
    await server.kill()
    await assert.rejects(one.engine.append(generation, bytes('away')), /^NatsError: NATS: not connected$/)
    const { wakes } = two
    await server.restart()
    const page = await until(async () => await two.engine.read(0, 1000))
    assert.deepEqual([page.generation, page.floor], [generation, 5])
    for (const [seq, text] of confirmed)
      assert.equal(new TextDecoder().decode(page.entries.find((entry) => entry.seq === seq)?.data), text)
    assert.equal(
      await until(async () => [await two.engine.tickets.take(ticket('taken').id)]).then(([it]) => it),
      undefined,
    )
    await one.say('back', one, two)
    assert.ok(two.wakes > wakes)
    const before = two.wakes
    await until(async () => await one.engine.append(generation, bytes('on')))
    await until(async () => two.wakes > before)
    await two.engine.close()
    const late = await Node.open(server, { prefix })
    await one.say('closed', one, late)
    assert.ok(!two.heard.includes('closed'))
  })

  test('what is asked while the client is away is not kept for later', async () => {
    const one = await Node.open(server, { prefix: 'away' })
    const { generation } = await one.engine.read(0, 1)
    await server.kill()
    const asked = [
      one.engine.append(generation, bytes('kept')),
      one.engine.append(generation, bytes('kept')),
      one.engine.enter({ key: 'k', id: 'i' }, 60_000, 1),
    ]
    for (const promise of asked) await assert.rejects(promise, /not connected/)
    await assert.rejects(one.engine.append(generation, bytes('kept')), /not connected/)
    await assert.rejects(one.engine.say(bytes('x')), /not connected/)
    await server.restart()
    const page = await until(async () => await one.engine.read(0, 10))
    assert.deepEqual([page.generation, page.last], [generation, 0])
  })

  test('nothing resolves while it stands still, and all goes on afterwards', async () => {
    const one = await Node.open(server, { prefix: 'paused' })
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
})

describe('nats, what lies on the server', { skip, timeout: 120_000 }, () => {
  let server: NatsServer
  let operator: NatsConnection
  let prefixes = 0

  before(async () => {
    server = await NatsServer.start()
    operator = await server.client()
  })

  after(async () => {
    await server?.stop()
  })

  async function three() {
    const prefix = `own${(prefixes += 1)}`
    const options = { prefix }
    const nodes = [await Node.open(server, options), await Node.open(server, options)] as const
    return { prefix, names: namesOf(prefix), nodes, late: async () => await Node.open(server, options) }
  }

  const fill = async ({ engine }: Node, count: number): Promise<string> => {
    const { generation } = await engine.read(0, 1)
    for (let n = 1; n <= count; n++) await engine.append(generation, bytes(`e${n}`))
    return generation
  }

  test('a restart that was left in the middle is finished by whoever comes next', async () => {
    const { names, nodes, late } = await three()
    const [one, two] = nodes
    const generation = await fill(one, 3)
    const next = 'abcdef0123456789'.repeat(2)
    const head = (await operate(operator, `STREAM.INFO.${names.head}`)) as { config: { subjects: string[] } }
    const chain = head.config.subjects[0]!.split('.')[3]!
    const { config } = await operate(operator, `STREAM.INFO.${names.log(generation)}`)
    await operate(operator, `STREAM.CREATE.${names.log(next)}`, {
      ...(config as object),
      name: names.log(next),
      subjects: [names.logSubject(next)],
      republish: { src: names.logSubject(next), dest: names.wake, headers_only: true },
    })
    await operator.request(names.link(chain, generation), next)
    // Nobody has seen it yet.
    assert.equal(await one.engine.append(generation, bytes('e4')), 4)
    assert.equal((await one.engine.read(0, 1)).generation, generation)
    const third = await late()
    assert.deepEqual([(await third.engine.read(0, 1)).generation, (await third.engine.read(0, 1)).last], [next, 0])
    assert.equal(await one.engine.append(generation, bytes('late')), undefined)
    await two.engine.restart(generation)
    assert.equal((await two.engine.read(0, 1)).generation, next)
    assert.deepEqual(await streamsOf(operator, names.anyLog), [names.log(next)])
  })

  test('restarts that cross end in one generation, and leave one stream', async () => {
    const { names, nodes } = await three()
    for (let round = 0; round < 10; round++) {
      const generation = await fill(nodes[0], 2)
      const restarts = Array.from({ length: 6 }, async (_, n) => {
        await nodes[n % 2]!.engine.restart(generation)
        return (await nodes[n % 2]!.engine.read(0, 1)).generation
      })
      const appends = Array.from(
        { length: 6 },
        async (_, n) => await nodes[n % 2]!.engine.append(generation, bytes('x')),
      )
      const seen = new Set(await Promise.all(restarts))
      assert.equal(seen.size, 1)
      assert.ok(!seen.has(generation))
      await Promise.all(appends)
      assert.equal(await nodes[1].engine.append(generation, bytes('late')), undefined)
      assert.equal((await nodes[1].engine.read(0, 1)).last, 0)
      assert.deepEqual(await streamsOf(operator, names.anyLog), [names.log([...seen][0]!)])
    }
  })

  test('a log that was taken away is another generation, for all', async () => {
    const { names, nodes, late } = await three()
    const generation = await fill(nodes[0], 3)
    await operate(operator, `STREAM.DELETE.${names.log(generation)}`)
    assert.equal(await nodes[0].engine.append(generation, bytes('late')), undefined)
    const pages = await Promise.all([...nodes, await late()].map(async ({ engine }) => await engine.read(0, 10)))
    for (const page of pages) {
      assert.notEqual(page.generation, generation)
      assert.deepEqual([page.generation, page.last, page.entries], [pages[0]!.generation, 0, []])
    }
  })

  test('where only the chain of generations was taken away, all agree on one again', async () => {
    const { names, nodes, late } = await three()
    const generation = await fill(nodes[0], 3)
    await operate(operator, `STREAM.DELETE.${names.head}`)
    const third = await late()
    const { generation: next } = await third.engine.read(0, 1)
    assert.notEqual(next, generation)
    assert.equal(await nodes[0].engine.append(generation, bytes('late')), undefined)
    for (const { engine } of nodes) assert.equal((await engine.read(0, 1)).generation, next)
    await nodes[1].engine.restart(generation)
    assert.equal((await nodes[0].engine.read(0, 1)).generation, next)
  })

  test('entries that somebody else has taken away are missing, and those that were trimmed are not', async () => {
    const { names, nodes } = await three()
    const [one, two] = nodes
    const generation = await fill(one, 9)
    await one.engine.trim(generation, 2)
    await operate(operator, `STREAM.PURGE.${names.log(generation)}`, { seq: 5 })
    const page = await two.engine.read(0, 100)
    assert.deepEqual([page.floor, page.last, page.entries.map(({ seq }) => seq)], [2, 9, [5, 6, 7, 8, 9]])
    await two.engine.trim(generation, 99)
    const after = await one.engine.read(0, 100)
    assert.deepEqual([after.floor, after.last, after.entries], [9, 9, []])
    await one.engine.trim(generation, 4)
    assert.equal((await two.engine.read(0, 1)).floor, 9)
    assert.equal(await two.engine.append(generation, bytes('e10')), 10)
    assert.deepEqual(await one.texts(), ['e10'])
    const info = (await operate(operator, `STREAM.INFO.${names.head}`)) as { state: { messages: number } }
    assert.equal(info.state.messages, 2)
  })

  test('whoever reads while others trim sees no gap', async () => {
    const { nodes } = await three()
    const [one, two] = nodes
    const generation = await fill(one, 60)
    const trimming = { isOver: false }
    const trimmed = (async () => {
      for (let n = 1; n <= 59; n++)
        await Promise.all([one.engine.trim(generation, n), one.engine.trim(generation, n - 1)])
    })().finally(() => (trimming.isOver = true))
    while (!trimming.isOver) {
      const { floor, last, entries } = await two.engine.read(0, 100)
      assert.equal(last, 60)
      assert.deepEqual(
        entries.map(({ seq }) => seq),
        Array.from({ length: last - floor }, (_, n) => floor + n + 1),
      )
    }
    await trimmed
    assert.equal((await two.engine.read(0, 100)).floor, 59)
  })

  /** A node whose client does something in between: once, before it asks for what matches. */
  async function interrupted(prefix: string, what: RegExp, act: () => Promise<unknown>): Promise<ClusterEngine> {
    const client = await server.client()
    let isDone = false
    const engine = natsCluster(
      {
        info: client.info,
        publish: nothing,
        subscribe: (subject, options) => client.subscribe(subject, options),
        status: () => client.status(),
        async request(subject, payload, options) {
          if (!isDone && what.test(`${subject} ${typeof payload === 'string' ? payload : ''}`)) {
            isDone = true
            await act()
          }
          return await client.request(subject, payload, options)
        },
      },
      { prefix },
    )
    return engine
  }

  test('what is trimmed or replaced while it is read is no gap', async () => {
    const { names, prefix, nodes } = await three()
    const [one] = nodes
    const generation = await fill(one, 6)
    const trim = async (upTo: number) => await one.engine.trim(generation, upTo)
    const seqs = async (engine: ClusterEngine) => {
      const { floor, last, entries } = await engine.read(0, 100)
      return [floor, last, entries.map(({ seq }) => seq)]
    }
    const beforeEntries = await interrupted(prefix, /MSG\.GET\.\S+_log_/, async () => await trim(3))
    assert.deepEqual(await seqs(beforeEntries), [3, 6, [4, 5, 6]])
    const beforeFloor = await interrupted(prefix, /subjects_filter.*floor/, async () => {
      await one.engine.append(generation, bytes('e7'))
      await trim(7)
    })
    assert.deepEqual(await seqs(beforeFloor), [7, 7, []])
    await one.engine.append(generation, bytes('e8'))
    const beforeLost = await interrupted(prefix, /MSG\.GET\.\S+_log_/, async () => await one.engine.restart(generation))
    const page = await beforeLost.read(0, 100)
    assert.notEqual(page.generation, generation)
    assert.deepEqual([page.floor, page.last, page.entries], [0, 0, []])
    assert.deepEqual(await streamsOf(operator, names.anyLog), [names.log(page.generation)])
  })

  test('a log of several servers is read where they agree on who leads', async () => {
    const { prefix, nodes } = await three()
    await fill(nodes[0], 1)
    const client = await server.client()
    let agreed = 0
    const engine = natsCluster(
      {
        info: client.info,
        publish: nothing,
        subscribe: (subject, options) => client.subscribe(subject, options),
        status: () => client.status(),
        async request(subject, payload, options) {
          const { data } = await client.request(subject, payload, options)
          if (/PURGE.*_log_/.test(subject)) agreed += 1
          return { data: bytes(new TextDecoder().decode(data).replace('"num_replicas":1', '"num_replicas":3')) }
        },
      },
      { prefix },
    )
    const { last, entries } = await engine.read(0, 10)
    assert.deepEqual([last, entries.length, agreed], [1, 1, 1])
  })

  test('what has no time left is not there', async () => {
    const { nodes } = await three()
    const { engine } = nodes[0]
    await engine.report('node', bytes('x'), 0)
    assert.deepEqual(await nodes[1].engine.reports(), [])
    // The oldest one lives: what is behind it is not swept.
    assert.equal(await engine.tickets.add(ticket('first')), true)
    assert.equal(await engine.tickets.add({ ...ticket('late'), lifetime: 0 }), true)
    assert.equal(await nodes[1].engine.tickets.take(ticket('late').id), undefined)
  })

  test('who holds a place holds it, however many others were kept', async () => {
    const { nodes } = await three()
    const places = ['a', 'b', 'c'].map((id) => ({ key: 'k', id }))
    await nodes[0].engine.keep(places, 60_000)
    assert.equal(await nodes[1].engine.enter({ key: 'k', id: 'b' }, 60_000, 1), true)
    assert.equal(await nodes[1].engine.enter({ key: 'k', id: 'd' }, 60_000, 3), false)
    await nodes[0].engine.leave([{ key: 'k', id: 'b' }])
    assert.equal(await nodes[1].engine.enter({ key: 'k', id: 'd' }, 60_000, 3), true)
  })

  test('ten thousand entries come at once', async () => {
    const { nodes } = await three()
    const { generation } = await nodes[0].engine.read(0, 1)
    await Promise.all(Array.from({ length: 10_000 }, async () => await nodes[0].engine.append(generation, bytes('x'))))
    const { entries } = await nodes[1].engine.read(0, 10_000)
    assert.deepEqual(
      entries.map(({ seq }) => seq),
      Array.from({ length: 10_000 }, (_, n) => n + 1),
    )
  })

  test('two never get the last place or the last ticket, and nothing of those who did not is left', async () => {
    const { nodes } = await three()
    for (let round = 0; round < 40; round++) {
      const key = `key${round}`
      const entered = await Promise.all(
        nodes.map(async ({ engine }, n) => await engine.enter({ key, id: `${n}` }, 60_000, 1)),
      )
      assert.ok(entered.filter(Boolean).length <= 1)
      const owner = String.fromCharCode(65 + round)
      const added = await Promise.all(
        nodes.map(async ({ engine }, n) => await engine.tickets.add({ ...ticket(`${round}-${n}`, owner), limit: 1 })),
      )
      assert.ok(added.filter(Boolean).length <= 1)
      if (!entered.includes(true)) assert.equal(await nodes[1].engine.enter({ key, id: 'x' }, 60_000, 1), true)
      for (const [n, isIn] of added.entries())
        assert.equal((await nodes[0].engine.tickets.take(ticket(`${round}-${n}`).id)) !== undefined, isIn)
    }
  })

  test('a ticket is refused under an id that is there for another owner, and those nobody came for go', async () => {
    const { names, nodes } = await three()
    const { tickets } = nodes[0].engine
    assert.equal(await tickets.add(ticket('twin', 'a')), true)
    await assert.rejects(tickets.add(ticket('twin', 'b')), /such a ticket/)
    assert.deepEqual(Buffer.from((await tickets.take(ticket('twin').id))!), Buffer.from('twin'))
    for (let n = 0; n < 30; n++) await tickets.add({ ...ticket(`s${n}`), owner: `${n}`.padEnd(43, 'x'), lifetime: 1 })
    const info = (await operate(operator, `STREAM.INFO.${names.tickets}`)) as { state: { messages: number } }
    assert.ok(info.state.messages <= 3, `${info.state.messages} are left`)
    await assert.rejects(tickets.add({ ...ticket('long'), lifetime: 2 ** 40 }), /longer/)
  })

  test('a node may be called anything that a node may be called', async () => {
    const { nodes } = await three()
    for (const node of ['a.b', '...', '_-', 'A'.repeat(64), 'a'.repeat(64)])
      await nodes[0].engine.report(node, bytes(node), 60_000)
    const reports = await nodes[1].engine.reports()
    for (const { node, data } of reports) assert.equal(new TextDecoder().decode(data), node)
    assert.equal(reports.length, 5)
  })
})

test('nats: what has come back empty is another generation', { skip, timeout: 60_000 }, async () => {
  await using server = await NatsServer.start({ persistence: false })
  const [one, two] = [await Node.open(server), await Node.open(server)]
  const { generation } = await one.engine.read(0, 1)
  await one.engine.append(generation, bytes('gone'))
  await one.engine.enter({ key: 'k', id: 'i' }, 60_000, 1)
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
  await one.engine.keep([{ key: 'k', id: 'i' }], 60_000)
  assert.equal(await two.engine.enter({ key: 'k', id: 'j' }, 60_000, 1), false)
  assert.equal(await two.engine.tickets.add(ticket('t')), true)
  await two.engine.report('two', bytes('x'), 60_000)
  assert.equal((await one.engine.reports()).length, 1)
  await Node.closeAll()
})

test('nats: a server that is full takes nothing more, and goes on where there is room again', { skip }, async () => {
  await using server = await NatsServer.start({ config: 'jetstream { store_dir: "./store", max_file_store: 100KB }' })
  const operator = await server.client()
  await operate(operator, 'STREAM.CREATE.other', { name: 'other', subjects: ['other'], storage: 'file' })
  await operator.request('other', new Uint8Array(20_000))
  const one = await Node.open(server)
  const { generation } = await one.engine.read(0, 1)
  let last = 0
  const fill = async (): Promise<void> => {
    for (;;) last = (await one.engine.append(generation, new Uint8Array(8192)))!
  }
  await assert.rejects(fill(), /JetStream: /)
  assert.ok(last > 3, String(last))
  const page = await one.engine.read(0, 100)
  assert.deepEqual([page.last, page.entries.length], [last, last])
  await operate(operator, 'STREAM.PURGE.other')
  assert.equal(await one.engine.append(generation, bytes('x')), last + 1)
  assert.equal((await one.engine.read(0, 100)).entries.length, last + 1)
  await Node.closeAll()
})

const RIGHTS = `
authorization { users = [
  { user: app, password: p, permissions: {
    publish: ["$JS.API.INFO", "$JS.API.STREAM.LIST", "$JS.API.STREAM.*.*", "$JS.API.STREAM.MSG.GET.*", "gate101.>"],
    subscribe: ["gate101.>", "_INBOX.>"] } },
  { user: mute, password: p, permissions: { publish: ["gate101.>"], subscribe: ["_INBOX.>"] } },
  { user: deaf, password: p, permissions: { publish: [">"], subscribe: ["_INBOX.>"] } },
] }`

test('nats: what is missing is told', { skip, timeout: 60_000 }, async () => {
  const opening = async (client: NatsConnection, options?: NatsClusterOptions) => {
    const engine = natsCluster(client, options)
    return await engine.open(nothing, nothing).finally(async () => await engine.close())
  }
  await using plain = await NatsServer.start({ jetstream: false })
  await assert.rejects(opening(await plain.client()), isConfig(/no JetStream for this account.*--jetstream/))
  await using small = await NatsServer.start({ config: 'max_payload: 65536' })
  await assert.rejects(opening(await small.client()), isConfig(/max_payload = 131072/))
  await using closed = await NatsServer.start({ config: RIGHTS })
  const as = async (user: string) => await closed.client({ user, pass: 'p' })
  for (const user of ['mute', 'deaf'])
    await assert.rejects(opening(await as(user)), isConfig(/publish to "\$JS\.API\.>"/))
  const app = await as('app')
  await assert.rejects(opening(app, { durable: 'replicated' }), isConfig(/cluster of three servers/))
  assert.deepEqual(await opening(app), { durable: 'disk' })
  await using limited = await NatsServer.start({
    config: 'accounts { A { users: [{ user: a, password: p }], jetstream: { max_streams: 2 } } }',
  })
  await assert.rejects(opening(await limited.client({ user: 'a', pass: 'p' })), isConfig(/maximum number of streams/))
})

test('nats: streams that are not what they should be are told', { skip, timeout: 60_000 }, async () => {
  await using server = await NatsServer.start()
  const operator = await server.client()
  const { engine } = await Node.open(server)
  const { generation } = await engine.read(0, 1)
  await Node.closeAll()
  const names = namesOf('gate101')
  const open = async (options?: NatsClusterOptions) => (await Node.open(server, options)).engine
  const remake = async (name: string, change: object): Promise<void> => {
    const { config } = await operate(operator, `STREAM.INFO.${name}`)
    await operate(operator, `STREAM.DELETE.${name}`)
    const made = await operate(operator, `STREAM.CREATE.${name}`, { ...(config as object), ...change })
    assert.equal(made['error'], undefined)
  }
  await remake(names.log(generation), { storage: 'memory' })
  await assert.rejects(open(), isConfig(/is in memory/))
  await Node.closeAll()
  assert.equal((await open({ durable: 'memory' })).name, 'nats')
  await remake(names.log(generation), { storage: 'file' })
  await remake(names.tickets, { discard: 'old', discard_new_per_subject: false })
  await assert.rejects(open(), isConfig(/_tickets has other settings/))
  await Node.closeAll()
})

test('nats: what cannot work is told at once', async () => {
  const client: NatsClient = {
    info: { version: '2.8.4', max_payload: 1_048_576 },
    publish: nothing,
    request: async () => await Promise.reject(new Error('secret@host')),
    subscribe: () => ({ unsubscribe: nothing }),
    async *status() {},
  }
  const wrong: ReadonlyArray<readonly [options: unknown, message: RegExp]> = [
    [{ prefx: 'x' }, /unknown option "prefx"\. Known: prefix, durable/],
    [{ prefix: 1 }, /prefix must be a string/],
    [{ durable: 'paper' }, /durable must be/],
  ]
  for (const [options, message] of wrong)
    assert.throws(() => natsCluster(client, options as NatsClusterOptions), isConfig(message))
  for (const given of [undefined, null, {}, 'nats://', nothing])
    assert.throws(() => natsCluster(given as unknown as NatsClient), isConfig(/what connect\(\) of/))
  await assert.rejects(natsCluster(client).open(nothing, nothing), isConfig(/nats-server 2\.9 or later.*2\.8\.4/))
  const newer = natsCluster({ ...client, info: { version: '2.12.0', max_payload: 1_048_576 } })
  await assert.rejects(newer.open(nothing, nothing), /^NatsError: NATS: the request failed$/)
  await assert.rejects(natsCluster({ ...client, info: undefined }).open(nothing, nothing), /not connected/)
  await newer.close()
  await assert.rejects(newer.say(bytes('x')), /closed/)
})
