import type { WebSocket } from 'ws'

type Message = [data: unknown, isBinary: boolean]

const MAX_HELD = 64
const MAX_HELD_BYTES = 64 * 1024

/** Messages that came before the handler was ready for them. */
export interface Hold {
  /** The handler has settled: what no listener wants by now, nobody will. */
  settle(): void
}

/**
 * Keeps early messages until the handler attaches its first `message` listener, then hands them on in order. Control
 * frames are answered meanwhile. Past 64 messages or 64 KiB the socket is paused and TCP holds the rest back.
 *
 * After the first listener is served nothing of this is left on the socket.
 *
 * @param ended - whether the connection was ended: nothing is handed on any more.
 */
export function holdMessages(ws: WebSocket, ended: () => boolean): Hold {
  const held: Message[] = []
  let bytes = 0
  let released = false
  let settled = false
  let stalled = false

  const keep = (data: unknown, isBinary: boolean): void => {
    held.push([data, isBinary])
    bytes += (data as { length?: number }).length ?? 0
    if (held.length >= MAX_HELD || bytes >= MAX_HELD_BYTES) ws.pause()
  }
  const onListener = (event: string | symbol): void => {
    if (event !== 'message') return
    release()
    if (held.length === 0) return
    // 'newListener' comes before the listener is in place; no frame may overtake what is held.
    ws.pause()
    setImmediate(handOn)
  }
  const release = (): void => {
    if (released) return
    released = true
    ws.off('message', keep)
    ws.off('newListener', onListener)
  }
  const handOn = (): void => {
    const [next] = held
    if (next === undefined || ended()) return forget()
    if (ws.listenerCount('message') === 0) return stall()
    held.shift()
    ws.emit('message', ...next)
    // One message a turn: a handler that awaits each with once() gets each.
    setImmediate(handOn)
  }
  const stall = (): void => {
    if (settled || ended()) return forget()
    stalled = true
    ws.on('newListener', wake)
  }
  const wake = (event: string | symbol): void => {
    if (event !== 'message') return
    stalled = false
    ws.off('newListener', wake)
    setImmediate(handOn)
  }
  const forget = (): void => {
    held.length = 0
    ws.resume()
  }
  ws.on('message', keep)
  ws.on('newListener', onListener)
  return {
    settle(): void {
      settled = true
      if (released && !stalled) return
      release()
      ws.off('newListener', wake)
      forget()
    },
  }
}
