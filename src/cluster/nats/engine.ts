import type { ClusterEngine, Durability } from '../engine.ts'
import { clockOf } from './clock.ts'
import { Head } from './head.ts'
import { explained, inspect } from './inspect.ts'
import { JetStream } from './jetstream.ts'
import { Link, type NatsClient, type NatsError } from './link.ts'
import { Log } from './log.ts'
import { namesOf, type Names } from './names.ts'
import { placesOf } from './places.ts'
import { reportsOf } from './reports.ts'
import { Shelf } from './shelf.ts'
import { streamsOf } from './streams.ts'
import { ticketsOf } from './tickets.ts'

export interface Settings {
  readonly prefix: string
  readonly durable: Durability
}

export function natsEngine(client: NatsClient, { prefix, durable }: Settings): ClusterEngine {
  const link = new Link(client)
  const jetstream = new JetStream(link)
  const names = namesOf(prefix)
  const streams = streamsOf(names, durable === 'replicated' ? 3 : 1)
  const head = new Head(jetstream, names, streams)
  const state = new Shelf(jetstream, streams.state)
  const tickets = new Shelf(jetstream, streams.tickets)
  const clock = clockOf(jetstream, names, state)
  const log = new Log(jetstream, names, head, clock)
  const ears = new Ears(link, names)
  const make = async () => {
    const [current] = await Promise.all([head.current(), state.make(), tickets.make()])
    return current
  }
  return {
    name: 'nats',
    tickets: ticketsOf(tickets, names, clock),
    async open(hear, wake) {
      ears.open(hear, wake)
      try {
        const found = await inspect({ link, jetstream, names, durable, make })
        ears.judge()
        return { durable: found }
      } catch (error) {
        ears.close()
        throw error
      }
    },
    append: async (generation, data) => await log.append(generation, data),
    read: async (after, limit) => await log.read(after, limit),
    trim: async (generation, upTo) => await log.trim(generation, upTo),
    restart: async (generation) => await log.restart(generation),
    say: async (data) => link.publish(names.say, data),
    ...reportsOf(state, names, clock),
    ...placesOf(state, names),
    async close() {
      ears.close()
      link.close()
    },
  }
}

/** Hears what the others say, and of each entry after it was stored; and of the client's own return, since it may have missed some. */
class Ears {
  readonly #link: Link
  readonly #names: Names
  #close: Array<() => void> = []
  #refused: NatsError | undefined

  constructor(link: Link, names: Names) {
    this.#link = link
    this.#names = names
  }

  open(hear: (data: Uint8Array) => void, wake: () => void): void {
    this.close()
    this.#refused = undefined
    const refused = (error: NatsError): void => void (this.#refused = error)
    this.#link.watch(wake)
    this.#close = [
      () => this.#link.unwatch(),
      this.#link.subscribe(this.#names.say, hear, refused),
      this.#link.subscribe(this.#names.wake, () => wake(), refused),
    ]
  }

  /** Whoever has had an answer since would know of a refusal. @throws Gate101Error `GATE101_CONFIG` */
  judge(): void {
    if (this.#refused !== undefined) throw explained(this.#refused)
  }

  close(): void {
    for (const close of this.#close.splice(0)) close()
  }
}
