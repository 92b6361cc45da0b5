import { randomBytes } from 'node:crypto'
import type { Clock } from '../core/clock.ts'
import type { TicketStore } from '../core/ticket-store.ts'
import type { LogEntry, LogPage, Place, Report } from './engine.ts'

/** A node that is told what the others say. */
export interface Listener {
  hear(data: Uint8Array): void
  wake(): void
}

interface Until {
  readonly data: Uint8Array
  readonly until: number
}

/** What a cluster shares, in the memory of one process. */
export class Hub {
  readonly tickets: TicketStore
  readonly #clock: Clock
  readonly #listeners = new Set<Listener>()
  readonly #reports = new Map<string, Until>()
  /** Until when each place is held, by key and holder. */
  readonly #places = new Map<string, Map<string, number>>()
  #generation = newGeneration()
  #begunAt: number
  #floor = 0
  #entries: LogEntry[] = []

  constructor(clock: Clock, tickets: TicketStore) {
    this.#clock = clock
    this.tickets = tickets
    this.#begunAt = clock.now()
  }

  join(listener: Listener): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  append(generation: string, data: Uint8Array): number | undefined {
    if (generation !== this.#generation) return undefined
    const seq = this.#last + 1
    this.#entries.push({ seq, data })
    for (const listener of this.#listeners) listener.wake()
    return seq
  }

  read(after: number, limit: number): LogPage {
    const from = Math.max(0, after - this.#floor)
    return {
      generation: this.#generation,
      age: this.#clock.now() - this.#begunAt,
      floor: this.#floor,
      last: this.#last,
      entries: this.#entries.slice(from, from + limit),
    }
  }

  trim(generation: string, upTo: number): void {
    if (generation !== this.#generation) return
    const floor = Math.min(Math.max(upTo, this.#floor), this.#last)
    this.#entries.splice(0, floor - this.#floor)
    this.#floor = floor
  }

  restart(generation: string): void {
    if (generation !== this.#generation) return
    this.#generation = newGeneration()
    this.#begunAt = this.#clock.now()
    this.#floor = 0
    this.#entries = []
  }

  say(data: Uint8Array): void {
    for (const listener of this.#listeners) listener.hear(data)
  }

  report(node: string, data: Uint8Array, ttl: number): void {
    if (data.length === 0) this.#reports.delete(node)
    else this.#reports.set(node, { data, until: this.#clock.now() + ttl })
  }

  reports(): Report[] {
    const now = this.#clock.now()
    for (const [node, { until }] of this.#reports) if (until <= now) this.#reports.delete(node)
    return [...this.#reports].map(([node, { data }]) => ({ node, data }))
  }

  enter({ key, id }: Place, ttl: number, limit: number): boolean {
    const now = this.#clock.now()
    const held = this.#places.get(key) ?? new Map<string, number>()
    for (const [other, until] of held) if (until <= now) held.delete(other)
    if (!held.has(id) && held.size >= limit) return false
    held.set(id, now + ttl)
    this.#places.set(key, held)
    return true
  }

  keep(places: readonly Place[], ttl: number): void {
    for (const place of places) this.enter(place, ttl, Infinity)
  }

  leave(places: readonly Place[]): void {
    for (const { key, id } of places) {
      const held = this.#places.get(key)
      held?.delete(id)
      if (held?.size === 0) this.#places.delete(key)
    }
  }

  get #last(): number {
    return this.#floor + this.#entries.length
  }
}

function newGeneration(): string {
  return randomBytes(16).toString('base64url')
}
