import { EventEmitter, once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { WebSocket } from 'ws'

/** How long a client may take to answer the Close frame when the app closes. */
const CLOSE_GRACE = 1000
const RESTART = 1012

/** What `@WebSocketServer()` gets: the clients of one path, all of them accepted. */
export class GatewayServer extends EventEmitter {
  readonly path: string
  readonly clients = new Set<WebSocket>()
  #closed = false

  constructor(path: string) {
    super()
    this.path = path
    // One listener for each gateway on the path.
    this.setMaxListeners(0)
  }

  /** The app is closing: nobody is let in any more. */
  get closed(): boolean {
    return this.#closed
  }

  serve(client: WebSocket, req: IncomingMessage): void {
    if (this.#closed) return client.close(RESTART, 'restart')
    this.clients.add(client)
    client.once('close', () => this.clients.delete(client))
    this.emit('connection', client, req)
    return undefined
  }

  /** Sends every client a Close frame with 1012; resolves when all are gone. */
  async end(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.clients].map(endClient))
  }
}

async function endClient(client: WebSocket): Promise<void> {
  const gone = once(client, 'close')
  client.resume()
  client.close(RESTART, 'restart')
  const timer = setTimeout(() => {
    client.terminate()
  }, CLOSE_GRACE)
  await gone
  clearTimeout(timer)
}
