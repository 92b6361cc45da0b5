import { ENDS, type End } from '../core/end.ts'
import { expiresAtOf } from '../core/identity.ts'
import type { LiveConnection } from '../connections/connection.ts'
import { endOf, limitOf, noticeOf } from '../connections/life.ts'
import { inSlices } from '../connections/slices.ts'
import { isBySession } from './facts.ts'
import { refuseStale } from './revoked.ts'
import { checkRoom } from './room.ts'
import type { GateState } from './state.ts'

/** A connection is in the registry: whatever was revoked since it was asked about holds for it (rule V2). */
export function begin(state: GateState, connection: LiveConnection): void {
  if (connection.reason !== undefined) return
  if (state.closing) return connection.endWith(ENDS.restart)
  const { identity, order, id } = connection
  if (state.revocations.covers(identity, order, id)) return connection.endWith(ENDS.revoked)
  // A library may have taken long, and somebody else may have revoked it meanwhile.
  if (refuseStale(state) !== undefined) return connection.endWith(ENDS.clusterStale)
  if (!checkRoom(state, connection)) return connection.endWith(ENDS.tooManyConnections)
  keepTime(state, connection)
  // A logout while the app was asked: the app may have read the session before it.
  const { session } = identity
  if (session !== undefined) heedLogout(state, connection, session, order)
}

/** Whether its session was destroyed since: it is asked about at once then. Where that cannot be, it is out. */
export function heedLogout(state: GateState, connection: LiveConnection, session: string, order: number): void {
  const logout = state.loggedOut.since(session, order)
  if (logout === undefined) return
  if (logout.isGone) connection.loggedOut = { session, order: logout.order }
  const { facts } = connection
  // A check of the app's own is asked about persons, not about sessions.
  if (facts === undefined || state.recheck?.check !== undefined) connection.endWith(ENDS.revoked)
  else state.rechecks.now(facts, 'session')
}

/** @param isGone - false where the store has failed: only the app can say whether the session is still there. */
export function sessionDestroyed(state: GateState, session: string, isGone: boolean): void {
  const order = state.nextOrder()
  state.loggedOut.add(session, order, isGone)
  // Who was renewed with another session since does not live by this one.
  const own = [...state.registry.find('session', session)].filter(({ identity }) => identity.session === session)
  // A check of the app's own is asked about persons; that this session is gone is known.
  if (state.recheck?.check !== undefined) {
    if (isGone) void inSlices(own, (connection) => connection.endWith(ENDS.revoked))
    return
  }
  if (isGone) for (const connection of own) connection.loggedOut = { session, order }
  askAbout(state, session)
  if (!isGone) return
  void inSlices(own, (connection) => {
    if (connection.facts === undefined) connection.endWith(ENDS.revoked)
  })
}

/** One question for each credential of the session, whoever lives by it. */
export function askAbout(state: GateState, session: string): void {
  const own = [...state.registry.find('session', session)].filter(({ identity }) => identity.session === session)
  for (const facts of new Set(own.map((connection) => connection.facts)))
    if (facts !== undefined) state.rechecks.now(facts, 'session')
}

/** Each of them may be logged out, and nobody has told. Who cannot be asked about has to come again. */
export function askAboutAll({ registry, rechecks, store, recheck }: GateState): void {
  if (store === undefined) return
  const own = [...registry.values()].filter(({ identity }) => identity.session !== undefined)
  // A check of the app's own is asked about persons, not about sessions.
  const canAsk = ({ facts }: LiveConnection): boolean => facts !== undefined && recheck?.check === undefined
  for (const facts of new Set(own.filter(canAsk).map((connection) => connection.facts)))
    if (facts !== undefined) rechecks.now(facts, 'cluster')
  void inSlices(own, (connection) => {
    if (!canAsk(connection)) connection.endWith(ENDS.clusterStale)
  })
}

/** Sees to it that the connection ends when it must. */
export function keepTime(state: GateState, connection: LiveConnection): void {
  const now = state.clock.now()
  connection.endsAt = endOf(state.life, connection, now)
  if (connection.isOverdue) connection.isOverdue = false
  if (connection.endsAt === Infinity) state.deadlines.delete(connection)
  else state.deadlines.set(connection, noticeOf(connection.endsAt, now))
}

/** Called when a connection is due: for its notice first, then for its end. */
export function onDue(state: GateState, connection: LiveConnection, now: number): void {
  if (now >= connection.endsAt) return expire(state, connection, now)
  state.deadlines.set(connection, connection.endsAt)
  connection.tellExpiring(now)
}

/** Rule R6. */
function expire(state: GateState, connection: LiveConnection, now: number): void {
  const { facts } = connection
  const end = endOfTime(state, connection)
  const limit = limitOf(state.life.maxAge, connection)
  if (end === ENDS.maxAge || facts === undefined || connection.isOverdue || now >= limit) return connection.endWith(end)
  // Until then it is asked again and again, or waits to be asked.
  const patience = isBySession(state, facts.asked)
    ? Math.max(state.recheck?.grace ?? 0, state.limits.deadline)
    : state.limits.deadline
  state.deadlines.set(connection, Math.min(limit, now + patience))
  connection.isOverdue = true
  state.rechecks.now(facts, 'expiry')
}

/** What the time was for that is over. */
export function endOfTime({ life }: GateState, connection: LiveConnection): End {
  const { identity, trust, openedAtMs } = connection
  if (expiresAtOf(identity) <= limitOf(life.maxAge, connection)) return ENDS.expired
  return trust.until < openedAtMs + life.maxAge ? trust.end : ENDS.maxAge
}

/** A connection has ended: nothing of it stays. */
export function forget(state: GateState, connection: LiveConnection): void {
  state.deadlines.delete(connection)
  state.rechecks.leave(connection)
}
