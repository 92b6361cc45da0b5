import type { Sealer } from './sealer.ts'

/** Who is out, as it was asked for. */
export type SharedSelector =
  | { readonly subject: string; readonly issuer?: string | undefined }
  | { readonly session: string }
  | { readonly credential: string }
  | { readonly connection: string }
  | { readonly tag: string }

/** A revocation that one node was asked for. Times in milliseconds since the epoch. */
export interface RevokeEntry {
  readonly type: 'revoke'
  /** Names it: applied once, however often it is in the log. */
  readonly id: string
  readonly selector: SharedSelector
  readonly except: { readonly session: string } | { readonly connection: string } | null
  /** Hashes of what stays with it. */
  readonly spared: readonly string[]
  readonly at: number
  readonly until: number
}

/** What the node that has written an entry knew of the log by then. */
export interface Written {
  /** How old it was, by the engine's clock (ms). */
  readonly written: number
  /** How long the entry was going to matter, by the clock of its node (ms). */
  readonly lives: number
  /** What it had read of it. */
  readonly after?: { readonly seq: number; readonly tally: string } | undefined
}

/** The same as it is in the log: how long ago `at` was can be told from it without comparing the clocks of nodes. */
export interface WrittenRevokeEntry extends RevokeEntry, Written {
  /** How long after `at` it was written, by the clock of its node. */
  readonly late: number
}

/** A revocation as it is remembered: what it was about cannot be read back. */
export interface HeldItem {
  /** 16 bytes as base64url. */
  readonly key: string
  readonly forGood: boolean
  readonly at: number
  readonly until: number
  readonly spared: readonly string[]
}

/** What one node remembers, told again because a log was lost. */
export interface HeldEntry {
  readonly type: 'held'
  readonly id: string
  readonly items: readonly HeldItem[]
  readonly until: number
}

/** A session is gone: those who live by it are to be asked about. */
export interface SessionEntry {
  readonly type: 'session'
  readonly id: string
  readonly session: string
  /** Whether the store has said so; otherwise only the app can. */
  readonly isGone: boolean
  readonly until: number
}

/** The node has told all that it remembers. */
export interface ReadyEntry {
  readonly type: 'ready'
  readonly id: string
  readonly node: string
  readonly until: number
}

/** Entries are about to be taken away, because nobody can come any more with what they are about. */
export interface TrimmedEntry {
  readonly type: 'trimmed'
  readonly id: string
  /** The last one of them. */
  readonly upTo: number
  /** What the log was up to there: who reads it later knows that nothing else was taken away. */
  readonly tally: string
  readonly until: number
}

/** More sessions are gone than could be told one by one. */
export interface LogoutsEntry {
  readonly type: 'logouts'
  readonly id: string
  readonly until: number
}

/** What is to be in the log. */
export type Entry = RevokeEntry | HeldEntry | SessionEntry | ReadyEntry | TrimmedEntry | LogoutsEntry

/** The same, as it stands there. */
export type LoggedEntry = (Exclude<Entry, RevokeEntry> | WrittenRevokeEntry) & Written

/** What bytes of the log are: `forged` was sealed by nobody of this cluster, or for another log; `unreadable` by a newer version. */
export type Opened = LoggedEntry | 'forged' | 'unreadable'

const VERSION = 1
const TYPES: readonly unknown[] = ['revoke', 'held', 'session', 'ready', 'trimmed', 'logouts']

/** What is sealed for one log opens in no other: an old entry that somebody puts into a newer one is a forged one. */
export function sealEntry(sealer: Sealer, generation: string, entry: LoggedEntry): Uint8Array {
  return sealer.seal(`log ${generation}`, JSON.stringify({ v: VERSION, ...entry }))
}

export function openEntry(sealer: Sealer, generation: string, data: Uint8Array): Opened {
  const text = sealer.unseal(`log ${generation}`, data)
  if (text === undefined) return 'forged'
  const { v, ...entry } = JSON.parse(text) as { v: unknown } & LoggedEntry
  return v === VERSION && TYPES.includes(entry.type) ? entry : 'unreadable'
}
