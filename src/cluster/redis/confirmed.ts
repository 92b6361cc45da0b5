import { Gate101Error } from '../../core/errors.ts'
import { RedisError, toError, toList, toText, type Arg } from './driver.ts'
import type { Send } from './inspect.ts'
import type { Link } from './link.ts'
import type { Run } from './log.ts'
import type { Script } from './script.ts'

/** Shorter than what a caller waits for an answer. */
const WAIT_MS = '2000'
/** On the disks of this server and of a replica; else in the memory of a replica. */
const WAITS: ReadonlyArray<readonly string[]> = [
  ['WAITAOF', '1', '1', WAIT_MS],
  ['WAIT', '1', WAIT_MS],
]

interface Waiting {
  readonly script: Script
  readonly keys: readonly string[]
  readonly args: readonly Arg[]
  resolve(reply: unknown): void
  reject(error: unknown): void
}

/**
 * Writes that wait until a replica has them, on a connection that nobody else uses: it stands still meanwhile. What comes meanwhile is
 * sent together, and waits once.
 */
export class Confirmed {
  readonly #link: Pick<Link, 'send'>
  #wait: readonly string[] = []
  #waiting: Waiting[] = []
  #isBusy = false

  constructor(link: Pick<Link, 'send'>) {
    this.#link = link
  }

  /**
   * Finds out what a replica confirms, where something was written just now.
   *
   * @throws Gate101Error `GATE101_CONFIG` where no replica confirms anything.
   */
  async prepare(send: Send): Promise<void> {
    for (const wait of WAITS) {
      this.#wait = wait
      // oxlint-disable-next-line no-await-in-loop -- the better one first
      if (await isConfirmed(send, wait).catch(isUnknown)) return
    }
    throw new Gate101Error(
      'GATE101_CONFIG',
      `redisCluster: no replica confirms what was written. Connect one (replicaof), or say { durable: 'disk' }.`,
    )
  }

  readonly write: Run = async (script, keys, args = []) =>
    await new Promise((resolve, reject) => {
      this.#waiting.push({ script, keys, args, resolve, reject })
      if (!this.#isBusy) void this.#flush()
    })

  async #flush(): Promise<void> {
    this.#isBusy = true
    while (this.#waiting.length > 0) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await this.#writeAll(this.#waiting.splice(0), 'EVALSHA')
    }
    this.#isBusy = false
  }

  async #writeAll(batch: readonly Waiting[], command: 'EVAL' | 'EVALSHA'): Promise<void> {
    const sent = batch.map(async ({ script, keys, args }) => {
      const what = command === 'EVAL' ? script.text : script.sha
      return await this.#link.send([command, what, String(keys.length), ...keys, ...args])
    })
    const confirmed = isConfirmed(async (args) => await this.#link.send(args), this.#wait).catch(() => false)
    const replies = await Promise.allSettled(sent)
    const isSure = await confirmed
    const unknown: Waiting[] = []
    for (const [n, waiting] of batch.entries()) {
      const reply = replies[n]
      if (reply?.status === 'fulfilled') {
        if (isSure) waiting.resolve(reply.value)
        else waiting.reject(new Error('Redis: no replica has confirmed it'))
      } else if (command === 'EVALSHA' && reply?.reason instanceof RedisError && reply.reason.code === 'NOSCRIPT') {
        unknown.push(waiting)
      } else waiting.reject(reply?.reason)
    }
    if (unknown.length > 0) await this.#writeAll(unknown, 'EVAL')
  }
}

async function isConfirmed(send: Send, wait: readonly string[]): Promise<boolean> {
  const reply = await send(wait)
  const counts = Array.isArray(reply) ? toList(reply) : [reply]
  return counts.every((count) => Number(toText(count)) >= 1)
}

/** Older servers do not have all commands. */
function isUnknown(thrown: unknown): false {
  if (toError(thrown).code === 'ERR') return false
  throw thrown
}
