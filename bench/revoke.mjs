// Revocations among many open connections, seen from the clients: when the last frame of somebody who is out has come.
import { startServer } from './child.mjs'
import { hearsEnough, listen } from './listen.mjs'
import { drop, open, prepare } from './load.mjs'
import { atMost } from './memory.mjs'
import { SOCKETS } from './revoked.mjs'
import { shuffled } from './stats.mjs'

const CONNECTIONS = 10_000
/** In each visit. */
const REVOCATIONS = 100
const CONCURRENCY = 64
/** Clients that are waited for at a time; a multiple of the sockets that one subject has. */
const AT_ONCE = 1000

/** A multiple of the sockets that one subject has. */
export const connections = () => Math.floor(atMost(CONNECTIONS) / SOCKETS) * SOCKETS

/**
 * Visits every server once in each round, in a new order.
 *
 * @returns for each server a list of visits: `latencies` of single revocations, and `all`, what the last one did to everybody
 */
export async function measureRevocations(names, job, rounds, progress) {
  const servers = []
  for (const name of names) {
    const server = await startServer(name)
    servers.push({ server, ready: prepare(server.port, job), visits: [] })
  }
  for (let round = 0; round <= rounds; round++) {
    for (const { server, ready, visits } of shuffled(servers)) {
      const seen = await visit(server, ready)
      if (round > 0) visits.push(seen) // the first is the warm-up
    }
    progress(`revocations: ${round === 0 ? 'warmed up' : `round ${round} of ${rounds}`}`)
  }
  for (const { server } of servers) server.stop()
  return new Map(servers.map(({ server, visits }) => [server.name, visits]))
}

async function visit(server, ready) {
  const bySubject = new Map()
  const come = async (count) => {
    for (const client of await open(ready, count, CONCURRENCY)) {
      const subject = `user-${Math.floor(client.number / SOCKETS)}`
      bySubject.set(subject, [...(bySubject.get(subject) ?? []), listen(client)])
    }
  }
  for (let left = connections(); left > 0; left -= AT_ONCE) await come(Math.min(left, AT_ONCE))
  const latencies = []
  for (const subject of shuffled([...bySubject.keys()]).slice(0, REVOCATIONS)) {
    latencies.push(await revokeOne(server, subject, bySubject.get(subject)))
    bySubject.delete(subject)
    await come(SOCKETS)
  }
  const all = await revokeAll(server, [...bySubject.values()].flat())
  return { latencies, all }
}

/** @returns milliseconds from the call to the last frame of any of them, the Close included */
async function revokeOne(server, subject, those) {
  const heard = Promise.all(those.map(hearsEnough))
  await server.ask('talk', subject)
  await heard
  const { at } = await server.ask('revoke', subject)
  await Promise.all(those.map(({ gone }) => gone))
  await server.ask('hush')
  check(those)
  return Math.max(...those.map(({ lastAt }) => lastAt)) - at
}

async function revokeAll(server, those) {
  const { at, ...found } = await server.ask('revoke all')
  await Promise.all(those.map(({ gone }) => gone))
  check(those)
  drop(those.map(({ client }) => client))
  return { ...found, closed: Math.max(...those.map(({ closedAt }) => closedAt)) - at }
}

function check(those) {
  for (const { closedAt, client } of those) {
    if (closedAt === 0) throw new Error('somebody who is out has had no Close')
    if (client.frames.late > 0) throw new Error('a message came after the Close')
  }
}
