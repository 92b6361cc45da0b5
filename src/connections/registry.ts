import type { EventEmitter } from 'node:events'
import type { LiveConnection } from './connection.ts'

/** All open connections of one gate on this node. */
export interface Registry {
  readonly size: number
  /** @param carrier - the WebSocket or raw socket whose 'close' ends the connection. */
  add(carrier: EventEmitter, connection: LiveConnection): void
  values(): IterableIterator<LiveConnection>
}

/** @param ended - called once for each connection that leaves. */
export function createRegistry(ended: (connection: LiveConnection) => void): Registry {
  const open = new Map<unknown, LiveConnection>()
  // One shared listener instead of a closure for each connection.
  function onClose(this: unknown): void {
    const connection = open.get(this)
    if (connection === undefined) return // a second 'close'
    open.delete(this)
    connection.markEnded('closed')
    ended(connection)
  }
  return {
    get size(): number {
      return open.size
    },
    add(carrier, connection): void {
      open.set(carrier, connection)
      carrier.on('close', onClose)
    },
    values: () => open.values(),
  }
}
