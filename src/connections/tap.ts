import type { WebSocket } from 'ws'

type Emit = WebSocket['emit']

/**
 * Shows every message to `take` before the app's listeners get it. `emit` is set on this one WebSocket, which the gate has
 * made.
 *
 * @param take - whether the message is not for the app.
 */
export function tapMessages(ws: WebSocket, take: (data: Buffer, isBinary: boolean) => boolean): void {
  const emit = Reflect.get(ws, 'emit')
  ws.emit = function tapped(this: WebSocket, event: string | symbol, ...args: unknown[]): boolean {
    if (event === 'message' && take(args[0] as Buffer, args[1] === true)) return true
    return Reflect.apply(emit, this, [event, ...args])
  } as Emit
}
