import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { NatsConnection } from '@nats-io/transport-node'
import { JetStream } from '../../src/cluster/nats/jetstream.ts'
import { Link } from '../../src/cluster/nats/link.ts'
import { namesOf } from '../../src/cluster/nats/names.ts'
import { natsCluster } from '../../src/nats.ts'
import { skipWithout } from '../support/debian.ts'
import { findNats, NatsServer } from '../support/engines-nats.ts'

const skip = skipWithout(findNats())
const nothing = (): void => undefined

describe('nats: one message of somebody who may publish', { skip, timeout: 60_000 }, () => {
  let server: NatsServer
  let stranger: NatsConnection
  let prefixes = 0

  before(async () => {
    server = await NatsServer.start()
    stranger = await server.client()
  })

  after(async () => {
    await server?.stop()
  })

  async function open(prefix: string) {
    const engine = natsCluster(await server.client(), { prefix })
    await engine.open(nothing, nothing)
    return engine
  }

  /** A log of one entry, and how the subjects of its generation begin. */
  async function begin() {
    prefixes += 1
    const prefix = `attack${prefixes}`
    const engine = await open(prefix)
    const { generation } = await engine.read(0, 1)
    await engine.append(generation, new Uint8Array(1))
    const info = await new JetStream(new Link(stranger)).info(namesOf(prefix).head)
    const subjects = info?.config.subjects[0]?.replace(/>$/, '') ?? ''
    const publish = async (subject: string, text: string): Promise<void> => {
      stranger.publish(`${subjects}${subject}`, text)
      await stranger.flush()
    }
    return { engine, generation, prefix, publish }
  }

  for (const mark of ['x', '7', '-1', '1e3'])
    it(`a mark that the log is trimmed up to "${mark}" does not keep it from being read`, async () => {
      const { engine, generation, publish } = await begin()
      await publish(`floor.${generation}.${mark}`, '')
      const { last } = await engine.read(0, 10)
      assert.equal(last, 1)
      await engine.close()
    })

  for (const text of ['a b', ' ', 'itself'])
    it(`a link to "${text}" does not keep nodes from starting, nor from beginning anew`, async () => {
      const { engine, generation, prefix, publish } = await begin()
      await publish(`next.${generation}`, text === 'itself' ? generation : text)
      const other = await open(prefix)
      const { generation: current } = await other.read(0, 10)
      await other.restart(current)
      assert.notEqual((await other.read(0, 10)).generation, current)
      await Promise.all([engine, other].map(async (one) => await one.close()))
    })
})
