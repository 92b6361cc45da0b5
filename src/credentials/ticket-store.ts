import type { Clock } from '../core/clock.ts'
import type { TicketRecord, TicketStore } from '../core/ticket-store.ts'

interface Kept {
  readonly owner: string
  readonly data: Uint8Array
  readonly expiresAt: number
}

class MemoryTicketStore implements TicketStore {
  readonly #clock: Clock
  readonly #max: number
  readonly #kept = new Map<string, Kept>()
  readonly #owners = new Map<string, Set<string>>()
  #sweeping = false

  constructor(clock: Clock, max: number) {
    this.#clock = clock
    this.#max = max
  }

  async add({ id, owner, data, lifetime, limit }: TicketRecord): Promise<boolean> {
    const now = this.#clock.now()
    this.#sweep(this.#kept.keys(), now)
    this.#sweep(this.#owners.get(owner) ?? [], now)
    if ((this.#owners.get(owner)?.size ?? 0) >= limit) return false
    if (this.#kept.has(id)) throw new Error('A ticket of this id is there already.')
    if (this.#kept.size >= this.#max) throw new Error(`${this.#max} tickets are outstanding already.`)
    this.#kept.set(id, { owner, data, expiresAt: now + lifetime })
    const own = this.#owners.get(owner)
    if (own === undefined) this.#owners.set(owner, new Set([id]))
    else own.add(id)
    this.#sweepAfter(lifetime)
    return true
  }

  async take(id: string): Promise<Uint8Array | undefined> {
    const kept = this.#kept.get(id)
    if (kept === undefined) return undefined
    this.#drop(id, kept)
    return kept.expiresAt > this.#clock.now() ? kept.data : undefined
  }

  /** Drops what has expired, up to the first that has not: the oldest come first. */
  #sweep(ids: Iterable<string>, now: number): void {
    for (const id of ids) {
      const kept = this.#kept.get(id)
      if (kept === undefined) continue
      if (kept.expiresAt > now) return
      this.#drop(id, kept)
    }
  }

  #drop(id: string, { owner }: Kept): void {
    this.#kept.delete(id)
    const own = this.#owners.get(owner)
    own?.delete(id)
    if (own?.size === 0) this.#owners.delete(owner)
  }

  /** One timer for all, so that what nobody takes does not stay. */
  #sweepAfter(ms: number): void {
    if (this.#sweeping) return
    this.#sweeping = true
    this.#clock.after(ms, () => {
      this.#sweeping = false
      const now = this.#clock.now()
      this.#sweep(this.#kept.keys(), now)
      const [next] = this.#kept.values()
      if (next !== undefined) this.#sweepAfter(Math.max(1, next.expiresAt - now))
    })
  }
}

/**
 * A store in the memory of this process.
 *
 * @param max - tickets outstanding at a time; further ones are refused with `tickets_unavailable`.
 */
export function memoryTicketStore(clock: Clock, max = 100_000): TicketStore {
  return new MemoryTicketStore(clock, max)
}
