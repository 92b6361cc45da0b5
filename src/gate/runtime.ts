import { Gate101Error } from '../core/errors.ts'

function isBun(versions: NodeJS.ProcessVersions): boolean {
  return versions['bun'] !== undefined
}

/**
 * Bun has a WebSocket server of its own in the place of `ws`, which cannot take a socket over that is open already.
 *
 * @throws Gate101Error `GATE101_CONFIG` on Bun.
 */
export function checkCanWait(versions: NodeJS.ProcessVersions = process.versions): void {
  if (!isBun(versions)) return
  throw new Gate101Error(
    'GATE101_CONFIG',
    'On Bun a credential cannot come in the first message. Use a ticket or a subprotocol token; or run on Node or Deno.',
  )
}

/**
 * Bun's `ServerResponse` writes to its own connection, not to the stream it is given: what an app answers there cannot be
 * held back until the verdict.
 *
 * @throws Gate101Error `GATE101_CONFIG` on Bun.
 */
export function checkCanRunApp(versions: NodeJS.ProcessVersions = process.versions): void {
  if (!isBun(versions)) return
  throw new Gate101Error(
    'GATE101_CONFIG',
    'On Bun an app cannot decide about handshakes. Use createGate({ authenticate }) without routes, and a `ws` server; or run on Node or Deno.',
  )
}
