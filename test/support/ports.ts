import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'

/**
 * A free port of 127.0.0.1 for a server that is told where to listen, and comes back there after a while. None of those that
 * the system gives out by itself: to whoever connects or listens meanwhile. The port 10000 above is out of their way, too.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(12_000, 22_000)
    const server = createServer().listen(port, '127.0.0.1')
    // oxlint-disable-next-line no-await-in-loop -- until one is free
    const isFree = await once(server, 'listening').then(
      () => true,
      () => false,
    )
    if (!isFree) continue
    server.close()
    // oxlint-disable-next-line no-await-in-loop -- it is the last one
    await once(server, 'close')
    return port
  }
}
