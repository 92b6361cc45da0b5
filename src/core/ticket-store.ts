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
