import { Gate101Error } from '../../core/errors.ts'
import type { ClusterEngine, Durability } from '../engine.ts'
import { Confirmed } from './confirmed.ts'
import { toError, type Connection, type Driver } from './driver.ts'
import { advised, CHECK, inspect, tryAll, type Send, type Server } from './inspect.ts'
import { Link } from './link.ts'
import { Log, type Run } from './log.ts'
import { namesOf, type Names } from './names.ts'
import { placesOf } from './places.ts'
import { reportsOf } from './reports.ts'
import { ticketsOf } from './tickets.ts'

export interface Settings {
  readonly prefix: string
  readonly durable: Durability
}

const ignore = (): void => undefined

export function redisEngine(driver: Driver, settings: Settings): ClusterEngine {
  const names = namesOf(driver.keyPrefix, settings.prefix, driver.database)
  const links = new Links(driver, names, settings.durable)
  const run: Run = async (script, keys, args) => await links.commands.run(script, keys, args)
  const isReplicated = settings.durable === 'replicated'
  const write = isReplicated ? links.confirmed.write : run
  const log = new Log({ names, run, write, isReplicated })
  return {
    name: 'redis',
    tickets: ticketsOf(write, names),
    open: async (hear, wake) => ({ durable: await links.open(hear, wake) }),
    append: async (generation, data) => await log.append(generation, data),
    read: async (after, limit) => await log.read(after, limit),
    trim: async (generation, upTo) => await log.trim(generation, upTo),
    restart: async (generation) => await log.restart(generation),
    say: async (data) => void (await links.commands.send(['PUBLISH', names.said, data])),
    ...reportsOf(run, names),
    ...placesOf(run, write, names),
    close: async () => links.close(),
  }
}

/** Those that are there from the start. */
function keysOf({ head, log, reports, owners, lapses }: Names): readonly string[] {
  return [head, log, reports, owners, lapses]
}

/** The connections of one engine. */
class Links {
  readonly commands: Link
  readonly confirmed: Confirmed
  readonly #appends: Link
  readonly #listening: Link
  readonly #names: Names
  readonly #durable: Durability
  readonly #isOne: boolean
  #server: Server | undefined
  #hear: (data: Uint8Array) => void = ignore
  #wake = ignore

  constructor(driver: Driver, names: Names, durable: Durability) {
    const parts = { driver, key: names.head }
    this.#names = names
    this.#durable = durable
    this.#isOne = driver.isOne
    this.commands = new Link({
      ...parts,
      prepare: async (connection) => void (this.#server = await this.#inspect(connection)),
      // It may be another server by now.
      again: () => this.#listening.renew(),
    })
    this.#listening = new Link({
      ...parts,
      prepare: async (connection) => await this.#listen(connection),
      again: () => this.#wake(),
    })
    this.#appends = new Link({ ...parts, prepare: async (connection) => await this.#prepareAppends(connection) })
    this.confirmed = new Confirmed(this.#appends)
  }

  async open(hear: (data: Uint8Array) => void, wake: () => void): Promise<Durability> {
    if (this.#durable === 'replicated' && !this.#isOne)
      throw new Gate101Error('GATE101_CONFIG', `redisCluster: a client of a cluster of servers cannot be 'replicated'.`)
    this.#hear = hear
    this.#wake = wake
    try {
      await this.commands.open()
      await tryAll(async (args) => await this.commands.send(args), this.#names.trial, this.#names.wake)
      await this.commands.run(CHECK, keysOf(this.#names))
      await this.#listening.open()
      if (this.#durable === 'replicated') await this.#appends.open()
    } catch (error) {
      this.close()
      throw advised(error)
    }
    return this.#durable === 'replicated' ? 'replicated' : (this.#server?.durable ?? 'memory')
  }

  close(): void {
    this.#hear = ignore
    this.#wake = ignore
    for (const link of [this.commands, this.#listening, this.#appends]) link.close()
  }

  async #inspect(connection: Connection): Promise<Server> {
    return await inspect(this.#sendOf(connection), this.#names.head, this.#durable)
  }

  async #listen(connection: Connection): Promise<void> {
    const { said, wake } = this.#names
    await connection.subscribe([said, wake], (channel, data) => {
      if (channel === said) this.#hear(data)
      if (channel === wake) this.#wake()
    })
  }

  async #prepareAppends(connection: Connection): Promise<void> {
    await this.#inspect(connection)
    const send = this.#sendOf(connection)
    await tryAll(send, this.#names.trial, this.#names.wake)
    await this.confirmed.prepare(send)
  }

  #sendOf(connection: Connection): Send {
    return async (args) => {
      try {
        return await connection.send(this.#names.head, args)
      } catch (thrown) {
        throw toError(thrown)
      }
    }
  }
}
