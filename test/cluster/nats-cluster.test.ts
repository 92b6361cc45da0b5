import assert from 'node:assert/strict'
import { test } from 'node:test'
import { JetStream } from '../../src/cluster/nats/jetstream.ts'
import { Link } from '../../src/cluster/nats/link.ts'
import { namesOf } from '../../src/cluster/nats/names.ts'
import { natsCluster, type NatsClusterOptions } from '../../src/nats.ts'
import { skipWithout } from '../support/debian.ts'
import { findNats, NatsServers, operate } from '../support/engines-nats.ts'

const skip = skipWithout(findNats())

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const nothing = (): void => undefined

test(
  'nats: of three servers the one that leads may go, and nothing confirmed goes with it',
  { skip, timeout: 60_000 },
  async () => {
    await using servers = await NatsServers.start()
    const operator = await servers.client()
    const open = async (options: NatsClusterOptions) => {
      const engine = natsCluster(await servers.client(), options)
      const { durable } = await engine.open(nothing, nothing)
      return { engine, durable }
    }
    const single = await open({ prefix: 'single' })
    assert.equal(single.durable, 'disk')
    const toEdit = (error: Error): boolean => /nats stream edit gate101_\w+ --replicas 3/.test(error.message)
    await assert.rejects(open({ prefix: 'single', durable: 'replicated' }), toEdit)
    const { engine: one, durable } = await open({ durable: 'replicated' })
    assert.equal(durable, 'replicated')
    const { engine: two } = await open({ durable: 'replicated' })

    const { generation } = await one.read(0, 1)
    const ticket = { id: 'i'.repeat(43), owner: 'o'.repeat(43), data: bytes('t'), lifetime: 60_000, limit: 1 }
    assert.equal(await one.tickets.add(ticket), true)
    assert.deepEqual(Buffer.from((await two.tickets.take(ticket.id))!), Buffer.from('t'))
    const confirmed = new Map<number, string>()
    const seen = new Set<string | undefined>()
    /** Until one is confirmed after so many others were. */
    const append = async (count: number): Promise<void> => {
      for (let n = 0; n < count;) {
        const text = `${confirmed.size}.${n}`
        const seq = await atMost(500, one.append(generation, bytes(text)))
        if (seq === 'unsure') await new Promise((resolve) => setTimeout(resolve, 20))
        else if (seq === undefined) return void seen.add(undefined)
        else n = confirmed.set(seq, text).size
      }
    }
    await append(30)
    const info = await operate(operator, `STREAM.INFO.${namesOf('gate101').log(generation)}`)
    const { leader } = info['cluster'] as { leader: string }
    const alone = servers.all[Number(leader.slice(1))]!
    const others = servers.all.filter((server) => server !== alone)
    const stream = new JetStream(new Link(await alone.client()))
    const log = (await stream.info(namesOf('gate101').log(generation)))!
    for (const server of others) server.pause()
    assert.equal((await stream.info(log.config.name))?.state.last_seq, log.state.last_seq)
    // What was on its way when they stopped may count still.
    await until(async () => (await atMost(500, stream.agree(log.config))) === 'unsure')
    for (const server of others) server.resume()
    await until(async () => await stream.agree(log.config))
    const killed = alone.kill()
    await Promise.all([append(60), killed])
    assert.deepEqual([...seen], [], 'it was taken for another generation')
    const page = await until(async () => await two.read(0, 1000))
    assert.equal(page.generation, generation)
    for (const [seq, text] of confirmed)
      assert.equal(new TextDecoder().decode(page.entries.find((entry) => entry.seq === seq)?.data), text)
    assert.equal(await until(async () => [await two.tickets.take(ticket.id)]).then(([data]) => data), undefined)
    for (const engine of [single.engine, one, two]) await engine.close()
  },
)

/** What is on its way to a server that goes is never answered. */
async function atMost<T>(ms: number, promise: Promise<T>): Promise<T | 'unsure'> {
  const unsure = new Promise<'unsure'>((resolve) => setTimeout(resolve, ms, 'unsure'))
  return await Promise.race([promise.catch(() => 'unsure' as const), unsure])
}

/** Nothing tells when the others have agreed on who leads. */
async function until<T>(check: () => Promise<T>): Promise<T> {
  for (;;) {
    const found = await check().catch(() => undefined)
    if (found !== undefined) return found
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
