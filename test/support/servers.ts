import { once } from 'node:events'
import type { Server, Socket } from 'node:net'
import { patientClock } from './beats.ts'

/** A server that listens, and the connections that it holds. */
export interface Listening extends AsyncDisposable {
  readonly port: number
  /** Connections that the server holds at this moment, of whatever kind. */
  openHandshakes(): number
  /** Waits until the server holds no connection; rejects, with the number left, after `ms` that this process has felt. @defaultValue 5000 */
  noneOpen(ms?: number): Promise<void>
  /** Destroys every connection and stops listening. May be called again. */
  close(): Promise<void>
}

async function noneIn(sockets: ReadonlySet<Socket>, ms: number): Promise<void> {
  let cancel = (): void => undefined
  const late = new Promise<false>((resolve) => (cancel = patientClock.after(ms, () => resolve(false))))
  for (const socket of sockets) {
    const gone = await Promise.race([
      // Not events.once(): it rejects on the 'error' of a peer that has reset.
      new Promise<true>((resolve) => socket.once('close', () => resolve(true))),
      late,
    ])
    if (!gone) throw new Error(`The server still holds ${sockets.size} connection(s) after ${ms} ms.`)
  }
  cancel()
}

/**
 * Listens on a free port of 127.0.0.1 and watches every TCP connection, those that were upgraded too.
 *
 * @example
 * ```ts
 * await using server = await listen(createServer(app))
 * await rawRequest({ port: server.port, lines: handshake() })
 * ```
 */
export async function listen(server: Server, host = '127.0.0.1'): Promise<Listening> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  server.listen(0, host)
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('The server listens on no TCP port.')
  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy()
    if (!server.listening) return
    const closed = once(server, 'close')
    server.close()
    await closed
  }
  return {
    port: address.port,
    openHandshakes: () => sockets.size,
    noneOpen: async (ms = 5000) => await noneIn(sockets, ms),
    close,
    [Symbol.asyncDispose]: close,
  }
}
