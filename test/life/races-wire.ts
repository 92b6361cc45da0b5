import { request, type Server } from 'node:http'
import { Duplex } from 'node:stream'
import { WebSocket } from 'ws'
import type { ParsedResponse } from '../support/response.ts'

/** Counts everything that moves on any wire, so that a test knows when nothing does. */
const moves = { count: 0, under: 0 }

/** One end of a connection in memory: what is written here can be read there in the next turn, as on a socket. */
class End extends Duplex {
  readonly remoteAddress = '127.0.0.1'
  readonly remotePort = 50_000
  readonly localAddress = '127.0.0.1'
  readonly localPort = 80
  #other: End | undefined

  static pair(): [End, End] {
    const [one, other] = [new End({ allowHalfOpen: true }), new End({ allowHalfOpen: true })]
    one.#other = other
    other.#other = one
    return [one, other]
  }

  override _read(): void {
    // Pushed by the other end.
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#later((other) => void other.push(chunk))
    done()
  }

  override _final(done: () => void): void {
    this.#later((other) => void other.push(null))
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#later((other) => {
      other.push(null)
      if (error !== null || other.writableEnded) other.destroy()
    })
    done(error)
  }

  #later(act: (other: End) => void): void {
    const other = this.#other
    if (other === undefined) return
    moves.under++
    setImmediate(() => {
      moves.under--
      moves.count++
      if (!other.destroyed) act(other)
    })
  }

  // What Node and ws do to a socket.
  setTimeout(): this {
    return this
  }
  setNoDelay(): this {
    return this
  }
  setKeepAlive(): this {
    return this
  }
  ref(): this {
    return this
  }
  unref(): this {
    return this
  }
}

const STILL = 6

/** Waits until nothing moves: all that is left waits for the test. */
export async function quiet(): Promise<void> {
  let seen = moves.count
  for (let still = 0; still < STILL;) {
    await new Promise(setImmediate)
    still = moves.under === 0 && moves.count === seen ? still + 1 : 0
    seen = moves.count
  }
}

/** What became of a client. */
export interface Client {
  readonly ws: WebSocket
  /** Of a refusal; 101 once it is open; undefined before. */
  status: number | undefined
  closed: { readonly code: number; readonly reason: string } | undefined
  readonly messages: string[]
}

/** Dials over a wire in memory. */
export function dialWire(server: Server, path: string, headers: Readonly<Record<string, string>>): Client {
  const [here, there] = End.pair()
  const createConnection = (): never => {
    server.emit('connection', there)
    return here as never
  }
  const ws = new WebSocket(`ws://localhost${path}`, { headers, createConnection })
  const client: Client = { ws, status: undefined, closed: undefined, messages: [] }
  ws.on('error', () => undefined)
  ws.on('open', () => (client.status = 101))
  ws.on('message', (data) => client.messages.push(String(data)))
  ws.on('close', (code, reason) => (client.closed = { code, reason: String(reason) }))
  ws.on('unexpected-response', (_request, response) => {
    client.status = response.statusCode
    response.resume()
    ws.terminate()
  })
  return client
}

/** POSTs over a wire in memory. */
export async function postWire(
  server: Server,
  path: string,
  headers: Readonly<Record<string, string>>,
): Promise<Pick<ParsedResponse, 'status'> & { readonly body: Record<string, unknown> }> {
  const [here, there] = End.pair()
  const createConnection = (): never => {
    server.emit('connection', there)
    return here as never
  }
  return await new Promise((resolve, reject) => {
    const asked = request(
      {
        method: 'POST',
        path,
        headers: { Host: 'localhost', 'Content-Type': 'application/json', ...headers },
        createConnection,
      },
      (response) => {
        let text = ''
        response.on('data', (chunk) => (text += String(chunk)))
        response.on('end', () => {
          here.destroy()
          resolve({
            status: response.statusCode ?? 0,
            body: JSON.parse(text === '' ? '{}' : text) as Record<string, unknown>,
          })
        })
      },
    )
    asked.on('error', reject)
    asked.end('{}')
  })
}
