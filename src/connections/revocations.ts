import type { Clock } from '../core/clock.ts'
import { issuedAtOf, type Identity } from '../core/identity.ts'
import { inSlices } from './slices.ts'

/** Who is out. Exactly one of these. */
export type Selector =
  | { readonly subject: string; readonly issuer?: string | undefined }
  | { readonly session: string }
  | { readonly credential: string }
  | { readonly connection: string }
  | { readonly tag: string }

/** What is remembered of a revocation: nothing that could be read back. */
export interface Revocation {
  /** Hash of the selector. */
  readonly key: string
  /** Out for good; otherwise only who was let in before. */
  readonly forGood: boolean
  /** Milliseconds since the epoch. */
  readonly at: number
  /** In the order of all that happens at this gate. */
  readonly order: number
  /** Hashes of the sessions, credentials and connections that stay. */
  readonly except: readonly string[]
  /** When no credential that matches can still be good, in milliseconds since the epoch. */
  readonly until: number
}

/** Names of things that are remembered as hashes. */
export type Hash = (
  kind: 'session' | 'credential' | 'connection' | 'subject' | 'of issuer' | 'tag',
  text: string,
) => string

/** What was revoked, for as long as somebody could still come with it. */
export interface Revocations {
  /** How many are remembered. */
  readonly size: number
  add(revocation: Revocation): void
  /** Whether all that this one says is remembered. */
  has(revocation: Omit<Revocation, 'order'>): boolean
  /** What is still of use. */
  values(): Iterable<Omit<Revocation, 'order'>>
  /**
   * Whether this identity is out.
   *
   * @param order - when it was asked about: what has no `issuedAt` is out where it was revoked after that.
   * @param connection - id of the connection, where there is one.
   */
  covers(identity: Identity, order: number, connection?: string): boolean
  /** Nothing is looked after any more. */
  stop(): void
}

const SWEEP = 60 * 60_000

/** @param hashes - that of what is new, then those of secrets that were in use before. */
export function createRevocations(clock: Clock, hashes: readonly Hash[]): Revocations {
  return new Remembered(clock, hashes)
}

class Remembered implements Revocations {
  readonly #clock: Clock
  readonly #hashes: readonly Hash[]
  /** Most of what is remembered are sessions and credentials: a hash, and until when, in seconds since the epoch. */
  readonly #out = new Map<string, number>()
  readonly #others = new Map<string, readonly Revocation[]>()
  #cancel: (() => void) | undefined

  constructor(clock: Clock, hashes: readonly Hash[]) {
    this.#clock = clock
    this.#hashes = hashes
  }

  get size(): number {
    return this.#out.size + this.#others.size
  }

  add(revocation: Revocation): void {
    const { forGood, except, until } = revocation
    // A text that was cut off a longer one holds on to it; a copy does not.
    const key = Buffer.from(revocation.key, 'latin1').toString('latin1')
    if (forGood && except.length === 0) {
      const seconds = Math.max(Math.ceil(until / 1000), this.#out.get(key) ?? 0)
      this.#out.set(key, seconds)
    } else {
      const before = this.#others.get(key) ?? []
      this.#others.set(key, [...before.filter((one) => !says(revocation, one)), revocation])
    }
    this.#sweepLater()
  }

  covers(identity: Identity, order: number, connection?: string): boolean {
    if (this.size === 0) return false
    for (const hash of this.#hashes) if (this.#covers(hash, identity, order, connection)) return true
    return false
  }

  stop(): void {
    this.#cancel?.()
  }

  *values(): Generator<Pick<Revocation, 'key' | 'forGood' | 'at' | 'except' | 'until'>> {
    const now = this.#clock.now()
    for (const [key, seconds] of this.#out)
      if (seconds * 1000 > now) yield { key, forGood: true, at: 0, except: [], until: seconds * 1000 }
    for (const all of this.#others.values()) for (const one of all) if (one.until > now) yield one
  }

  has({ key, forGood, at, except, until }: Omit<Revocation, 'order'>): boolean {
    if (forGood && except.length === 0) return (this.#out.get(key) ?? 0) * 1000 >= until
    return (this.#others.get(key) ?? []).some(
      (one) => one.at >= at && one.until >= until && one.except.every((hash) => except.includes(hash)),
    )
  }

  #covers(hash: Hash, identity: Identity, order: number, connection: string | undefined): boolean {
    for (const key of keysOf(hash, identity, connection)) {
      if (this.#out.has(key)) return true
      for (const one of this.#others.get(key) ?? [])
        if (applies(one, identity, order) && !this.#isExcepted(one, identity, connection)) return true
    }
    return false
  }

  /** By whichever secret: a node that has one of them alone says what stays by that one. */
  #isExcepted({ except }: Revocation, { session, credential }: Identity, connection: string | undefined): boolean {
    if (except.length === 0) return false
    return this.#hashes.some(
      (hash) =>
        (session !== undefined && except.includes(hash('session', session))) ||
        (credential !== undefined && except.includes(hash('credential', credential))) ||
        (connection !== undefined && except.includes(hash('connection', connection))),
    )
  }

  #sweepLater(): void {
    this.#cancel ??= this.#clock.after(SWEEP, () => {
      this.#cancel = undefined
      this.#sweep(this.#clock.now())
      if (this.size > 0) this.#sweepLater()
    })
  }

  #sweep(now: number): void {
    void inSlices(this.#out, ([key, until]) => {
      if (until * 1000 <= now) this.#out.delete(key)
    })
    for (const [key, all] of this.#others) {
      const kept = all.filter(({ until }) => until > now)
      if (kept.length === 0) this.#others.delete(key)
      else if (kept.length < all.length) this.#others.set(key, kept)
    }
  }
}

function* keysOf(
  hash: Hash,
  { issuer, subject, session, credential, tags = [] }: Identity,
  connection: string | undefined,
): Generator<string> {
  if (connection !== undefined) yield hash('connection', connection)
  if (session !== undefined) yield hash('session', session)
  if (credential !== undefined) yield hash('credential', credential)
  yield hash('subject', subject)
  yield hash('of issuer', JSON.stringify([issuer, subject]))
  for (const tag of tags) yield hash('tag', tag)
}

/** Whether the later one says all that the earlier one says. */
function says(later: Revocation, earlier: Revocation): boolean {
  if (later.at < earlier.at || later.until < earlier.until) return false
  return later.except.every((hash) => earlier.except.includes(hash))
}

/** Rule V1. */
function applies({ forGood, at, order }: Revocation, identity: Identity, asked: number): boolean {
  if (forGood) return true
  const issuedAt = issuedAtOf(identity)
  if (issuedAt !== undefined) return Math.floor(issuedAt / 1000) <= Math.floor(at / 1000)
  return order > asked
}
