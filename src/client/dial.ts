import { readRequest, type DialOptions } from './request.ts'
import type { Runtime } from './runtime.ts'
import { DialSocket } from './socket.ts'

export function dialOn(runtime: Runtime, url: string | URL, options: DialOptions): Promise<DialSocket> {
  return new Promise((resolve, reject) => {
    const request = readRequest(url, options, runtime)
    const socket = new DialSocket(runtime, request, (error) => (error === undefined ? resolve(socket) : reject(error)))
  })
}

/** Options of `createWebSocketClass`: those of `dial` that are not of one connection alone. */
export type WebSocketClassOptions = Omit<DialOptions, 'protocols' | 'signal' | 'reconnect'>

export type WebSocketClass = new (url: string | URL, protocols?: string | readonly string[]) => DialSocket

export function webSocketClassOn(runtime: Runtime, options: WebSocketClassOptions): WebSocketClass {
  return class extends DialSocket {
    constructor(url: string | URL, protocols: string | readonly string[] = []) {
      super(runtime, readRequest(url, { ...options, protocols, reconnect: false }, runtime), () => {})
    }
  }
}
