import { systemClock } from '../../core/clock.ts'
import { DatabaseError, isOfServer, toRow, type Driver, type Row } from './driver.ts'

/** What is used of a session that a pool has lent. */
export interface PgSession {
  query(text: string): Promise<unknown>
  on(event: 'error' | 'end', listener: () => void): unknown
  on(event: 'notification', listener: (message: { readonly payload?: string | undefined }) => void): unknown
  release(destroy: boolean): void
}

/** What is used of a `Pool` of pg 8. */
export interface PgPool {
  readonly totalCount: number
  readonly options?: { readonly max?: number | undefined }
  connect(done: (error: Error | undefined, session: PgSession | undefined) => void): void
  on(event: 'error', listener: () => void): unknown
  removeListener(event: 'error', listener: () => void): unknown
}

const ignore = (): void => undefined

export function pgDriver(pool: PgPool): Driver {
  return {
    async run(text) {
      try {
        return rowsOf(await runOn(pool, text))
      } catch (error) {
        throw new DatabaseError(error)
      }
    },
    async listen(channel, hear, again) {
      const listening = new Listening(pool, channel, hear, again)
      try {
        await listening.start()
      } catch (error) {
        listening.stop()
        throw new DatabaseError(error)
      }
      return async () => listening.stop()
    },
  }
}

/** Sessions that our statements were run on: each has one listener of ours. */
const heard = new WeakSet<PgSession>()

/** With a listener from the first moment on: the server may end a session in the breath in which it has begun it. */
async function lend(pool: PgPool): Promise<PgSession> {
  return await new Promise((resolve, reject) => {
    pool.connect((error, session) => {
      if (session === undefined) return reject(error ?? new Error('The pool has lent no session.'))
      if (!heard.has(session)) session.on('error', ignore)
      heard.add(session)
      resolve(session)
    })
  })
}

/** A session that the network has forgotten never answers: given back, it would soon be the only kind that the pool has. */
async function runOn(pool: PgPool, text: string): Promise<unknown> {
  const session = await lend(pool)
  let isOver = false
  const giveBack = (isLost: boolean): void => {
    cancel()
    if (!isOver) session.release(isLost)
    isOver = true
  }
  const cancel = systemClock.after(LOST_MS, () => giveBack(true))
  try {
    const result = await session.query(text)
    giveBack(false)
    return result
  } catch (error) {
    // What the server itself has said leaves the session as it was; all else is about the session.
    giveBack(!isOfServer(error))
    throw error
  }
}

function rowsOf(result: unknown): readonly Row[] {
  const { rows } = (Array.isArray(result) ? result.at(-1) : result) as { readonly rows: readonly object[] }
  return rows.map(toRow)
}

const PAUSE_MS = 100
/** Nobody waits for an answer that comes later. */
const LOST_MS = 5000
const LONGEST_PAUSE_MS = 5_000
/** How often a session is asked whether it is there still: nothing else tells, where the network has swallowed it. */
const ASK_MS = 15_000
const ANSWER_MS = 10_000

/** One session of the pool, for as long as it is wanted; another one after it was lost. */
class Listening {
  readonly #pool: PgPool
  readonly #statement: string
  readonly #hear: (payload: string) => void
  readonly #again: () => void
  #drop = ignore
  #cancel = ignore
  #stopped = false
  #pause = PAUSE_MS

  constructor(pool: PgPool, channel: string, hear: (payload: string) => void, again: () => void) {
    this.#pool = pool
    this.#statement = `LISTEN "${channel}"`
    this.#hear = hear
    this.#again = again
  }

  async start(): Promise<void> {
    // A pool tells of idle sessions that were lost; some of them are idle because we have used them.
    this.#pool.on('error', ignore)
    await this.#connect()
  }

  stop(): void {
    if (this.#stopped) return
    this.#stopped = true
    this.#cancel()
    this.#drop()
    this.#pool.removeListener('error', ignore)
  }

  async #connect(): Promise<void> {
    const session = await lend(this.#pool)
    let isListening = false
    let isOver = false
    const drop = (): void => {
      if (!isOver) session.release(true)
      isOver = true
    }
    const lost = (): void => {
      const again = isListening && !isOver
      drop()
      if (again) this.#retry()
    }
    session.on('error', lost)
    session.on('end', lost)
    session.on('notification', ({ payload }) => {
      if (!isOver) this.#hear(payload ?? '')
    })
    if (this.#stopped) return drop()
    this.#drop = drop
    try {
      await session.query(this.#statement)
    } catch (error) {
      drop()
      throw error
    }
    if (isOver) throw new Error('The session was lost')
    isListening = true
    this.#ask(session, lost, () => isOver)
  }

  #ask(session: PgSession, lost: () => void, isOver: () => boolean): void {
    this.#cancel = systemClock.after(ASK_MS, () => {
      this.#cancel = systemClock.after(ANSWER_MS, lost)
      session.query('SELECT 1').then(() => {
        if (isOver()) return
        this.#cancel()
        this.#ask(session, lost, isOver)
      }, lost)
    })
  }

  #retry(): void {
    if (this.#stopped) return
    this.#cancel()
    this.#cancel = systemClock.after(this.#pause, () => {
      this.#connect().then(
        () => {
          this.#pause = PAUSE_MS
          if (!this.#stopped) this.#again()
        },
        () => this.#retry(),
      )
    })
    this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE_MS)
  }
}
