import { Gate101Error } from '../core/errors.ts'

/**
 * Bun's `ServerResponse` writes to its own connection, not to the stream it is given: what an app answers there cannot be
 * held back until the verdict.
 *
 * @throws Gate101Error `GATE101_CONFIG` on Bun.
 */
export function checkCanRunApp(versions: NodeJS.ProcessVersions = process.versions): void {
  if (versions['bun'] === undefined) return
  throw new Gate101Error(
    'GATE101_CONFIG',
    'On Bun an app cannot decide about handshakes. Use createGate({ authenticate }) without routes, and a `ws` server; or run on Node or Deno.',
  )
}
