import { createHash, randomBytes } from 'node:crypto'
import type { LogEntry, LogPage } from '../engine.ts'
import { toBytes, toList, toText, type Arg } from './driver.ts'
import { APPEND, READ, RESTART, TRIM } from './log-scripts.ts'
import type { Names } from './names.ts'
import type { Script } from './script.ts'

/** Runs a script, once. */
export type Run = (script: Script, keys: readonly string[], args?: readonly Arg[]) => Promise<unknown>

export interface LogParts {
  readonly names: Names
  readonly run: Run
  /** Resolves only when what it has written is as durable as was promised. */
  readonly write: Run
  /** A server that others have left behind must not answer: it does not know what they know. */
  readonly isReplicated: boolean
}

/** The newest entry that this process has seen. */
interface Seen {
  readonly generation: string
  readonly seq: number
  readonly digest: string
}

const NOTHING: Seen = { generation: '', seq: 0, digest: '' }

export class Log {
  readonly #parts: LogParts
  readonly #keys: readonly string[]
  #seen = NOTHING

  constructor(parts: LogParts) {
    this.#parts = parts
    this.#keys = [parts.names.head, parts.names.log]
  }

  async append(generation: string, data: Uint8Array): Promise<number | undefined> {
    const { names, write } = this.#parts
    const reply = await write(APPEND, this.#keys, [...this.#known(), generation, data, names.wake])
    if (reply === null) return undefined
    const seq = Number(toText(reply))
    this.#see(generation, { seq, data })
    return seq
  }

  async read(after: number, limit: number): Promise<LogPage> {
    const { run, write, isReplicated } = this.#parts
    const args = [...this.#known(), String(after), String(limit), isReplicated ? '1' : '0']
    const page = toPage(toList(await (isReplicated ? write : run)(READ, this.#keys, args)))
    const newest = page.entries.at(-1)
    if (newest !== undefined) this.#see(page.generation, newest)
    return page
  }

  async trim(generation: string, upTo: number): Promise<void> {
    await this.#parts.run(TRIM, this.#keys, [generation, String(upTo)])
  }

  async restart(generation: string): Promise<void> {
    await this.#parts.run(RESTART, this.#keys, [newGeneration(), generation])
  }

  #known(): string[] {
    const { generation, seq, digest } = this.#seen
    return [newGeneration(), generation, String(seq), digest]
  }

  /** Answers of two connections may come in another order than they were given in. */
  #see(generation: string, { seq, data }: LogEntry): void {
    if (generation === this.#seen.generation && seq <= this.#seen.seq) return
    this.#seen = { generation, seq, digest: createHash('sha1').update(data).digest('hex') }
  }
}

function newGeneration(): string {
  return randomBytes(16).toString('base64url')
}

function toPage([generation, age, floor, last, ...rest]: readonly unknown[]): LogPage {
  const entries: LogEntry[] = []
  for (let n = 0; n < rest.length; n += 2) entries.push({ seq: Number(toText(rest[n])), data: toBytes(rest[n + 1]) })
  return {
    generation: toText(generation),
    age: Math.max(0, Number(toText(age))),
    floor: Number(toText(floor)),
    last: Number(toText(last)),
    entries,
  }
}
