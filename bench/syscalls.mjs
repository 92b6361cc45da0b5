// System calls for one handshake, counted by `strace` on the server's main thread. Those of the memory manager and of the
// garbage collector's threads come when they like, and are left out.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { startServer } from './child.mjs'
import { close, open, prepare } from './load.mjs'

const UNITS = 1000
const NOT_OURS = new Set(['total', 'futex', 'madvise', 'mmap', 'munmap', 'mprotect', 'brk', 'getpid'])

export const HAS_STRACE = spawnSync('strace', ['-V']).status === 0

/** @returns `{ total, calls }`, calls by name, each for one unit; undefined where tracing is not allowed */
export async function syscalls({ server: name, job }) {
  const server = await startServer(name)
  const ready = prepare(server.port, job)
  await close(await open(ready, 1000, 16))
  const tracer = spawn('strace', ['-c', '-p', String(server.pid)], { stdio: ['ignore', 'ignore', 'pipe'] })
  let text = ''
  const attached = new Promise((resolve) => {
    tracer.stderr.on('data', (chunk) => {
      text += chunk
      if (text.includes('attached')) resolve(true)
    })
    tracer.once('exit', () => resolve(false))
  })
  if (!(await attached)) {
    server.stop()
    return undefined
  }
  const clients = await open(ready, UNITS, 16)
  tracer.kill('SIGINT')
  await once(tracer, 'close')
  await close(clients)
  server.stop()
  return parse(text)
}

function parse(text) {
  const calls = {}
  for (const line of text.split('\n')) {
    const found = /^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)(?:\s+\d+)?\s+(\w+)$/.exec(line)
    if (found !== null && !NOT_OURS.has(found[2])) calls[found[2]] = Number(found[1]) / UNITS
  }
  return { total: Object.values(calls).reduce((sum, count) => sum + count, 0), calls }
}
