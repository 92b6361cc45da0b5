import { Gate101Error } from '../../core/errors.ts'
import type { ClusterEngine, LogPage, Report } from '../engine.ts'
import { fromWire, isOurs, toWire, type Call, type Push, type Reply, type Request } from './wire.ts'

/** The channel to the process of the hub. */
export interface Channel {
  send(message: Request): void
  /** @returns a function that takes the listener off. */
  listen(listener: (message: unknown) => void): () => void
}

interface Waiting {
  resolve(result: unknown): void
  reject(error: Error): void
}

const HELLO = 2000

let lastId = 0

/** An engine whose nodes are processes (or threads) of one program. */
export function ipcEngine(channel: Channel, prefix: string): ClusterEngine {
  const waiting = new Map<number, Waiting>()
  let stop = (): void => undefined
  const ask = async (call: Call, ...args: unknown[]): Promise<unknown> =>
    await new Promise((resolve, reject) => {
      lastId += 1
      waiting.set(lastId, { resolve, reject })
      channel.send({ gate101: 'request', prefix, id: lastId, call, args: toWire(args) as unknown[] })
    })
  const take = (message: unknown): void => {
    if (!isOurs(message, 'reply')) return
    const { id, prefix: whose, result, error } = message as Reply
    if (whose !== prefix) return
    if (error === undefined) waiting.get(id)?.resolve(fromWire(result))
    else waiting.get(id)?.reject(new Error(error))
    waiting.delete(id)
  }
  const done = async (call: Call, ...args: unknown[]): Promise<void> => void (await ask(call, ...args))
  return {
    name: 'ipc',
    async open(hear, wake) {
      stop = channel.listen((message) => {
        take(message)
        if (!isOurs(message, 'push')) return
        const { prefix: whose, data } = message as Push
        if (whose !== prefix) return
        if (data === undefined) wake()
        else hear(fromWire(data) as Uint8Array)
      })
      await hello(ask('join'))
      return { durable: 'memory' }
    },
    append: async (generation, data) => (await ask('append', generation, data)) as number | undefined,
    read: async (after, limit) => (await ask('read', after, limit)) as LogPage,
    trim: async (generation, upTo) => await done('trim', generation, upTo),
    restart: async (generation) => await done('restart', generation),
    say: async (data) => await done('say', data),
    report: async (node, data, ttl) => await done('report', node, data, ttl),
    reports: async () => (await ask('reports')) as readonly Report[],
    enter: async (place, ttl, limit) => (await ask('enter', place, ttl, limit)) as boolean,
    keep: async (places, ttl) => await done('keep', places, ttl),
    leave: async (places) => await done('leave', places),
    tickets: {
      add: async (record) => (await ask('add', record)) as boolean,
      take: async (id) => (await ask('take', id)) as Uint8Array | undefined,
    },
    async close() {
      channel.send({ gate101: 'request', prefix, id: 0, call: 'part', args: [] })
      stop()
    },
  }
}

async function hello(joined: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    const message = 'ipcCluster(): nobody answers. Call ipcHub(cluster) in the primary process, before it forks.'
    timer = setTimeout(() => reject(new Gate101Error('GATE101_CONFIG', message)), HELLO)
  })
  await Promise.race([joined, late]).finally(() => clearTimeout(timer))
}
