import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'

/** Node's `upgrade` event. */
export type UpgradeListener = (req: IncomingMessage, socket: Duplex, head: Buffer) => void

type Emit = (event: string | symbol, ...args: unknown[]) => boolean

// Node treats a request as an upgrade only while some listener is there; these are there for that alone.
const placeholders = new WeakSet<object>()

/**
 * Takes the server's `upgrade` events before anyone else: `emit` is set on this one server object, never on a prototype.
 *
 * @param holds - whether the gate takes this request; all others go where they would have gone without it.
 * @returns a function that gives the server back.
 */
export function holdUpgrades(
  server: Server,
  holds: (req: IncomingMessage) => boolean,
  take: UpgradeListener,
  untaken: UpgradeListener,
): () => void {
  const earlier = Object.hasOwn(server, 'emit') ? (Reflect.get(server, 'emit') as Emit) : undefined
  let active = true
  const emit: Emit = function emit(this: Server, event, ...args) {
    if (event === 'upgrade' && active) {
      const [req, socket, head] = args as Parameters<UpgradeListener>
      if (holds(req)) {
        take(req, socket, head)
        return true
      }
    }
    const next = earlier ?? (Object.getPrototypeOf(this) as { emit: Emit }).emit
    return Reflect.apply(next, this, [event, ...args])
  }
  const placeholder: UpgradeListener = (req, socket, head) => {
    if (otherListeners(server).length === 0) untaken(req, socket, head)
  }
  placeholders.add(placeholder)
  server.emit = emit
  server.on('upgrade', placeholder)
  return () => {
    active = false
    server.off('upgrade', placeholder)
    if (server.emit !== emit) return // someone wrapped it since: stay in the chain, inert
    if (earlier === undefined) delete (server as Partial<Server>).emit
    else server.emit = earlier
  }
}

/** The server's `upgrade` listeners that are not a gate's own. */
export function otherListeners(server: Server): UpgradeListener[] {
  return (server.listeners('upgrade') as UpgradeListener[]).filter((listener) => !placeholders.has(listener))
}
