import type { RawData, WebSocket } from 'ws'

const MAX_HELD = 1024
const MAX_HELD_BYTES = 1024 * 1024

type Message = [data: RawData, isBinary: boolean]

/**
 * Keeps messages until the caller has its first `message` listener, then hands them on in order, one a turn, so that a
 * caller who awaits each with `once()` gets each. For the first turn nothing is read at all: listeners for `error` and
 * `close` that are attached right after the await hear everything.
 *
 * A caller who never listens must not stall the connection: past 1024 messages or 1 MiB they are dropped, as `ws` drops
 * messages that nobody listens for. Nothing of this is left on the socket once it has served.
 */
export function holdMessages(socket: WebSocket): void {
  const held: Message[] = []
  let bytes = 0
  let state: 'keeping' | 'handing-on' | 'done' = 'keeping'

  const keep = (data: RawData, isBinary: boolean): void => {
    held.push([data, isBinary])
    bytes += Array.isArray(data) ? 0 : data.byteLength
    if (held.length > MAX_HELD || bytes > MAX_HELD_BYTES) letGo()
  }
  const onListener = (event: string | symbol): void => {
    if (event !== 'message' || state !== 'keeping') return
    socket.off('message', keep)
    if (held.length === 0) return letGo()
    state = 'handing-on'
    // No frame may overtake what is held.
    socket.pause()
    setImmediate(handOn)
  }
  const handOn = (): void => {
    if (state !== 'handing-on') return
    if (held.length === 0) return letGo()
    if (socket.listenerCount('message') === 0) return keepAgain()
    emitNext()
    setImmediate(handOn)
  }
  const emitNext = (): void => {
    const next = held.shift()
    if (next !== undefined) socket.emit('message', ...next)
  }
  /** A `once` listener has had its message; the others wait for the next listener. */
  const keepAgain = (): void => {
    socket.on('message', keep)
    state = 'keeping'
    socket.resume()
  }
  /** Stands before the caller's own `close` listeners: what came before the end is heard before it. */
  const onClose = (): void => {
    if (state !== 'handing-on') return
    for (const message of held.splice(0)) socket.emit('message', ...message)
  }
  const letGo = (): void => {
    state = 'done'
    held.length = 0
    socket.off('message', keep)
    socket.off('newListener', onListener)
    socket.off('close', onClose)
    socket.resume()
  }
  socket.on('message', keep)
  socket.on('newListener', onListener)
  socket.on('close', onClose)
  socket.pause()
  setImmediate(() => {
    if (state === 'keeping') socket.resume()
  })
}
