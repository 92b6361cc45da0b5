// CPU of a server for each handshake, refusal or message, from warmed visits in rounds of a new order each.
import { startServer } from './child.mjs'
import { close, drop, exchange, gets, open, prepare } from './load.mjs'

const WARM_UP = 500
const HANDSHAKES = 1500
const MESSAGE_CONNECTIONS = 32

/** A part of a row: one job on one server. */
export const keyOf = ({ server, job }) => `${server} ${JSON.stringify(job)}`
/** The same job on a second process of the same server: what differs between the two is noise. */
export const twinOf = (part) => ({ ...part, server: `${part.server}#2` })

/** @returns `{ cost }` in microseconds of CPU for each unit, and for messages `perSecond`. */
async function visit(server, job) {
  if (job.message !== undefined) return visitMessages(server, job)
  if (job.kind === 'kept') return visitGets(server, job)
  return visitHandshakes(server, job)
}

async function visitHandshakes(server, job) {
  const ready = prepare(server.port, job)
  if (job.blocker !== undefined) await block(server, job)
  await close(await open(ready, WARM_UP))
  const before = await server.ask('cpu')
  const clients = await open(ready, HANDSHAKES)
  const opened = await server.ask('cpu')
  await close(clients)
  return { cost: (opened - before) / HANDSHAKES, closing: ((await server.ask('cpu')) - opened) / HANDSHAKES }
}

/** One handshake that stays undecided for as long as the server lives, so that the cap is reached. */
async function block(server, job) {
  if (server.blocked) return
  server.blocked = true
  open(prepare(server.port, job.blocker), 1).catch(() => {}) // ends when the server is stopped
  while (!(await reached(server, job))) await new Promise((resolve) => setTimeout(resolve, 10))
}

const reached = (server, job) =>
  open(prepare(server.port, job), 1).then(
    () => true,
    () => false,
  )

async function visitGets(server, job) {
  const ready = prepare(server.port, job)
  await gets(ready, WARM_UP)
  const before = await server.ask('cpu')
  await gets(ready, HANDSHAKES)
  return { cost: ((await server.ask('cpu')) - before) / HANDSHAKES }
}

async function visitMessages(server, job) {
  const clients = await open(prepare(server.port, job), MESSAGE_CONNECTIONS)
  const count = job.count ?? 12_000
  await exchange(clients, job, count / 4)
  const before = await server.ask('cpu')
  const began = performance.now()
  await exchange(clients, job, count)
  const seconds = (performance.now() - began) / 1000
  const cost = ((await server.ask('cpu')) - before) / count
  drop(clients)
  return { cost, perSecond: count / seconds }
}

function shuffled(list) {
  const result = [...list]
  for (let n = result.length - 1; n > 0; n--) {
    const other = Math.floor(Math.random() * (n + 1))
    ;[result[n], result[other]] = [result[other], result[n]]
  }
  return result
}

/**
 * Visits every part once in each round; one round more than asked for goes first and only warms up.
 *
 * @returns the samples of each part, by `keyOf`
 */
export async function measure(parts, rounds, progress) {
  const visits = new Map(parts.map((part) => [keyOf(part), { part, samples: [] }]))
  const servers = new Map()
  for (const { server } of parts) {
    if (!servers.has(server)) servers.set(server, await startServer(server))
  }
  for (let round = 0; round <= rounds; round++) {
    const began = performance.now()
    for (const { part, samples } of shuffled(visits.values())) {
      const sample = await visit(servers.get(part.server), part.job)
      if (round > 0) samples.push(sample)
    }
    progress(`round ${round} of ${rounds}, ${((performance.now() - began) / 1000).toFixed(0)} s`)
  }
  for (const server of servers.values()) server.stop()
  return new Map([...visits].map(([key, { samples }]) => [key, samples]))
}
