import type { JetStream } from './jetstream.ts'
import type { Names } from './names.ts'
import type { Shelf } from './shelf.ts'

/** The server's clock: milliseconds since the epoch. */
export interface ServerClock {
  now(): Promise<number>
}

/** Servers before 2.10 do not tell their time, but each message has one. */
export function clockOf(jetstream: JetStream, names: Names, state: Shelf): ServerClock {
  let isTold = true
  return {
    async now() {
      const info = isTold ? await jetstream.info(names.state) : undefined
      if (info?.ts !== undefined) return Date.parse(info.ts)
      if (info !== undefined) isTold = false
      await state.put(names.tick, 0)
      const tick = await state.get(names.tick)
      if (tick === undefined) throw new Error('NATS: the time was taken away')
      return tick.storedAt
    },
  }
}
