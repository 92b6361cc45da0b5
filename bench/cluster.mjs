// Rows about many nodes: how long a revocation takes to reach them all, and who survives it where the engine is killed.
import { BOUND, connections, runCluster, SOCKETS } from './cluster-run.mjs'
import { findEngines } from './engines.mjs'
import { median, quantile, verdict } from './stats.mjs'

/** Of each engine, in each round. */
const CALM = 20
const GOAL = 100

const plain = { headers: { Origin: 'same-origin' } }
const socketIo = {
  path: '/ws/?EIO=4&transport=websocket',
  headers: {},
  steps: [{ await: 1 }, { send: '40', await: 1 }],
}
const gateOn = (engine) => ({ name: `gate101 on ${engine}`, server: 'cluster-gate', engine, job: plain })
const CONTROLS = [
  { name: 'plain pub/sub of Redis, by hand', server: 'cluster-pubsub', engine: 'redis', job: plain },
  { name: 'Socket.IO, adapter for Redis', server: 'cluster-socket-io', engine: 'redis', job: socketIo },
]

/** @returns rows of data */
export async function clusterRows(rounds, progress) {
  const engines = await findEngines()
  const systems = [...engines.keys(), 'ipc'].map(gateOn)
  if (engines.has('redis')) systems.unshift(...CONTROLS)
  const found = []
  for (const system of systems) {
    const counts = { calm: CALM * rounds, killed: rounds }
    found.push({ system, ...(await runCluster(system, engines.get(system.engine), counts, progress)) })
  }
  return [...found.map((one) => latencyRow(one, found[0])), ...found.filter(({ of }) => of > 0).map(survivorRow)]
}

const isOurs = ({ server }) => server === 'cluster-gate'

function latencyRow({ system, latencies }, control) {
  const summary = (list) => ({
    p50: median(list),
    p99: quantile(list, 0.99),
    max: Math.max(...list),
    count: list.length,
  })
  const latency = { of: summary(latencies), over: summary(control.latencies) }
  const goal = isOurs(system) ? GOAL : undefined
  return {
    name: `last frame of one subject (${SOCKETS} sockets) among ${connections()} on three nodes, after revocation: ${system.name}`,
    unit: 'latency',
    goal,
    value: latency.of.p99,
    latency,
    verdict: verdict(latency.of.p99, goal),
  }
}

function survivorRow({ system, survivors, of }) {
  const goal = isOurs(system) ? 0 : undefined
  return {
    name: `of ${of} sockets revoked while the engine was killed, open ${BOUND / 1000} s later: ${system.name}`,
    unit: 'count',
    goal,
    value: survivors,
    verdict: verdict(survivors, goal),
  }
}
