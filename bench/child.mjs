// Servers as child processes, pinned away from the load where `taskset` is there.
import { fork, spawnSync } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'

const SERVE = fileURLToPath(new URL('serve.mjs', import.meta.url))

export const PINNED = availableParallelism() > 1 && spawnSync('taskset', ['--version']).status === 0

/** The load keeps to CPU 1; the servers have CPU 0. */
export function pinLoad() {
  if (PINNED) spawnSync('taskset', ['-acp', '1', String(process.pid)])
}

/** Program and arguments that run Node with these arguments where servers run. */
export const onServerCpu = (args) =>
  PINNED ? ['taskset', ['-c', '0', process.execPath, ...args]] : [process.execPath, args]

/** @param env - what it finds in its environment besides; `born` is called with the process at once */
export async function startServer(name, env = {}, born = () => {}) {
  const [execPath, execArgv] = onServerCpu(['--expose-gc'])
  const child = fork(SERVE, [name], { execPath, execArgv, env: { ...process.env, ...env } })
  born(child)
  let stopped = false
  child.once('exit', (code) => {
    if (stopped) return
    console.error(`The server ${name} ended with ${code}.`)
    process.exit(1)
  })
  const port = await answerOf(child)
  return {
    name,
    port,
    pid: child.pid,
    child,
    ask(question, given) {
      child.send({ question, given })
      return answerOf(child)
    },
    stop() {
      stopped = true
      child.kill('SIGKILL')
    },
  }
}

/** Gates of several processes may talk on the same channel. */
function answerOf(child) {
  return new Promise((resolve) => {
    const take = (message) => {
      if (!('answer' in message)) return
      child.off('message', take)
      resolve(message.answer)
    }
    child.on('message', take)
  })
}
