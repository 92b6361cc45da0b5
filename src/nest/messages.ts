import type { WebSocket } from 'ws'
import type { Observable } from './guards.ts'

/** One `@SubscribeMessage()` method, as Nest hands it out. */
export interface MessageHandler {
  readonly message: string
  readonly callback: (...args: never[]) => unknown
}

/** Nest's own: makes one Observable of whatever a message handler returned. */
export type Transform = (returned: never) => Observable

/**
 * Messages are `{ "event": name, "data": … }` in JSON, and so are the answers. What is no such message, or names an
 * event that nobody subscribed to, is left out without a word, as Nest's own adapter does it.
 */
export function bindMessages(client: WebSocket, handlers: readonly MessageHandler[], transform: Transform): void {
  const byEvent = new Map(handlers.map((handler) => [handler.message, handler.callback]))
  const running = new Set<{ unsubscribe(): void }>()
  client.on('message', (data: { toString(): string }) => {
    const message = parse(data.toString())
    const callback = byEvent.get(message?.event as string)
    if (message === undefined || callback === undefined) return
    const returned = call(callback, message)
    if (returned !== undefined) follow(client, transform(returned as never), running)
  })
  client.once('close', () => {
    for (const subscription of running) subscription.unsubscribe()
    running.clear()
  })
}

function parse(text: string): { readonly event?: unknown; readonly data?: unknown } | undefined {
  try {
    const message: unknown = JSON.parse(text)
    return typeof message === 'object' && message !== null ? message : undefined
  } catch {
    return undefined
  }
}

function call(callback: MessageHandler['callback'], message: { event?: unknown; data?: unknown }): unknown {
  try {
    return callback(message.data as never, message.event as never)
  } catch (error) {
    warn(error)
    return undefined
  }
}

/** Sends each value as it comes, until the client goes. */
function follow(client: WebSocket, answers: Observable, running: Set<{ unsubscribe(): void }>): void {
  let done = false
  let subscription: { unsubscribe(): void } | undefined
  const finish = (): void => {
    done = true
    if (subscription !== undefined) running.delete(subscription)
  }
  subscription = answers.subscribe({
    next(value) {
      if (value !== undefined && value !== null && client.readyState === client.OPEN) client.send(JSON.stringify(value))
    },
    error(error) {
      finish()
      warn(error)
    },
    complete: finish,
  })
  if (!done) running.add(subscription)
}

/** Nest's exception filters have had it before: only what they threw themselves comes here. */
function warn(error: unknown): void {
  process.emitWarning(`A message handler of a gateway failed: ${String(error)}`, 'Gate101Warning')
}
