import { browser } from './connect-browser.ts'
import { DialError } from './dial-error.ts'
import { dialOn, webSocketClassOn, type WebSocketClass, type WebSocketClassOptions } from './dial.ts'
import type { DialOptions } from './request.ts'
import type { DialSocket } from './socket.ts'

// The entry of browsers: package.json leads there. The documentation is in ../client.ts, the entry of Node.
export { DialError }

export function dial(url: string | URL, options: DialOptions = {}): Promise<DialSocket> {
  return dialOn(browser, url, options)
}

export function createWebSocketClass(options: WebSocketClassOptions = {}): WebSocketClass {
  return webSocketClassOn(browser, options)
}
