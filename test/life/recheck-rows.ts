import session, { MemoryStore, type SessionData } from 'express-session'
import type { Points } from './recheck-world.ts'

export type Call = 'get' | 'set' | 'touch' | 'destroy'

interface Row {
  readonly text: string
  readonly until: number
}

/** The rows of a session store: each call is noted, can be held up before and after it, and fails where a test wants it to. */
export class Rows {
  readonly rows = new Map<string, Row>()
  /** What was called, with the id. */
  readonly calls: Array<readonly [Call, string]> = []
  readonly failing = new Set<Call>()
  readonly #points: Points

  constructor(points: Points) {
    this.#points = points
  }

  /** Calls that change something. */
  get writes(): ReadonlyArray<readonly [Call, string]> {
    return this.calls.filter(([call]) => call !== 'get')
  }

  async get(id: string): Promise<Record<string, unknown> | undefined> {
    return await this.#pass('get', id, () => {
      const row = this.rows.get(id)
      if (row === undefined || row.until > Date.now()) return row && (JSON.parse(row.text) as Record<string, unknown>)
      this.rows.delete(id)
      return undefined
    })
  }

  async set(id: string, data: unknown, ms: number): Promise<void> {
    await this.#pass('set', id, () => this.rows.set(id, { text: JSON.stringify(data), until: Date.now() + ms }))
  }

  async touch(id: string, data: unknown, ms: number): Promise<void> {
    await this.#pass('touch', id, () => {
      if (this.rows.has(id)) this.rows.set(id, { text: JSON.stringify(data), until: Date.now() + ms })
    })
  }

  async destroy(id: string): Promise<void> {
    await this.#pass('destroy', id, () => this.rows.delete(id))
  }

  async #pass<Result>(call: Call, id: string, act: () => Result): Promise<Result> {
    this.calls.push([call, id])
    await this.#points.at(`store: before ${call}`)
    if (this.failing.has(call)) throw new Error('the store is away')
    const result = act()
    await this.#points.at(`store: after ${call}`)
    return result
  }
}

type Done = (error?: unknown) => void

/** Settles a callback with a promise; what the callback throws is nobody's rejection. */
function settle<Result>(promise: Promise<Result>, done: ((error: unknown, result?: Result) => void) | undefined): void {
  promise.then(
    (result) => setImmediate(() => done?.(null, result)),
    (error: unknown) => setImmediate(() => done?.(error)),
  )
}

const DAY = 24 * 3_600_000

/** A store for express-session and @fastify/session, with the time to live of each row beside it. */
export class TtlStore extends session.Store {
  readonly #rows: Rows

  constructor(rows: Rows) {
    super()
    this.#rows = rows
  }

  override get(id: string, done: (error: unknown, data?: SessionData | null) => void): void {
    settle(this.#rows.get(id) as Promise<unknown> as Promise<SessionData | null>, done)
  }

  override set(id: string, data: SessionData, done?: Done): void {
    settle(this.#rows.set(id, data, ttlOf(data)), done)
  }

  override touch(id: string, data: SessionData, done?: Done): void {
    settle(this.#rows.touch(id, data, ttlOf(data)), done)
  }

  override destroy(id: string, done?: Done): void {
    settle(this.#rows.destroy(id), done)
  }
}

function ttlOf({ cookie }: SessionData): number {
  return cookie.expires ? new Date(cookie.expires).getTime() - Date.now() : DAY
}

/** express-session's own, with its calls noted where those of {@link Rows} are. */
export class NotedMemoryStore extends MemoryStore {
  readonly #rows: Rows

  constructor(rows: Rows) {
    super()
    this.#rows = rows
  }

  override get(id: string, done: (error: unknown, data?: SessionData | null) => void): void {
    this.#rows.calls.push(['get', id])
    super.get(id, done)
  }

  override set(id: string, data: SessionData, done?: Done): void {
    this.#rows.calls.push(['set', id])
    super.set(id, data, done)
  }

  override touch(id: string, data: SessionData, done?: Done): void {
    this.#rows.calls.push(['touch', id])
    super.touch(id, data, done as () => void)
  }

  override destroy(id: string, done?: Done): void {
    this.#rows.calls.push(['destroy', id])
    super.destroy(id, done)
  }
}

/** A store for koa-session, and for middleware written by hand. */
export class PromiseStore {
  readonly #rows: Rows

  constructor(rows: Rows) {
    this.#rows = rows
  }

  async get(id: string): Promise<Record<string, unknown> | undefined> {
    return await this.#rows.get(id)
  }

  async set(id: string, data: unknown, ms: number): Promise<void> {
    await this.#rows.set(id, data, ms)
  }

  async destroy(id: string): Promise<void> {
    await this.#rows.destroy(id)
  }
}
