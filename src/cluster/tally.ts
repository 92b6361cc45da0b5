import { createHash } from 'node:crypto'
import type { LogEntry } from './engine.ts'

/** Of a log that may be long every so many entries are kept. */
export const TALLY_STEP = 16
/** Of the last entries each is kept: other nodes are so far behind at most. */
const RECENT = 2048

/**
 * All that one node has read of a log, as one short text: two nodes that have read the same have the same. An engine shows
 * each of them what it likes; so they see where that was not the same.
 */
export class Tally {
  readonly #floor: number
  #value: string | undefined
  /** While it is not known what was before: the digests of what came since. */
  #since: Buffer[] = []
  readonly #kept = new Map<number, string>()

  /** @param floor - entries up to this one were taken away before they were read. */
  constructor(floor: number) {
    this.#floor = floor
    if (floor === 0) this.#set(0, '')
  }

  /** Whether it is known what all of the log was, that included which was taken away. */
  get isProven(): boolean {
    return this.#value !== undefined
  }

  get value(): string | undefined {
    return this.#value
  }

  /** @returns undefined where it was not kept. */
  at(seq: number): string | undefined {
    return this.#kept.get(seq)
  }

  add({ seq, data }: LogEntry): void {
    const digest = digestOf(data)
    if (this.#value === undefined) this.#since.push(digest)
    else this.#set(seq, next(this.#value, digest))
  }

  /** A node says what it was up to there. @returns whether that is so, as far as it is known here. */
  agrees(seq: number, value: string): boolean {
    return (this.at(seq) ?? value) === value
  }

  /** Whether these are the entries that were read from there to there. */
  holds(after: number, entries: readonly LogEntry[], upTo: number): boolean {
    const before = this.at(after)
    if (before === undefined || entries.length !== upTo - after) return false
    return entries.reduce((value, { data }) => next(value, digestOf(data)), before) === this.at(upTo)
  }

  /** A node has taken away what was up to there. @returns as {@link agrees} does. */
  proves(seq: number, value: string): boolean {
    if (!this.isProven && seq === this.#floor) this.#prove(value)
    return this.agrees(seq, value)
  }

  #prove(before: string): void {
    let value = before
    this.#set(this.#floor, value)
    for (const [n, digest] of this.#since.entries()) {
      value = next(value, digest)
      this.#set(this.#floor + n + 1, value)
    }
    this.#since = []
  }

  #set(seq: number, value: string): void {
    this.#value = value
    this.#kept.set(seq, value)
    const old = seq - RECENT
    if (old % TALLY_STEP !== 0) this.#kept.delete(old)
  }

  /** Nobody asks about what was taken away. */
  forget(floor: number): void {
    for (const seq of this.#kept.keys()) {
      if (seq >= floor) return
      this.#kept.delete(seq)
    }
  }
}

function digestOf(data: Uint8Array): Buffer {
  return createHash('sha256').update(data).digest()
}

function next(value: string, digest: Buffer): string {
  return createHash('sha256').update(value).update(digest).digest().toString('base64url', 0, 16)
}
