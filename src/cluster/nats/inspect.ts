import { Gate101Error } from '../../core/errors.ts'
import type { Durability } from '../engine.ts'
import type { Current } from './head.ts'
import { ApiError, NO_STREAM, type JetStream, type StreamConfig, type StreamInfo } from './jetstream.ts'
import { NatsError, type Link, type NatsClient } from './link.ts'
import type { Names } from './names.ts'

/** What is needed to find out what the server is. */
export interface Inspected {
  readonly link: Link
  readonly jetstream: JetStream
  readonly names: Names
  readonly durable: Durability
  /** Makes all streams that are missing. */
  readonly make: () => Promise<Current>
}

const OLDEST = [2, 9] as const
/** A ticket is at most half of it; answers of JetStream are longer than what they hold. */
const LEAST_PAYLOAD = 128 * 1024
/** Of errors that go by: a cluster without a leader, a peer that is away, a server that is overloaded. */
const PASSING = [10008, 10009, 10023, NO_STREAM]
const NOT_ENABLED = [10039, 10076]
const NOT_CLUSTERED = [10074, 10005]

const config = (message: string): Gate101Error => new Gate101Error('GATE101_CONFIG', `natsCluster: ${message}`)

/**
 * Finds out what the server is, and makes the streams where there are none.
 *
 * @throws Gate101Error `GATE101_CONFIG`
 */
export async function inspect(inspected: Inspected): Promise<Durability> {
  const { link, jetstream, names, durable, make } = inspected
  judgeServer(link.info)
  try {
    await jetstream.account().catch(ifNobody)
    const { log } = await make()
    const infos = [log, ...(await Promise.all([names.head, names.tickets, names.state].map(infoOf(jetstream))))]
    for (const info of infos) judgeStream(info.config, names)
    return judgeDurability(infos.slice(0, 2), durable)
  } catch (error) {
    throw explained(error)
  }
}

const infoOf =
  (jetstream: JetStream) =>
  async (stream: string): Promise<StreamInfo> => {
    const info = await jetstream.info(stream)
    if (info === undefined) throw new NatsError('a stream was taken away at once')
    return info
  }

function judgeServer(info: NatsClient['info']): void {
  if (info === undefined) throw new NatsError('not connected')
  const [major = 0, minor = 0] = info.version.split('.').map(Number)
  if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1]))
    throw config(`nats-server ${OLDEST.join('.')} or later is needed; this is ${info.version}.`)
  if (info.max_payload < LEAST_PAYLOAD)
    throw config(
      `tickets do not fit into a message. Set max_payload = ${LEAST_PAYLOAD} or more in the server's settings.`,
    )
}

function judgeStream(stream: StreamConfig, names: Names): void {
  const { name, max_msgs_per_subject: most, discard_new_per_subject: isFirst } = stream
  const isLog = name.startsWith(names.logs)
  const isFine = isLog ? stream.republish?.dest === names.wake : most === 1
  if (isFine && (isLog || name === names.state || isFirst === true)) return
  throw config(`the stream ${name} has other settings than it was made with. Delete it: nats stream rm ${name}`)
}

function judgeDurability(streams: readonly StreamInfo[], durable: Durability): Durability {
  const copies = Math.min(...streams.map((stream) => stream.config.num_replicas))
  const inMemory = streams.find((stream) => stream.config.storage !== 'file')
  if (inMemory !== undefined && durable !== 'memory')
    throw config(`the stream ${inMemory.config.name} is in memory. Delete it: nats stream rm ${inMemory.config.name}`)
  if (copies < 3 && durable === 'replicated') {
    const edits = streams.map((stream) => `nats stream edit ${stream.config.name} --replicas 3`).join('; ')
    throw config(`the streams have ${copies} replica. Run ${edits}; or say { durable: 'disk' }.`)
  }
  if (inMemory !== undefined) return 'memory'
  return copies >= 3 ? 'replicated' : 'disk'
}

/** What an operator must mend, as that; what goes by as it is. */
export function explained(error: unknown): unknown {
  if (error instanceof NatsError && error.why === 'forbidden')
    return config(
      `this user may not do what is needed. Let it publish to "$JS.API.>" and "gate101.>", and subscribe to "gate101.>" and its inbox.`,
    )
  if (!(error instanceof ApiError) || PASSING.includes(error.code)) return error
  if (NOT_ENABLED.includes(error.code)) return config(NO_JETSTREAM)
  if (NOT_CLUSTERED.includes(error.code))
    return config(`${error.message}. Three replicas need a cluster of three servers; or say { durable: 'disk' }.`)
  return config(`${error.message}. Mend the limits of the account, or the streams in the way.`)
}

/** Of a stream it may be that it has no leader for a moment. */
function ifNobody(error: unknown): never {
  throw error instanceof NatsError && error.why === 'nobody' ? config(NO_JETSTREAM) : error
}

const NO_JETSTREAM =
  'there is no JetStream for this account. Start the server with --jetstream and a --store_dir, and enable it for the account.'
