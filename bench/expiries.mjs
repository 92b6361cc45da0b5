// A hundred thousand expiries, each way in a process of its own: bytes for each, microseconds of CPU for setting and deleting
// one and for setting one that expires, and how many timers are armed.
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { onServerCpu } from './child.mjs'
import { shuffled } from './stats.mjs'

const CHILD = fileURLToPath(new URL('expiries-child.mjs', import.meta.url))

/** @returns for each way a list of what was found, one for each round */
export async function measureExpiries(ways, rounds, progress) {
  const found = new Map(ways.map((way) => [way, []]))
  for (let round = 1; round <= rounds; round++) {
    for (const way of shuffled(ways)) {
      const [program, args] = onServerCpu(['--expose-gc', CHILD, way.split('#')[0]])
      const { stdout } = await promisify(execFile)(program, args)
      found.get(way).push(JSON.parse(stdout))
    }
    progress(`expiries: round ${round} of ${rounds}`)
  }
  return found
}
