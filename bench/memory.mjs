// What stays on the server: heap of idle connections, and sockets of refused clients that do not close.
import { execFileSync } from 'node:child_process'
import { startServer } from './child.mjs'
import { drop, exchange, open, openAndStay, prepare } from './load.mjs'

const BEFORE = 500
const REFUSED = 200

/** As many connections as the limit on open files lets a process have, at most 5000. */
function countOfConnections() {
  const limit = Number(execFileSync('sh', ['-c', 'ulimit -n'], { encoding: 'utf8' }))
  return Math.min(5000, Number.isNaN(limit) ? 5000 : limit - BEFORE - 200)
}

/** Bytes of heap and of resident memory for one idle connection, in a fresh process. */
export async function idleConnection({ server: name, job }) {
  const count = countOfConnections()
  const server = await startServer(name)
  const ready = prepare(server.port, job)
  const clients = await open(ready, BEFORE)
  const before = await server.ask('heap')
  clients.push(...(await open(ready, count)))
  const after = await server.ask('heap')
  server.stop()
  drop(clients)
  return { heap: (after.heapUsed - before.heapUsed) / count, rss: (after.rss - before.rss) / count }
}

/** Sockets that the server still has one second after it refused clients, in each way, that keep their side open. */
export async function heldAfterRefusal(name, jobs) {
  const server = await startServer(name)
  const clients = []
  for (const job of jobs) clients.push(...(await openAndStay(prepare(server.port, job), REFUSED)))
  await new Promise((resolve) => setTimeout(resolve, 1000))
  const held = await server.ask('sockets')
  server.stop()
  drop(clients)
  return held
}

/** Listeners on an open connection that has echoed a message. */
export async function listeners(name, job) {
  const server = await startServer(name)
  const clients = await open(prepare(server.port, job), 1)
  await exchange(clients, job, 2)
  const found = await server.ask('listeners')
  server.stop()
  drop(clients)
  return found
}
