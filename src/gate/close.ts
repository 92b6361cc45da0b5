import { ENDS } from '../core/end.ts'
import type { Duration } from '../core/duration.ts'
import type { LiveConnection } from '../connections/connection.ts'
import { inSlices } from '../connections/slices.ts'
import { durationOf } from './life-options.ts'
import type { GateState } from './state.ts'

/**
 * Refuses new handshakes with 503, ends what waits and, spread over `drain`, what is open with 1012. Resolves when the last
 * socket is gone.
 */
export async function closeState(state: GateState, drain: Duration): Promise<void> {
  const ms = durationOf('close({ drain })', drain, 0)
  state.closing = true
  for (const end of state.waiting) end()
  const open = [...state.registry.values()]
  if (ms === 0) await inSlices(open, endFor)
  else await Promise.all(open.map((connection, n) => endAfter(state, connection, (ms * n) / open.length)))
  // A library may have opened one meanwhile.
  await inSlices([...state.registry.values()], endFor)
  await state.registry.whenEmpty()
  state.deadlines.stop()
  state.rechecks.stop()
  state.revocations.stop()
  state.stopHeartbeat()
  state.store?.unwatch()
  state.cluster?.loss.stop()
  await state.cluster?.places.stop()
  await state.cluster?.node.stop()
}

function endFor(connection: LiveConnection): void {
  connection.endWith(ENDS.restart)
}

function endAfter(state: GateState, connection: LiveConnection, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const cancel = state.clock.after(ms, () => endFor(connection))
    connection.on('end', () => {
      cancel()
      resolve()
    })
  })
}
