import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { listen, type Listening } from '../../support/servers.ts'

/** A server that answers every handshake as plain HTTP. */
export async function refusing(answer: (req: IncomingMessage, res: ServerResponse) => void): Promise<Listening> {
  // Without a listener for upgrades Node hands a handshake to the app as an ordinary request.
  return await listen(createServer(answer))
}

/** A server that gets the raw socket of every handshake. */
export async function upgrading(take: (socket: Duplex, req: IncomingMessage) => void): Promise<Listening> {
  const server = createServer()
  server.on('upgrade', (req, socket) => {
    socket.on('error', () => {})
    socket.on('end', () => socket.end())
    socket.resume()
    take(socket, req)
  })
  return await listen(server)
}

/** The bytes of a 101, and of whatever follows in the same packet. */
export function switching(req: IncomingMessage, ...frames: readonly Buffer[]): Buffer {
  const accept = createHash('sha1')
    .update(`${req.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest('base64')
  const lines = [
    'HTTP/1.1 101 Switching Protocols',
    'Upgrade: websocket',
    'Connection: Upgrade',
    `Sec-WebSocket-Accept: ${accept}`,
  ]
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`), ...frames])
}

const frame = (opcode: number, payload: Buffer): Buffer =>
  Buffer.concat([Buffer.from([0x80 | opcode, payload.length]), payload])

/** A text message of at most 125 bytes. */
export const text = (payload: string): Buffer => frame(1, Buffer.from(payload))

export const closing = (code: number): Buffer => frame(8, Buffer.from([code >> 8, code & 0xff]))

/** A frame with a reserved opcode: a client must fail the connection. */
export const malformed = (): Buffer => frame(3, Buffer.alloc(0))

export const urlOf = ({ port }: Pick<Listening, 'port'>, path = '/ws'): string => `ws://127.0.0.1:${port}${path}`
