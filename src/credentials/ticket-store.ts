import type { Clock } from '../core/clock.ts'

/** One ticket that waits for its handshake. Nothing in it can be used or read without the ticket and the gate's secret. */
export interface TicketRecord {
  /** 43 characters of base64url. */
  readonly id: string
  /** Who it was made for: 43 characters of base64url, the same for all tickets of one owner. */
  readonly owner: string
  /** At most some 64 KiB. */
  readonly data: Uint8Array
  /** Milliseconds from now until it is gone, by the store's own clock. */
  readonly lifetime: number
  /** How many tickets the owner may have outstanding, this one included. */
  readonly limit: number
}

/**
 * Where tickets wait. Each function is one atomic operation of the store: a script on Redis, a revision on NATS KV, one
 * statement on PostgreSQL. A rejection, and no answer within 3 seconds, refuse with `tickets_unavailable`.
 *
 * A store MUST NOT answer from a copy that could be behind, MUST NOT fall back to memory, and MUST NOT log `data`.
 */
export interface TicketStore {
  /**
   * Keeps a record until it is taken or `lifetime` has passed, whichever comes first.
   *
   * MUST count the owner's records that are neither taken nor expired and add the new one in one step; MUST reject where
   * the id is there already, and MUST NOT overwrite.
   *
   * @returns false, and nothing is kept, where the owner has `limit` outstanding already.
   */
  add(record: TicketRecord): Promise<boolean>
  /**
   * Takes a record's data out. Of any number of callers, on any node, at most one MUST get it, and none MUST get it again.
   *
   * @returns undefined where there is none, or where its lifetime has passed by the store's clock.
   */
  take(id: string): Promise<Uint8Array | undefined>
}

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
