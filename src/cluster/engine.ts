import type { TicketStore } from '../core/ticket-store.ts'

/** What a revocation survives once `append` has resolved: nothing, a restart of the engine, or the loss of its machine. */
export type Durability = 'memory' | 'disk' | 'replicated'

/** One entry of the log. */
export interface LogEntry {
  /** From 1, in the order of commit, without gaps. */
  readonly seq: number
  readonly data: Uint8Array
}

/** A part of the log, as it was at one moment. */
export interface LogPage {
  /** Names this log. Another one was begun from nothing: by `restart`, or because the engine has lost the one before. */
  readonly generation: string
  /** Milliseconds since the generation was begun, by the engine's clock. */
  readonly age: number
  /** Entries up to this one were taken away by `trim`; 0 where none was. */
  readonly floor: number
  /** The newest entry; 0 in an empty log. */
  readonly last: number
  /** In order; at most as many as were asked for. */
  readonly entries: readonly LogEntry[]
}

/** A place under a limit. */
export interface Place {
  /** What is limited: at most 64 characters of base64url. */
  readonly key: string
  /** Who holds it: at most 64 characters of `A-Z a-z 0-9 . _ -`. */
  readonly id: string
}

/** What a node says of itself. */
export interface Report {
  readonly node: string
  readonly data: Uint8Array
}

/**
 * What gates of several processes share: a durable log, small messages, who is there, places under limits, and tickets.
 *
 * An engine keeps bytes and counts. What they mean, and whether they are authentic, is not its business; neither is what to do
 * when it cannot be reached. Every function is one atomic operation of the engine. Rejecting is how it says that it has not,
 * or not surely, done what it was asked; it MUST NOT retry by itself, answer from a copy that may be behind, or keep
 * anything for later. The caller waits for a bounded time and then takes it for a rejection; an engine whose answer comes after
 * that may have done it all the same.
 *
 * - **Log.** `append` MUST give consecutive numbers in the order of commit: whoever sees an entry in `read` sees all before it, at once or
 *   later, and nobody ever sees another one under its number. It MUST resolve only when the entry is as durable as `open` said.
 *   `read` MUST answer from what is committed, in one consistent view. Entries are removed by `trim` and `restart` alone; where the
 *   engine has lost some, `read` MUST show it: another generation, a smaller `last`, a missing number.
 * - **Generation.** MUST be unguessable and new each time (128 bits at random). Made, with an empty log, by the first `read` or `append` that finds
 *   none. `restart(generation)` MUST replace it, log and all, only where it is still that one.
 * - **Messages.** `say` reaches the `hear` of every open engine of the same prefix, the sender's own included or not; it MAY lose, repeat and
 *   reorder. After each `append` whoever is open MUST be told to look, at once, by the function `wake`; that MAY be lost, too.
 * - **Reports** are gone `ttl` milliseconds after they were made, by the engine's clock.
 * - **Places.** `enter` MUST count those that are held under the key and take one more in one step; two that cross at the limit
 *   MAY both be refused, but MUST NOT both get the last one.
 * - **Names.** All that it keeps lies under one prefix. Two prefixes never meet, whatever characters they hold.
 */
export interface ClusterEngine {
  /** As events and metrics call it: `redis`, `nats`, `postgres`, `ipc`, `memory`. */
  readonly name: string
  /**
   * Connects what it needs beside the client it was given, and finds out what the engine really is.
   *
   * @param hear - called with each message.
   * @param wake - called when there may be something new in the log.
   * @throws Gate101Error `GATE101_CONFIG` where the engine cannot keep what was asked for: too old, no rights, less durable.
   */
  open(hear: (data: Uint8Array) => void, wake: () => void): Promise<{ readonly durable: Durability }>
  /**
   * @param data - at most 32 KiB.
   * @returns its number; undefined, and nothing is done, where the generation is another one by now.
   */
  append(generation: string, data: Uint8Array): Promise<number | undefined>
  /** @param after - entries with greater numbers are wanted, at most `limit` of them. */
  read(after: number, limit: number): Promise<LogPage>
  /** Takes away the entries up to this one. Does nothing in another generation. */
  trim(generation: string, upTo: number): Promise<void>
  /** Begins another generation with an empty log, where this one is still the current one. */
  restart(generation: string): Promise<void>
  /** @param data - at most 6 KiB. */
  say(data: Uint8Array): Promise<void>
  /**
   * @param node - at most 64 characters of `A-Z a-z 0-9 . _ -`.
   * @param data - at most 1 KiB; empty takes the report away.
   * @param ttl - milliseconds.
   */
  report(node: string, data: Uint8Array, ttl: number): Promise<void>
  reports(): Promise<readonly Report[]>
  /**
   * @param ttl - milliseconds.
   * @returns whether the place is held: false where `limit` others hold one. Holding it already is holding it.
   */
  enter(place: Place, ttl: number, limit: number): Promise<boolean>
  /** Holds these for another `ttl`, whatever the limit: their holders are open, also where the engine has lost their places. */
  keep(places: readonly Place[], ttl: number): Promise<void>
  leave(places: readonly Place[]): Promise<void>
  readonly tickets: TicketStore
  /** Lets go of what `open` has connected; never of the client that it was given. Idempotent. */
  close(): Promise<void>
}
