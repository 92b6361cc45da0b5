import { createHash } from 'node:crypto'

/** What the keys and channels of one prefix are called. All keys are in one slot of a cluster of servers. */
export interface Names {
  readonly head: string
  readonly log: string
  readonly reports: string
  /** Which tickets an owner has; until when. */
  readonly owners: string
  readonly lapses: string
  /** What is tried at start lies here. */
  readonly trial: string
  place(key: string): string
  ticket(id: string): string
  readonly said: string
  readonly wake: string
}

export function namesOf(keyPrefix: string, prefix: string, database = 0): Names {
  const hash = createHash('sha256').update(Buffer.from(prefix, 'utf16le')).digest().subarray(0, 16)
  const base = `${keyPrefix}{gate101:${hash.toString('base64url')}}`
  return {
    head: `${base}:head`,
    log: `${base}:log`,
    reports: `${base}:reports`,
    owners: `${base}:owners`,
    lapses: `${base}:lapses`,
    trial: `${base}:trial`,
    place: (key) => `${base}:place:${key}`,
    ticket: (id) => `${base}:ticket:${id}`,
    // Channels are those of all databases.
    said: `${base}:said:${database}`,
    wake: `${base}:wake:${database}`,
  }
}
