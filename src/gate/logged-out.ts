import type { Clock } from '../core/clock.ts'

/** One logout, as the session store has seen it. */
export interface Logout {
  /** In the order of all that happens at this gate. */
  readonly order: number
  /** The store has said so; otherwise it is about to, or has failed. */
  readonly isGone: boolean
}

/** Sessions that were destroyed just now: a question that was under way then may not have seen it. */
export interface LoggedOut {
  add(session: string, order: number, isGone: boolean): void
  /** The one after this. */
  since(session: string, order: number): Logout | undefined
}

/** @param ms - for how long a question can be under way. */
export function createLoggedOut(clock: Clock, ms: number): LoggedOut {
  const recent = new Map<string, Logout>()
  return {
    add(session, order, isGone): void {
      recent.set(session, { order, isGone })
      clock.after(ms, () => {
        if (recent.get(session)?.order === order) recent.delete(session)
      })
    },
    since(session, order) {
      const logout = recent.get(session)
      return logout !== undefined && logout.order > order ? logout : undefined
    },
  }
}
