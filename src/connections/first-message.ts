import type { WebSocket } from 'ws'

type Emit = WebSocket['emit']

/**
 * Shows every message to `take` until it lets one go on to the app's listeners; from then on nothing of this is in the
 * way. `emit` is set on this one WebSocket, which the gate has made.
 *
 * @param take - whether the message is not for the app.
 * @returns a function that lets all that follows go on to the app.
 */
export function takeFirstMessages(ws: WebSocket, take: (data: Buffer, isBinary: boolean) => boolean): () => void {
  const emit = Reflect.get(ws, 'emit')
  const hooked = function (this: WebSocket, event: string | symbol, ...args: unknown[]): boolean {
    if (event !== 'message') return Reflect.apply(emit, this, [event, ...args])
    if (take(args[0] as Buffer, args[1] === true)) return true
    release()
    return Reflect.apply(emit, this, [event, ...args])
  }
  const release = (): void => {
    ws.emit = emit
  }
  ws.emit = hooked as Emit
  return release
}
