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
  return new EarlyMessages(ws, ended)
}

class EarlyMessages implements Hold {
  readonly #ws: WebSocket
  readonly #ended: () => boolean
  readonly #held: Message[] = []
  #bytes = 0
  #keeping = true
  #settled = false
  /** Messages are left, and the listener that took the one before is gone. */
  #stalled = false

  constructor(ws: WebSocket, ended: () => boolean) {
    this.#ws = ws
    this.#ended = ended
    ws.on('message', this.#keep)
    ws.on('newListener', this.#onListener)
  }

  settle(): void {
    this.#settled = true
    if (!this.#keeping && !this.#stalled) return
    this.#release()
    this.#forget()
  }

  readonly #keep = (data: unknown, isBinary: boolean): void => {
    this.#held.push([data, isBinary])
    this.#bytes += (data as { length?: number }).length ?? 0
    if (this.#held.length >= MAX_HELD || this.#bytes >= MAX_HELD_BYTES) this.#ws.pause()
  }

  readonly #onListener = (event: string | symbol): void => {
    if (event !== 'message') return
    this.#release()
    if (this.#held.length === 0) return
    // 'newListener' comes before the listener is in place; no frame may overtake what is held.
    this.#ws.pause()
    setImmediate(this.#handOn)
  }

  readonly #handOn = (): void => {
    const [next] = this.#held
    if (next === undefined || this.#ended()) return this.#forget()
    if (this.#ws.listenerCount('message') === 0) return this.#stall()
    this.#held.shift()
    this.#ws.emit('message', ...next)
    // One message a turn: a handler that awaits each with once() gets each.
    setImmediate(this.#handOn)
  }

  #stall(): void {
    if (this.#settled) return this.#forget()
    this.#stalled = true
    this.#ws.on('newListener', this.#onListener)
  }

  #release(): void {
    this.#keeping = false
    this.#stalled = false
    this.#ws.off('message', this.#keep)
    this.#ws.off('newListener', this.#onListener)
  }

  #forget(): void {
    this.#held.length = 0
    this.#ws.resume()
  }
}
