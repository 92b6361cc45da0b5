// Three nodes with many WebSockets, and revocations of somebody who has some on each of them, seen from the clients.
import { ipcHub } from '../dist/ipc.js'
import { startServer } from './child.mjs'
import { hearsEnough, listen } from './listen.mjs'
import { drop, open, prepare } from './load.mjs'
import { atMost } from './memory.mjs'
import { now } from './revoked.mjs'

const NODES = 3
const CONNECTIONS = Number(process.env.BENCH_CLUSTER_SOCKETS ?? 20_000)
/** Of somebody who is revoked, on each node. */
const OF_ONE = [4, 3, 3]
const CONCURRENCY = 64
/** How long an engine that was killed is away (ms), and how long after that somebody may still be open. */
const AWAY = 1000
const KILLED_WITHIN = 3
export const BOUND = 15_000
const READY = 60_000

export const SOCKETS = OF_ONE.reduce((sum, count) => sum + count, 0)
/** In the process of the load, all together. */
export const connections = () => atMost(CONNECTIONS)

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/**
 * @param system - `{ server, engine, job }`: what a node runs, on which engine, and what a client does
 * @param start - of the engine's server; undefined where there is none
 * @returns `latencies` of revocations (ms), and how many sockets have survived one with the engine killed in the middle
 */
export async function runCluster(system, start, { calm, killed }, progress) {
  const engine = await start?.()
  const nodes = await startNodes(system, engine)
  const load = await fill(nodes)
  progress(`${system.name}: ${connections()} connections`)
  const latencies = []
  for (let n = 0; n < calm; n++) latencies.push((await revokeOne(nodes, n % NODES, `calm-${n}`)).latency)
  let survivors = 0
  const kills = engine === undefined ? 0 : killed
  for (let n = 0; n < kills; n++) {
    survivors += (await revokeOne(nodes, n % NODES, `killed-${n}`, engine)).survivors
    progress(`${system.name}: engine killed ${n + 1} of ${kills} times, ${survivors} survivors`)
  }
  drop(load)
  for (const { server } of nodes) server.stop()
  await engine?.[Symbol.asyncDispose]()
  return { latencies, survivors, of: kills * SOCKETS }
}

async function startNodes({ server: name, engine: kind, job }, engine) {
  const env = { CLUSTER_ENGINE: kind, CLUSTER_PORT: String(engine?.port) }
  const hub = ipcHub()
  const nodes = []
  for (let n = 0; n < NODES; n++) {
    const server = await startServer(name, env, (child) => kind === 'ipc' && hub.add(child))
    const jobOf = (subject) => ({ ...job, headers: { ...job.headers, Cookie: `sid=${subject}` } })
    nodes.push({ server, readyFor: (subject) => prepare(server.port, jobOf(subject)) })
  }
  await allReady(nodes)
  return nodes
}

async function allReady(nodes) {
  const until = now() + READY
  for (const { server } of nodes) {
    while (!(await server.ask('isReady'))) {
      if (now() > until) throw new Error(`a node is not ready after ${READY} ms`)
      await sleep(20)
    }
  }
}

async function fill(nodes) {
  const each = Math.floor((connections() - SOCKETS) / NODES)
  const load = []
  for (const { readyFor } of nodes) load.push(...(await open(readyFor('bystander-%n'), each, CONCURRENCY)))
  return load
}

/** @param engine - is killed in the middle, where it is given */
async function revokeOne(nodes, asked, subject, engine) {
  const those = await come(nodes, subject)
  const heard = Promise.all(those.map(hearsEnough))
  for (const { server } of nodes) await server.ask('talk', subject)
  await heard
  const killing = engine === undefined ? undefined : killFor(engine)
  if (engine !== undefined) await sleep(Math.random() * KILLED_WITHIN)
  const { at } = await nodes[asked].server.ask('revoke', subject)
  await killing
  await Promise.race([Promise.all(those.map(({ gone }) => gone)), sleep(BOUND)])
  for (const { server } of nodes) await server.ask('hush')
  const open = those.filter(({ closedAt, client }) => closedAt === 0 && !client.socket.destroyed)
  drop(open.map(({ client }) => client))
  if (engine !== undefined) await allReady(nodes)
  else if (open.length > 0) throw new Error(`${open.length} sockets of somebody who is out are open`)
  return { latency: Math.max(...those.map(({ lastAt }) => lastAt)) - at, survivors: open.length }
}

async function come(nodes, subject) {
  const clients = []
  for (const [n, { readyFor }] of nodes.entries()) clients.push(...(await open(readyFor(subject), OF_ONE[n])))
  return clients.map(listen)
}

/** Before the call, or after it: at some moment of the next milliseconds, for a second. */
async function killFor(engine) {
  await sleep(Math.random() * KILLED_WITHIN)
  await engine.kill()
  await sleep(AWAY)
  await engine.restart()
}
