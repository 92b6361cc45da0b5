import type { Clock } from '../core/clock.ts'
import { ENDS } from '../core/end.ts'
import type { LiveConnection } from './connection.ts'
import type { Registry } from './registry.ts'
import { inSlices } from './slices.ts'

export interface HeartbeatPolicy {
  /** Milliseconds. */
  readonly every: number
  /** Bytes that may wait for a client that does not read. */
  readonly buffered: number
}

/** What was seen of a connection at the last beat. */
interface Seen {
  bytes: number
  missed: number
}

/** Pings that may stay without an answer. */
const MAX_MISSED = 2

/**
 * Pings who has sent nothing since the last beat, and ends who answers nothing, or lets more wait than may. A pong is
 * seen by the bytes that have come: no listener is needed for it.
 *
 * @returns a function that stops it.
 */
export function startHeartbeat(clock: Clock, registry: Registry, policy: HeartbeatPolicy): () => void {
  const seen = new WeakMap<LiveConnection, Seen>()
  let cancel = (): void => undefined
  const beat = (): void => {
    void inSlices([...registry.values()], (connection) => look(connection, policy, seen))
    cancel = clock.after(policy.every, beat)
  }
  cancel = clock.after(policy.every, beat)
  return () => cancel()
}

function look(connection: LiveConnection, { buffered }: HeartbeatPolicy, seen: WeakMap<LiveConnection, Seen>): void {
  if (connection.reason !== undefined) return
  if (connection.queued > buffered) return connection.endWith(ENDS.tooSlow)
  const { bytesRead } = connection.socket as { readonly bytesRead?: number }
  // What has no frames of its own to ping with is the library's.
  if (bytesRead === undefined || !connection.canPing) return
  const before = seen.get(connection)
  const missed = before?.bytes === bytesRead ? before.missed + 1 : 0
  if (missed >= MAX_MISSED) return connection.endWith(ENDS.noPong)
  seen.set(connection, { bytes: bytesRead, missed })
  connection.ping()
}
