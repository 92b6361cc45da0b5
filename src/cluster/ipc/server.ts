import type { Clock } from '../../core/clock.ts'
import type { TicketRecord, TicketStore } from '../../core/ticket-store.ts'
import { Hub } from '../hub.ts'
import { checkCall } from './check.ts'
import { fromWire, isOurs, toWire, type Push, type Reply, type Request } from './wire.ts'

/** Sends to one node. */
export type Send = (message: Reply | Push) => void

/** Serves the hubs of this process, one for each prefix, to the nodes of others. */
export class IpcServer {
  readonly #clock: Clock
  readonly #tickets: () => TicketStore
  readonly #hubs = new Map<string, Hub>()
  /** What ends the membership of a node, by node and prefix. */
  readonly #members = new Map<object, Map<string, () => void>>()
  /** What takes away the reports of a node. */
  readonly #reports = new Map<object, Map<string, () => void>>()

  constructor(clock: Clock, tickets: () => TicketStore) {
    this.#clock = clock
    this.#tickets = tickets
  }

  /** @param node - stands for the process that has sent it. */
  take(node: object, message: unknown, send: Send): void {
    if (!isOurs(message, 'request')) return
    const { prefix, id, call, args } = message as Request
    if (typeof prefix !== 'string' || !Array.isArray(args)) return
    this.#call(node, { prefix, call, args: args.map(fromWire) }, send).then(
      (result) => send({ gate101: 'reply', prefix, id, result: toWire(result) }),
      (error: unknown) => send({ gate101: 'reply', prefix, id, error: String(error) }),
    )
  }

  /** The process is gone. */
  drop(node: object): void {
    for (const part of this.#members.get(node)?.values() ?? []) part()
    this.#members.delete(node)
    // Nobody has to wait for it.
    for (const forget of this.#reports.get(node)?.values() ?? []) forget()
    this.#reports.delete(node)
  }

  async #call(node: object, { prefix, call, args }: Pick<Request, 'prefix' | 'call' | 'args'>, send: Send) {
    checkCall(call, args)
    const hub = this.#hubs.get(prefix) ?? new Hub(this.#clock, this.#tickets())
    this.#hubs.set(prefix, hub)
    const [a, b, c] = args as [never, never, never]
    if (call === 'join') return this.#join(node, prefix, hub, send)
    if (call === 'part') return this.#members.get(node)?.get(prefix)?.()
    if (call === 'add') return await hub.tickets.add(unlimited(a))
    if (call === 'take') return await hub.tickets.take(a)
    if (call === 'enter') return hub.enter(a, b, c ?? Infinity)
    if (call === 'append') return hub.append(a, b)
    if (call === 'read') return hub.read(a, b)
    if (call === 'trim') return hub.trim(a, b)
    if (call === 'restart') return hub.restart(a)
    if (call === 'say') return hub.say(a)
    if (call === 'report') return this.#report(node, hub, a, b, c)
    if (call === 'reports') return hub.reports()
    if (call === 'keep') return hub.keep(a, b)
    return hub.leave(a)
  }

  #report(node: object, hub: Hub, name: string, data: Uint8Array, ttl: number): void {
    hub.report(name, data, ttl)
    const own = this.#reports.get(node) ?? new Map<string, () => void>()
    own.set(name, () => hub.report(name, new Uint8Array(), 0))
    this.#reports.set(node, own)
  }

  #join(node: object, prefix: string, hub: Hub, send: Send): void {
    const leave = hub.join({
      hear: (data) => send({ gate101: 'push', prefix, data: toWire(data) }),
      wake: () => send({ gate101: 'push', prefix }),
    })
    const own = this.#members.get(node) ?? new Map<string, () => void>()
    own.get(prefix)?.()
    own.set(prefix, leave)
    this.#members.set(node, own)
  }
}

/** No limit travels as null. */
function unlimited(ticket: TicketRecord): TicketRecord {
  return { ...ticket, limit: ticket.limit ?? Infinity }
}
