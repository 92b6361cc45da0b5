import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'

/** Node's `upgrade` event. */
export type UpgradeListener = (req: IncomingMessage, socket: Duplex, head: Buffer) => void

type Emit = (event: string | symbol, ...args: unknown[]) => boolean

// Node treats a request as an upgrade only while some listener is there; these are there for that alone.
const placeholders = new WeakSet<object>()

/** Requests that a placeholder has dealt with: where there are several, the others leave them alone. */
const claimed = new WeakSet<object>()

/** Each `emit` whose gate has been detached, with the one below it. */
const released = new WeakMap<object, Emit | undefined>()

/**
 * Takes the server's `upgrade` events before anyone else: `emit` is set on this one server object, never on a prototype.
 *
 * @param holds - whether the gate takes this request; all others go where they would have gone without it.
 * @param untaken - gets what nobody on this server takes.
 * @param bypassed - gets what is held and has reached the server's other listeners all the same.
 * @returns a function that gives the server back.
 */
export function holdUpgrades(
  server: Server,
  holds: (req: IncomingMessage) => boolean,
  take: UpgradeListener,
  untaken: UpgradeListener,
  bypassed: UpgradeListener,
): () => void {
  const earlier = ownEmit(server)
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
    if (claimed.has(req)) return
    const alone = otherListeners(server).length === 0
    if (holds(req)) {
      // Called by an `emit` that somebody had bound before this one was set.
      claimed.add(req)
      if (alone) take(req, socket, head)
      else bypassed(req, socket, head)
    } else if (alone) {
      untaken(req, socket, head)
    }
  }
  placeholders.add(placeholder)
  server.emit = emit
  server.prependListener('upgrade', placeholder)
  return () => {
    active = false
    server.off('upgrade', placeholder)
    released.set(emit, earlier)
    unwind(server)
  }
}

function ownEmit(server: Server): Emit | undefined {
  return Object.hasOwn(server, 'emit') ? (Reflect.get(server, 'emit') as Emit) : undefined
}

/** What someone has wrapped since stays in the chain, inert, until it comes to the top. */
function unwind(server: Server): void {
  for (let top = ownEmit(server); top !== undefined && released.has(top); top = ownEmit(server)) {
    const earlier = released.get(top)
    if (earlier === undefined) delete (server as Partial<Server>).emit
    else server.emit = earlier
  }
}

/** The server's `upgrade` listeners that are not a gate's own. */
export function otherListeners(server: Server): UpgradeListener[] {
  return (server.listeners('upgrade') as UpgradeListener[]).filter((listener) => !placeholders.has(listener))
}
