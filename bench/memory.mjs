// What stays on the server: heap of idle connections, and sockets of refused clients that do not close.
import { execFileSync } from 'node:child_process'
import { startServer } from './child.mjs'
import { close, drop, exchange, open, openAndStay, prepare } from './load.mjs'

/** These come and go first, until V8 has compiled what it will: code is no connection's memory. */
const WARM_UP = 4000
const BEFORE = 500
const REFUSED = 200

/** As many connections as are wanted, or as the limit on open files lets a process have. Node has raised it as far as it goes. */
export function atMost(wanted) {
  const limit = Number(execFileSync('sh', ['-c', 'ulimit -n'], { encoding: 'utf8' }))
  return Math.min(wanted, Number.isNaN(limit) ? wanted : limit - BEFORE - 200)
}

/** Bytes of heap and of resident memory for one idle connection, in a fresh process. */
export async function idleConnection({ server: name, job }) {
  const count = atMost(5000)
  const server = await startServer(name)
  const ready = prepare(server.port, job)
  for (let left = WARM_UP; left > 0; left -= BEFORE) await close(await open(ready, BEFORE))
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
