// One server under measurement, in its own process: `node serve.mjs NAME`. `NAME#2` is the same server once more.
// Answers `cpu`, `heap`, `sockets`, `listeners`, and what the server itself has in `answers`.
import { promisify } from 'node:util'
import { listenersOfLast } from './echo.mjs'

const [name] = process.argv[2].split('#')
const { default: start, answers = {} } = await import(`./servers/${name}.mjs`)
const server = await start()
if (!server.listening) await new Promise((resolve) => server.listen(0, '127.0.0.1', 4096, resolve))

const ANSWERS = {
  /** Microseconds of all threads, user and system. */
  cpu() {
    const { user, system } = process.cpuUsage()
    return user + system
  },
  async heap() {
    for (let n = 0; n < 6; n++) {
      globalThis.gc()
      await new Promise((resolve) => setImmediate(resolve))
    }
    const { heapUsed, rss } = process.memoryUsage()
    return { heapUsed, rss }
  },
  sockets: () => promisify(server.getConnections.bind(server))(),
  listeners: listenersOfLast,
  ...answers,
}

process.on('message', async ({ question, given }) => {
  // Gates of several processes may talk on the same channel.
  if (question !== undefined) process.send({ answer: (await ANSWERS[question](given)) ?? null })
})
process.on('disconnect', () => process.exit())
process.send({ answer: server.address().port })
