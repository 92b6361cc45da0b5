import type { NatsConnection } from '@nats-io/transport-node'
import { namesOf } from '../../src/cluster/nats/names.ts'
import { natsCluster, type NatsClient } from '../../src/nats.ts'
import { skipWithout } from '../support/debian.ts'
import { findNats, NatsServer, operate, streamsOf } from '../support/engines-nats.ts'
import { contract, type Bench } from './contract.ts'

/** Every node has a client of its own, as a process has. */
async function start(clientOf: (client: NatsConnection) => NatsClient): Promise<Bench> {
  const server = await NatsServer.start()
  const clients = [await server.client(), await server.client(), await server.client()].map(clientOf)
  const operator = await server.client()
  let made = 0
  return {
    engine: (prefix) => natsCluster(clients[(made += 1) % 3]!, prefix === undefined ? {} : { prefix }),
    flush: async () => {
      for (const name of await streamsOf(operator)) await operate(operator, `STREAM.DELETE.${name}`)
    },
    lose: async (prefix, seq) => {
      const [log] = await streamsOf(operator, namesOf(prefix).anyLog)
      await operate(operator, `STREAM.MSG.DELETE.${log}`, { seq })
    },
    stop: async () => await server.stop(),
  }
}

/** Servers from 2.10 on tell their time with each answer about a stream, and are not asked for it in another way. */
function telling(client: NatsConnection): NatsClient {
  return {
    get info() {
      return client.info
    },
    publish: (subject, payload) => client.publish(subject, payload),
    subscribe: (subject, options) => client.subscribe(subject, options),
    status: () => client.status(),
    async request(subject, payload, options) {
      if (subject.endsWith('.state.tick')) throw new Error('The server has told its time.')
      const { data } = await client.request(subject, payload, options)
      if (!subject.startsWith('$JS.API.STREAM.INFO.')) return { data }
      const told: object = JSON.parse(new TextDecoder().decode(data))
      return { data: new TextEncoder().encode(JSON.stringify({ ...told, ts: new Date().toISOString() })) }
    },
  }
}

const skip = skipWithout(findNats())

contract('nats through @nats-io/transport-node', async () => await start((client) => client), skip)
contract('nats that tells its time', async () => await start(telling), skip)
