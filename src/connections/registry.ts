import type { EventEmitter } from 'node:events'
import type { Identity } from '../core/identity.ts'
import type { LiveConnection } from './connection.ts'
import { IndexBy } from './index-by.ts'
import { ByNumber } from './numbered.ts'

/** What connections are found by. */
export type IndexName = 'subject' | 'session' | 'credential' | 'tag'

/** One entry of an index. */
export type IndexKey = readonly [index: IndexName, key: string]

/** All open connections of one gate on this node, and where to find them. */
export interface Registry {
  readonly size: number
  /** Sockets that are there, those included that were told to go. */
  readonly sockets: number
  /** @param carrier - the WebSocket or raw socket whose 'close' ends the connection. */
  add(carrier: EventEmitter, connection: LiveConnection): void
  /** It has ended: its socket may be there for a second more. */
  left(connection: LiveConnection): void
  /** It has another identity now. It is still found by every session and credential that it lived by (rule V3). */
  moved(connection: LiveConnection, before: Identity): void
  byNumber(number: number): LiveConnection | undefined
  /** In the order in which they were opened. */
  find(index: IndexName, key: string): Iterable<LiveConnection> & { readonly size: number }
  count(index: IndexName, key: string): number
  /** How many connections an address has. Only counted where connections say their address. */
  countAddress(address: string): number
  /** In the order in which they were opened. */
  values(): IterableIterator<LiveConnection>
  /** Settles when the last socket is gone. */
  whenEmpty(): Promise<void>
}

/** @param ended - called once for each connection that leaves. */
export function createRegistry(ended: (connection: LiveConnection) => void): Registry {
  return new OpenConnections(ended)
}

class OpenConnections implements Registry {
  readonly #ended: (connection: LiveConnection) => void
  readonly #sockets = new Map<unknown, LiveConnection>()
  readonly #open = new ByNumber<LiveConnection>()
  readonly #addresses = new Map<string, number>()
  readonly #indexes: Readonly<Record<IndexName, IndexBy<LiveConnection>>> = {
    subject: new IndexBy(),
    session: new IndexBy(),
    credential: new IndexBy(),
    tag: new IndexBy(),
  }
  /** One shared listener instead of a closure for each connection. */
  readonly #onClose: (this: unknown) => void
  #whenEmpty: Array<() => void> = []

  constructor(ended: (connection: LiveConnection) => void) {
    this.#ended = ended
    const gone = (carrier: unknown): void => this.#gone(carrier)
    this.#onClose = function onClose(this: unknown): void {
      gone(this)
    }
  }

  get size(): number {
    return this.#open.size
  }

  get sockets(): number {
    return this.#sockets.size
  }

  add(carrier: EventEmitter, connection: LiveConnection): void {
    this.#sockets.set(carrier, connection)
    carrier.on('close', this.#onClose)
    if (connection.reason !== undefined) return // the app has ended it before its library had opened it
    this.#open.add(connection)
    for (const [index, key] of keysOf(connection.identity)) this.#indexes[index].add(key, connection)
    const { address } = connection
    if (address !== undefined) this.#addresses.set(address, this.countAddress(address) + 1)
  }

  left(connection: LiveConnection): void {
    if (!this.#open.delete(connection)) return
    const { former, address, identity } = connection
    for (const [index, key] of [...keysOf(identity), ...former]) this.#indexes[index].delete(key, connection)
    if (address !== undefined) this.#uncount(address)
    this.#ended(connection)
  }

  moved(connection: LiveConnection, before: Identity): void {
    const now = keysOf(connection.identity)
    for (const [index, key] of now) this.#indexes[index].add(key, connection)
    const gone = keysOf(before).filter((was) => !has(now, was))
    for (const [index, key] of gone) if (index === 'tag') this.#indexes.tag.delete(key, connection)
    const lived = gone.filter((was) => was[0] !== 'tag' && !has(connection.former, was))
    if (lived.length > 0) connection.former = [...connection.former, ...lived]
  }

  byNumber(number: number): LiveConnection | undefined {
    return this.#open.get(number)
  }

  find(index: IndexName, key: string): Iterable<LiveConnection> & { readonly size: number } {
    return this.#indexes[index].get(key)
  }

  count(index: IndexName, key: string): number {
    return this.#indexes[index].count(key)
  }

  countAddress(address: string): number {
    return this.#addresses.get(address) ?? 0
  }

  values(): IterableIterator<LiveConnection> {
    return this.#open.values()
  }

  whenEmpty(): Promise<void> {
    if (this.#sockets.size === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.#whenEmpty.push(resolve)
    })
  }

  #gone(carrier: unknown): void {
    const connection = this.#sockets.get(carrier)
    if (connection === undefined) return // a second 'close'
    this.#sockets.delete(carrier)
    connection.markEnded('closed')
    if (this.#sockets.size > 0) return
    for (const tell of this.#whenEmpty.splice(0)) tell()
  }

  #uncount(address: string): void {
    const left = this.countAddress(address) - 1
    if (left > 0) this.#addresses.set(address, left)
    else this.#addresses.delete(address)
  }
}

function has(keys: readonly IndexKey[], [index, key]: IndexKey): boolean {
  return keys.some(([other, same]) => other === index && same === key)
}

/** Subjects are found by their name alone; whose they are is looked at there. Few names have two issuers. */
function keysOf({ subject, session, credential, tags }: Identity): IndexKey[] {
  const keys: IndexKey[] = [['subject', subject]]
  if (session !== undefined) keys.push(['session', session])
  if (credential !== undefined) keys.push(['credential', credential])
  for (const tag of tags ?? []) keys.push(['tag', tag])
  return keys
}
