import type { ClusterEngine } from '../engine.ts'
import type { Driver } from './driver.ts'
import { advise, inspect, type Wanted } from './inspect.ts'
import { Log } from './log.ts'
import { fromPayload, toPayload, WAKE } from './payload.ts'
import { placesOf } from './places.ts'
import { reportsOf } from './reports.ts'
import { storeOf } from './store.ts'
import { ticketsOf } from './tickets.ts'

export interface Settings extends Wanted {
  readonly prefix: string
}

export function postgresEngine(driver: Driver, settings: Settings): ClusterEngine {
  const store = storeOf(settings.schema, settings.prefix)
  const log = new Log(driver, store, settings.durable)
  let isClosed = false
  let unlisten = async (): Promise<void> => undefined
  return {
    name: 'postgres',
    tickets: ticketsOf(driver, store),
    async open(hear, wake) {
      isClosed = false
      const durable = await inspect(driver, settings)
      await log.check().catch(advise(settings))
      const stop = await driver.listen(store.channel, (payload) => told(payload, hear, wake), wake)
      if (isClosed) await stop()
      else unlisten = stop
      return { durable }
    },
    append: async (generation, data) => await log.append(generation, data),
    read: async (after, limit) => await log.read(after, limit),
    trim: async (generation, upTo) => await log.trim(generation, upTo),
    restart: async (generation) => await log.restart(generation),
    async say(data) {
      await driver.run(`SELECT pg_notify('${store.channel}', '${toPayload(data)}')`)
    },
    ...reportsOf(driver, store),
    ...placesOf(driver, store),
    async close() {
      isClosed = true
      const stop = unlisten
      unlisten = async () => undefined
      await stop()
    },
  }
}

function told(payload: string, hear: (data: Uint8Array) => void, wake: () => void): void {
  if (payload === WAKE) return wake()
  const data = fromPayload(payload)
  if (data !== undefined) hear(data)
}
