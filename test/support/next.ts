import type { DialEventMap, DialSocket } from '../../src/client.ts'

/** The next event of this type. (`once` of `node:events` wants an EventEmitter where there is a method `on`.) */
export function next<K extends keyof DialEventMap>(socket: DialSocket, type: K): Promise<DialEventMap[K]> {
  return new Promise((resolve) => {
    socket.addEventListener(type, resolve, { once: true })
  })
}
