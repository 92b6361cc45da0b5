// One node of a cluster of gates, on the engine that the environment names.
import { createServer } from 'node:http'
import { createGate } from '../../dist/index.js'
import { answersFor, join } from '../revoked.mjs'

const { CLUSTER_ENGINE: name, CLUSTER_PORT: port } = process.env

const ENGINES = {
  async redis() {
    const { createClient } = await import('redis')
    const { redisCluster } = await import('../../dist/redis.js')
    return redisCluster(createClient({ url: `redis://127.0.0.1:${port}` }))
  },
  async nats() {
    const { connect } = await import('@nats-io/transport-node')
    const { natsCluster } = await import('../../dist/nats.js')
    const options = { servers: `127.0.0.1:${port}`, maxReconnectAttempts: -1, pingInterval: 5000 }
    return natsCluster(await connect(options))
  },
  async postgres() {
    const { default: pg } = await import('pg')
    const { postgresCluster } = await import('../../dist/postgres.js')
    const pool = new pg.Pool({ connectionString: `postgres://owner@127.0.0.1:${port}/postgres` })
    pool.on('error', () => {})
    return postgresCluster(pool)
  },
  async ipc() {
    const { ipcCluster } = await import('../../dist/ipc.js')
    return ipcCluster()
  },
}

let gate

export const answers = {
  // Where the engine is away it rejects, and is written later.
  ...answersFor({ one: (subject) => gate.revoke({ subject }).catch(() => {}) }),
  isReady: () => gate.ready,
}

export default async function start() {
  const subjectOf = ({ headers }) => headers.cookie.slice('sid='.length)
  gate = createGate({
    // Cookies stand for keys here: they come from no browser.
    credentialHeaders: ['cookie'],
    identify: (req) => ({ subject: subjectOf(req) }),
    secret: 'Qm7zXv4Lr9Tn2Wd8Ky5Hs3Bf6Gc1JpAeUoZiRtVqXw',
    cluster: await ENGINES[name](),
    recheck: false,
  })
  const route = gate.websocket((ws, _req, { identity }) => join(ws, identity.subject))
  const server = createServer((req, res) => route(req, res))
  gate.attach(server)
  return server
}
