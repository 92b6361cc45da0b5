import { ENDS } from '../core/end.ts'
import type { LiveConnection } from '../connections/connection.ts'
import type { GateState } from './state.ts'

/** All at the same moment would come back at the same moment (ms). */
const SPREAD = 10_000
const STEP = 100

/** What is done about open connections while the engine is away. */
export interface Loss {
  begun(): void
  over(): void
  /** Nothing is done any more. */
  stop(): void
}

export function createLoss(stateOf: () => GateState): Loss {
  let cancel: (() => void) | undefined
  let isStopped = false
  const later = (ms: number, call: () => void): void => {
    cancel = stateOf().clock.after(ms, call)
  }
  const act = (): void => {
    const state = stateOf()
    const open = [...state.registry.values()]
    const steps = SPREAD / STEP
    const step = (n: number): void => {
      const from = Math.floor((open.length * n) / steps)
      const to = Math.floor((open.length * (n + 1)) / steps)
      for (const connection of open.slice(from, to)) actOn(state, connection)
      if (n + 1 < steps) later(STEP, () => step(n + 1))
    }
    step(0)
  }
  const over = (): void => {
    cancel?.()
    cancel = undefined
  }
  return {
    begun() {
      const policy = stateOf().cluster?.policy
      if (policy === undefined || policy.action === 'keep' || cancel !== undefined || isStopped) return
      later(policy.after, act)
    },
    over,
    stop() {
      isStopped = true
      over()
    },
  }
}

function actOn(state: GateState, connection: LiveConnection): void {
  if (connection.reason !== undefined) return
  const { facts } = connection
  if (facts !== undefined && state.cluster?.policy.action === 'recheck') state.rechecks.now(facts, 'cluster')
  else connection.endWith(ENDS.clusterStale)
}
