// CPU of a server for each handshake, refusal or message, from warmed visits in rounds of a new order each.
import { startServer } from './child.mjs'
import { close, drop, exchange, gets, open, prepare } from './load.mjs'
import { shuffled } from './stats.mjs'

/** Once for each job, until V8 has settled on its code. */
const SETTLE = 4000
/** Before each visit: a server that has been idle is slow at first. */
const WARM_UP = 500
const HANDSHAKES = 1500
const MESSAGES = 12_000
const MESSAGE_CONNECTIONS = 32
/** Open connections that are asked about again. */
const WHO = 1000

/** A part of a row: one job on one server. */
export const keyOf = ({ server, job }) => `${server} ${JSON.stringify(job)}`
/** The same job on a second process of the same server: what differs between the two is noise. */
export const twinOf = (part) => ({ ...part, server: `${part.server}#2` })

/** @returns `cost`, microseconds of CPU for each unit; with handshakes `closing`, with messages `perSecond` */
async function visit(server, job) {
  if (job.message !== undefined) return visitMessages(server, job)
  if (job.kind === 'kept') return visitGets(server, job)
  if (job.kind === 'asked again') return visitAskedAgain(server)
  return visitHandshakes(server, job)
}

async function settle(server, job) {
  if (job.blocker !== undefined) await block(server, job)
  if (job.message !== undefined) return visitMessages(server, job)
  const ready = prepare(server.port, job)
  if (job.kind === 'kept') return gets(ready, SETTLE)
  if (job.kind === 'asked again') return settleAskedAgain(server, job)
  for (let left = SETTLE; left > 0; left -= HANDSHAKES) await close(await open(ready, Math.min(left, HANDSHAKES)))
}

async function visitHandshakes(server, job) {
  const ready = prepare(server.port, job)
  await close(await open(ready, WARM_UP))
  const before = await server.ask('cpu')
  const clients = await open(ready, HANDSHAKES)
  const opened = await server.ask('cpu')
  await close(clients)
  const closed = await server.ask('cpu')
  return { cost: (opened - before) / HANDSHAKES, closing: (closed - opened) / HANDSHAKES }
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

/** Those who are asked about stay for as long as the server does. */
async function settleAskedAgain(server, { who }) {
  if (who !== undefined) await open(prepare(server.port, who), WHO)
  for (let left = SETTLE; left > 0; left -= WHO) await server.ask('ask again')
}

async function visitAskedAgain(server) {
  await server.ask('ask again')
  return { cost: await server.ask('ask again') }
}

async function visitMessages(server, job) {
  const clients = await open(prepare(server.port, job), MESSAGE_CONNECTIONS)
  const count = job.count ?? MESSAGES
  await exchange(clients, job, count / 4)
  const before = await server.ask('cpu')
  const began = performance.now()
  await exchange(clients, job, count)
  const seconds = (performance.now() - began) / 1000
  const cost = ((await server.ask('cpu')) - before) / count
  drop(clients)
  return { cost, perSecond: count / seconds }
}

/**
 * Visits every part once in each round, in a new order.
 *
 * @returns the samples of each part, by `keyOf`
 */
export async function measure(parts, rounds, progress) {
  const samples = new Map(parts.map((part) => [keyOf(part), []]))
  const servers = new Map()
  for (const { server, job } of parts) {
    if (!servers.has(server)) servers.set(server, await startServer(server))
    await settle(servers.get(server), job)
  }
  progress('warmed up')
  for (let round = 1; round <= rounds; round++) {
    const began = performance.now()
    for (const part of shuffled(parts)) samples.get(keyOf(part)).push(await visit(servers.get(part.server), part.job))
    progress(`round ${round} of ${rounds}, ${((performance.now() - began) / 1000).toFixed(0)} s`)
  }
  for (const server of servers.values()) server.stop()
  return samples
}
