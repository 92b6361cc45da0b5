import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** The demo as a process of its own. */
export interface Demo {
  readonly port: number
  /** What it has printed when it was ready, as lines. */
  readonly printed: readonly string[]
  /** Its next lines, this many, of those that begin so: `accepted /ws demo`, `refused /ws 401 by the middleware`. */
  says(count: number, begin?: RegExp): Promise<readonly string[]>
  /** @returns its exit code, which is null where it had to be killed. */
  stop(signal?: 'SIGTERM' | 'SIGINT'): Promise<number | null>
}

/** The demo, and its time. */
export interface JumpingDemo extends Demo {
  /** Lets so many milliseconds pass at once, and what was due meanwhile be done. */
  jump(ms: number): Promise<void>
  /** What its clock shows, in milliseconds since the epoch. */
  now(): Promise<number>
}

/** Starts the demo as `npm start` does, on a free port, and waits until it has said all. */
export async function startDemo(
  env: Readonly<Record<string, string>> = {},
  args: readonly string[] = [],
): Promise<Demo> {
  return await ready(start(env, ['--import', 'tsx', 'examples/demo.ts', ...args], 'ignore'))
}

/** The same, with a time that jumps where the test says so: nobody has to be quick, and nobody waits. */
export async function startJumpingDemo(): Promise<JumpingDemo> {
  const child = start({}, ['--import', './test/support/jump.mjs', '--import', 'tsx', 'examples/demo.ts'], 'ipc')
  const jump = async (ms: number): Promise<number> => {
    const jumped = once(child, 'message')
    child.send(ms)
    const [now] = (await jumped) as [number]
    return now
  }
  return { ...(await ready(child)), now: async () => await jump(0), jump: async (ms) => void (await jump(ms)) }
}

type Child = ChildProcess & { readonly stdout: Readable }

function start(env: Readonly<Record<string, string>>, args: readonly string[], channel: 'ignore' | 'ipc'): Child {
  assert.ok(existsSync(`${root}/dist/index.js`), 'The demo imports gate101 by name: run `npm run build` first.')
  return spawn(process.execPath, args, {
    cwd: root,
    env: { ...process.env, ...env, PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit', channel],
  }) as Child
}

async function ready(child: Child): Promise<Demo> {
  const closed = once(child, 'close') as Promise<[code: number | null]>
  const lines = createInterface({ input: child.stdout })
  const hear = (count: number, isMeant: (line: string) => boolean): Promise<readonly string[]> =>
    new Promise((resolve) => {
      const heard: string[] = []
      const listen = (line: string): void => {
        if (!isMeant(line)) return
        heard.push(line.replaceAll(/(?<=\S) +/g, ' '))
        if (heard.length < count) return
        lines.off('line', listen)
        resolve(heard)
      }
      lines.on('line', listen)
    })
  const printed: string[] = []
  const keep = (line: string): void => void printed.push(line)
  lines.on('line', keep)
  await Promise.race([hear(1, (line) => line.startsWith('Ctrl-C')), closed])
  lines.off('line', keep)
  const port = Number(/localhost:(\d+)/.exec(printed.join('\n'))?.[1])
  assert.ok(port > 0, printed.join('\n'))
  return {
    port,
    printed,
    says: (count, begin = /^(?:accepted|refused)/) => hear(count, (line) => begin.test(line)),
    async stop(signal = 'SIGTERM') {
      child.kill(signal)
      const [code] = await closed
      return code
    },
  }
}
