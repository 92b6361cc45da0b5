import { systemClock } from '../../core/clock.ts'
import { RedisError, toError, type Arg, type Connection, type Driver } from './driver.ts'
import type { Script } from './script.ts'

const PAUSE_MS = 50
const LONGEST_PAUSE_MS = 2_000
const CONNECT_MS = 5_000
/** How often a connection is asked whether it is there still: nothing else tells, where the network has swallowed it. */
const ASK_MS = 5_000
const ANSWER_MS = 5_000
/** Somebody else has our keys by now, and the address may lead there. */
const MOVED = new Set(['READONLY', 'MASTERDOWN', 'CLUSTERDOWN', 'MOVED'])

const ignore = (): void => undefined

export interface LinkParts {
  readonly driver: Driver
  /** A key of ours. */
  readonly key: string
  /** Makes a new connection fit to be used, or rejects. */
  readonly prepare: (connection: Connection) => Promise<void>
  /** There is a connection again. */
  readonly again?: () => void
}

/** A connection of our own, and another one when it was lost. What is sent while there is none rejects. */
export class Link {
  readonly #parts: LinkParts
  #current: Connection | undefined
  #drop = ignore
  #cancel = ignore
  #stopped = true
  #pause = PAUSE_MS

  constructor(parts: LinkParts) {
    this.#parts = parts
  }

  /** Rejects where there is no connection, or none that is fit. */
  async open(): Promise<void> {
    this.#stopped = false
    await this.#connect()
  }

  close(): void {
    this.#stopped = true
    this.#cancel()
    this.#drop()
  }

  /** Another connection, in place of the one that there is. */
  renew(): void {
    if (this.#current !== undefined) this.#drop()
  }

  async send(args: readonly Arg[]): Promise<unknown> {
    const connection = this.#current
    if (connection === undefined) throw new Error('Redis: not connected')
    try {
      return await connection.send(this.#parts.key, args)
    } catch (thrown) {
      const error = toError(thrown)
      // A client of many servers has lost one of them, and says nothing of it.
      const isLost = MOVED.has(error.code) || (error.code === '' && !this.#parts.driver.isOne)
      if (isLost && this.#current === connection) this.renew()
      throw error
    }
  }

  /** Runs a script; where the server does not know it yet, it is sent. */
  async run(script: Script, keys: readonly string[], args: readonly Arg[] = []): Promise<unknown> {
    const rest = [String(keys.length), ...keys, ...args]
    try {
      return await this.send(['EVALSHA', script.sha, ...rest])
    } catch (error) {
      if (!(error instanceof RedisError) || error.code !== 'NOSCRIPT') throw error
      return await this.send(['EVAL', script.text, ...rest])
    }
  }

  async #connect(): Promise<void> {
    const { driver, prepare } = this.#parts
    let over: (why?: unknown) => void = ignore
    const end = new Promise<never>((_resolve, reject) => {
      over = (why) => reject(toError(why))
    })
    end.catch(ignore)
    const connection = driver.connect((why) => over(why))
    const late = systemClock.after(CONNECT_MS, over)
    this.#drop = over
    const ready = connection.ready.then(async () => await prepare(connection))
    try {
      await Promise.race([ready, end])
    } catch (error) {
      ready.catch(ignore)
      connection.drop()
      throw error
    } finally {
      late()
    }
    this.#use(connection, end, over)
  }

  #use(connection: Connection, end: Promise<never>, over: (why?: unknown) => void): void {
    this.#current = connection
    this.#pause = PAUSE_MS
    const stopAsking = this.#ask(connection, over)
    end.catch(() => {
      stopAsking()
      this.#current = undefined
      connection.drop()
      this.#retry()
    })
  }

  #ask(connection: Connection, over: (why?: unknown) => void): () => void {
    let cancel = ignore
    let isOver = false
    const ask = (): void => {
      cancel = systemClock.after(ASK_MS, () => {
        cancel = systemClock.after(ANSWER_MS, over)
        connection.send(this.#parts.key, ['PING']).then(() => {
          cancel()
          if (!isOver) ask()
        }, over)
      })
    }
    ask()
    return () => {
      isOver = true
      cancel()
    }
  }

  #retry(): void {
    if (this.#stopped) return
    const pause = this.#pause * (0.5 + Math.random())
    this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE_MS)
    this.#cancel = systemClock.after(pause, () => {
      this.#connect().then(
        () => this.#parts.again?.(),
        () => this.#retry(),
      )
    })
  }
}
