import { Gate101Error } from '../../core/errors.ts'
import type { ClusterEngine, LogPage, Report } from '../engine.ts'
import { Calls, type Channel } from './calls.ts'
import { fromWire, isOurs, type Call, type Push } from './wire.ts'

const HELLO = 2000

/** An engine whose nodes are processes (or threads) of one program. */
export function ipcEngine(channel: Channel, prefix: string): ClusterEngine {
  const calls = new Calls(channel, prefix)
  let stop = (): void => undefined
  const ask = async (call: Call, ...args: unknown[]): Promise<unknown> => await calls.ask(call, args)
  const done = async (call: Call, ...args: unknown[]): Promise<void> => void (await ask(call, ...args))
  return {
    name: 'ipc',
    async open(hear, wake) {
      stop()
      stop = channel.listen((message) => {
        calls.take(message)
        if (!isOurs(message, 'push')) return
        const { prefix: whose, data } = message as Push
        if (whose !== prefix) return
        if (data === undefined) return wake()
        const heard = fromWire(data)
        if (heard instanceof Uint8Array) hear(heard)
      })
      try {
        await hello(ask('join'))
      } catch (error) {
        stop()
        throw error
      }
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
      calls.end()
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
