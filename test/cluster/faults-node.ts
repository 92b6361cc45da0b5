import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  createGate,
  Gate101Error,
  type Clock,
  type ClusterEngine,
  type ClusterLossOption,
  type GateEvent,
  type Revoked,
} from '../../src/index.ts'

// One node of the fault suite: a server with a gate, told what to do by the process that has started it.

/** What is given to it, as JSON in `FAULTS_NODE`. */
export interface NodeOptions {
  readonly engine: 'postgres' | 'redis' | 'nats' | 'ipc'
  /** Where the engine is reached. */
  readonly port: number
  readonly secret: string
  /** Its time begins here, and runs so many times faster: what takes seconds takes a part of them. */
  readonly begin: number
  readonly speed: number
  /** How far its clock is off (ms). */
  readonly skew: number
  readonly limit?: number
  readonly onClusterLoss: ClusterLossOption
  readonly dangerouslyAcceptWhenStale?: boolean
}

/** What it says. */
export type Said =
  | { readonly faults: 'listens'; readonly port: number }
  | { readonly faults: 'event'; readonly time: number; readonly event: GateEvent }
  | { readonly faults: 'revoked'; readonly id: number; readonly answer?: Revoked; readonly code?: string }

/** What it is told. */
export type Told =
  | {
      readonly faults: 'revoke'
      readonly id: number
      readonly out: { readonly subject: string }
      readonly except?: { readonly session: string }
    }
  | { readonly faults: 'stop' }

const options = JSON.parse(process.env['FAULTS_NODE'] ?? '') as NodeOptions

const clock: Clock = {
  now: () => options.begin + (Date.now() - options.begin) * options.speed + options.skew,
  after(ms, call) {
    const timer = setTimeout(call, ms / options.speed)
    timer.unref()
    return () => clearTimeout(timer)
  },
}

const MAKERS: Readonly<Record<NodeOptions['engine'], () => Promise<ClusterEngine>>> = {
  async postgres() {
    const { Pool } = (await import('pg')).default
    const { postgresCluster } = await import('../../src/postgres.ts')
    const pool = new Pool({ connectionString: `postgres://owner@127.0.0.1:${options.port}/postgres` })
    pool.on('error', () => undefined)
    return postgresCluster(pool)
  },
  async redis() {
    const { createClient } = await import('redis')
    const { redisCluster } = await import('../../src/redis.ts')
    return redisCluster(createClient({ url: `redis://127.0.0.1:${options.port}` }))
  },
  async nats() {
    const { connect } = await import('@nats-io/transport-node')
    const { natsCluster } = await import('../../src/nats.ts')
    // As the recipe says, and as it is by default.
    const pace = { pingInterval: 5000 / options.speed, reconnectTimeWait: 2000 / options.speed }
    const servers = `127.0.0.1:${options.port}`
    return natsCluster(await connect({ servers, maxReconnectAttempts: -1, ...pace }))
  },
  async ipc() {
    const { ipcCluster } = await import('../../src/ipc.ts')
    return ipcCluster()
  },
}

const say = (said: Said): void => void process.send?.(said)

function identify({ headers }: IncomingMessage) {
  const { issuedAt, ...who } = JSON.parse(String(headers['x-api-key'])) as { subject: string; issuedAt?: number }
  return { ...who, ...(issuedAt === undefined ? {} : { issuedAt: new Date(issuedAt) }) }
}

const { limit, onClusterLoss, dangerouslyAcceptWhenStale = false, secret } = options
const gate = createGate({
  identify,
  secret,
  clock,
  cluster: await MAKERS[options.engine](),
  onClusterLoss,
  dangerouslyAcceptWhenStale,
  ...(limit === undefined ? {} : { limits: { connectionsPerSubject: limit } }),
  tickets: { lifetime: 30_000 },
  recheck: false,
})
gate.on('*', (event) => {
  if (event.type === 'warning') return
  const cause = 'cause' in event ? { cause: String(event.cause) } : {}
  say({ faults: 'event', time: Date.now(), event: { ...event, ...cause } })
})

const live = gate.websocket((socket) => socket.on('message', () => undefined))
const ticket = gate.ticket('/live')
const server = createServer((req, res) => (req.method === 'POST' ? ticket(req, res) : live(req, res)))
gate.attach(server)
server.listen(0, '127.0.0.1', () => say({ faults: 'listens', port: (server.address() as AddressInfo).port }))

async function stop(): Promise<void> {
  await gate.close()
  process.exit()
}

process.on('message', (told: Told) => {
  if (told.faults === 'stop') void stop()
  if (told.faults !== 'revoke') return
  const { id, out, except } = told
  gate.revoke(out, except === undefined ? {} : { except }).then(
    (answer) => say({ faults: 'revoked', id, answer }),
    (error: unknown) =>
      say({ faults: 'revoked', id, code: error instanceof Gate101Error ? error.code : String(error) }),
  )
})
process.on('disconnect', () => process.exit())
