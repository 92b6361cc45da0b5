import type { ClusterEvent, RefusedEvent, RevokedEvent } from '../core/events.ts'
import type { LiveConnection } from '../connections/connection.ts'
import type { Recheck, RecheckVerdict } from '../connections/rechecks.ts'
import { valueOf } from '../core/handshake.ts'
import type { GateState } from './state.ts'
import type { Taken } from './taken.ts'

type Asked = Pick<Taken, 'handshake' | 'startedAt'> & { readonly request?: RefusedEvent['request'] }

/** Without what may hold a credential: query, fragment, path parameters, the user in front of a host. */
function shownPath(target: string): string {
  return /^\/(?!\/)[^?#;]{0,1023}/.exec(target)?.[0] ?? ''
}

/** An Origin that passes is far shorter; one that does not may be anything. */
const MAX_ORIGIN = 512

/** What every event about a handshake says. */
function factsOf(
  state: GateState,
  { handshake, startedAt }: Asked,
): { time: Date; peer: string; path: string; ms: number } {
  const now = state.clock.now()
  return { time: new Date(now), peer: handshake.peer.address, path: shownPath(handshake.target), ms: now - startedAt }
}

export function emitAccepted(state: GateState, taken: Taken, connection: LiveConnection): void {
  state.emit('accepted', () => ({
    type: 'accepted',
    ...factsOf(state, taken),
    ...whoOf(state, connection),
  }))
}

/** A session id opens doors (rule C4): events have what is the same for the same session, and nothing else. */
function whoOf(
  { sessionTag }: GateState,
  { id, identity }: LiveConnection,
): { connection: string; issuer: string; subject: string; session?: string } {
  const { issuer, subject, session } = identity
  return { connection: id, issuer, subject, ...(session === undefined ? {} : { session: sessionTag(session) }) }
}

export function emitRefused(state: GateState, taken: Asked, code: string, status: number, cause: unknown): void {
  state.emit('refused', () => ({
    type: 'refused',
    ...factsOf(state, taken),
    request: taken.request ?? 'handshake',
    code,
    status,
    origin: valueOf(taken.handshake, 'origin')?.slice(0, MAX_ORIGIN),
    ...(cause === undefined ? {} : { cause }),
  }))
}

export function emitAborted(state: GateState, taken: Taken): void {
  state.emit('aborted', () => ({ type: 'aborted', ...factsOf(state, taken) }))
}

export function emitEnded(state: GateState, connection: LiveConnection): void {
  const { reason = 'closed', cause, code, openedAtMs } = connection
  state.emit('ended', () => ({
    type: 'ended',
    time: new Date(state.clock.now()),
    ...whoOf(state, connection),
    reason,
    code,
    ms: state.clock.now() - openedAtMs,
    ...(cause === undefined ? {} : { cause }),
  }))
}

export function emitRenewed(state: GateState, connection: LiveConnection, by: 'http' | 'message' | 'recheck'): void {
  state.emit('renewed', () => ({
    type: 'renewed',
    time: new Date(state.clock.now()),
    ...whoOf(state, connection),
    by,
    expiresAt: connection.expiresAt,
  }))
}

export function emitRechecked(state: GateState, recheck: Recheck, verdict: RecheckVerdict): void {
  state.emit('rechecked', () => ({
    type: 'rechecked',
    time: new Date(state.clock.now()),
    outcome: verdict.type,
    why: recheck.why,
    connections: recheck.members.length,
    ms: state.clock.now() - recheck.askedAt,
    ...(verdict.type !== 'error' || verdict.cause === undefined ? {} : { cause: verdict.cause }),
  }))
}

export function emitRevoked(state: GateState, what: Omit<RevokedEvent, 'type' | 'time'>): void {
  state.emit('revoked', () => ({ type: 'revoked', time: new Date(state.clock.now()), ...what }))
}

export function emitCluster(
  state: GateState,
  outcome: ClusterEvent['outcome'],
  why: ClusterEvent['why'],
  cause: unknown,
): void {
  state.emit('cluster', () => ({
    type: 'cluster',
    time: new Date(state.clock.now()),
    engine: state.cluster?.engine.name ?? '',
    outcome,
    why,
    ...(cause === undefined ? {} : { cause }),
  }))
}

export function emitTicket(state: GateState, outcome: 'minted' | 'redeemed' | 'refused'): void {
  state.emit('ticket', () => ({ type: 'ticket', time: new Date(state.clock.now()), outcome }))
}
