import type { Clock } from '../core/clock.ts'
import type { ClusterEngine, Place } from './engine.ts'
import { PATIENCE, within } from './within.ts'

/** So long a place of a node that has crashed stays taken (ms). */
const TTL = 30_000
const KEEP_EVERY = 10_000
/** So many in one request. */
const BATCH = 500

export interface PlacesParts {
  readonly engine: Pick<ClusterEngine, 'enter' | 'keep' | 'leave'>
  readonly clock: Clock
  readonly name: string
}

/** The places that this node holds under limits of the whole cluster. */
export class Places {
  readonly #parts: PlacesParts
  readonly #held = new Set<Place>()
  /** Of these, those that the engine has granted: to keep one that it has not would be to take it. */
  readonly #granted = new Set<Place>()
  #leaving: Place[] = []
  /** Could not be given back, and until when they would be taken. */
  #owed: Array<{ readonly place: Place; readonly until: number }> = []
  #count = 0
  #cancel: (() => void) | undefined
  #stopped = false

  constructor(parts: PlacesParts) {
    this.#parts = parts
  }

  get size(): number {
    return this.#held.size
  }

  /** Rejects where the engine does. @returns undefined where `limit` others hold one. */
  async enter(key: string, limit: number): Promise<Place | undefined> {
    const { engine, clock, name } = this.#parts
    this.#count += 1
    const place: Place = { key, id: `${name}.${this.#count.toString(36)}` }
    // Held from now on: an answer that is late has taken it all the same.
    this.#held.add(place)
    this.#keepLater()
    let isIn = false
    try {
      isIn = await within(clock, PATIENCE, engine.enter(place, TTL, limit))
      if (isIn && this.#held.has(place)) this.#granted.add(place)
      return isIn ? place : undefined
    } finally {
      if (!isIn) this.leave(place)
    }
  }

  /** Idempotent. Never rejects: what cannot be given back is given back later, or free when its time is over. */
  leave(place: Place): void {
    if (!this.#held.delete(place)) return
    this.#granted.delete(place)
    this.#leaving.push(place)
    if (this.#leaving.length === 1) setImmediate(() => void this.#flush())
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancel?.()
    for (const place of this.#held) this.leave(place)
    await this.#flush()
  }

  async #flush(): Promise<void> {
    const { engine, clock } = this.#parts
    const places = this.#leaving
    this.#leaving = []
    for (let n = 0; n < places.length; n += BATCH) {
      const some = places.slice(n, n + BATCH)
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await within(clock, PATIENCE, engine.leave(some)).catch(() => this.#owe(some))
    }
  }

  #owe(places: readonly Place[]): void {
    const until = this.#parts.clock.now() + TTL
    for (const place of places) this.#owed.push({ place, until })
    this.#keepLater()
  }

  async #payBack(): Promise<void> {
    const { engine, clock } = this.#parts
    const now = clock.now()
    const owed = this.#owed.filter(({ until }) => until > now)
    this.#owed = []
    for (let n = 0; n < owed.length; n += BATCH) {
      const some = owed.slice(n, n + BATCH)
      const leaving = engine.leave(some.map(({ place }) => place))
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await within(clock, PATIENCE, leaving).catch(() => this.#owed.push(...some))
    }
  }

  #keepLater(): void {
    if (this.#cancel !== undefined || this.#stopped) return
    this.#cancel = this.#parts.clock.after(KEEP_EVERY, () => {
      this.#cancel = undefined
      if (this.#held.size === 0 && this.#owed.length === 0) return
      this.#keepLater()
      void this.#keep().catch(() => undefined)
      void this.#payBack()
    })
  }

  /** Says again which places are held: the engine may have lost them. Rejects where the engine does. */
  async keepNow(): Promise<void> {
    await this.#keep()
  }

  async #keep(): Promise<void> {
    const { engine, clock } = this.#parts
    const places = [...this.#granted]
    for (let n = 0; n < places.length; n += BATCH) {
      // Meanwhile some were given back.
      const some = places.slice(n, n + BATCH).filter((place) => this.#granted.has(place))
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      if (some.length > 0) await within(clock, PATIENCE, engine.keep(some, TTL))
    }
  }
}
