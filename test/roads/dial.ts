import type { IncomingMessage } from 'node:http'
import { WebSocket } from 'ws'

export interface Dialled {
  /** `open` once the app has spoken; else the status of the refusal, or the close code. */
  readonly outcome: 'open' | number
  /** All texts that came. */
  readonly texts: readonly string[]
}

export interface DialParts {
  readonly protocols?: readonly string[]
  readonly headers?: Readonly<Record<string, string>>
  /** Sent as soon as it is open. */
  readonly message?: object | string
  /** After how many texts it is closed from here. @defaultValue 1, and one more for the answer to a message */
  readonly texts?: number
}

/** One WebSocket from its handshake to its end, by a client that knows nothing of gates. */
export async function dial(url: string, parts: DialParts = {}): Promise<Dialled> {
  const { protocols = [], headers = {}, message } = parts
  const wanted = parts.texts ?? (message === undefined ? 1 : 2)
  const socket = new WebSocket(url, [...protocols], { headers })
  const texts: string[] = []
  let status: number | undefined
  socket.on('unexpected-response', (_request, response: IncomingMessage) => {
    status = response.statusCode
    socket.terminate()
  })
  socket.on('error', () => undefined)
  socket.on('open', () => {
    if (message !== undefined) socket.send(typeof message === 'string' ? message : JSON.stringify(message))
  })
  socket.on('message', (data: Buffer) => {
    texts.push(data.toString())
    if (texts.length === wanted) socket.close(1000)
  })
  const code = await new Promise<number>((resolve) => socket.on('close', resolve))
  return { outcome: texts.length >= wanted ? 'open' : (status ?? code), texts }
}
