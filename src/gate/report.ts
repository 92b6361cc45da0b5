import type { Clock } from '../core/clock.ts'
import type { LiveConnection } from '../connections/connection.ts'
import { valueOf } from '../core/handshake.ts'
import type { GateState } from './state.ts'
import type { Taken } from './taken.ts'

type Asked = Pick<Taken, 'handshake' | 'startedAt'>

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
    connection: connection.id,
    issuer: connection.identity.issuer,
    subject: connection.identity.subject,
  }))
}

export function emitRefused(state: GateState, taken: Asked, code: string, status: number, cause: unknown): void {
  state.emit('refused', () => ({
    type: 'refused',
    ...factsOf(state, taken),
    code,
    status,
    origin: valueOf(taken.handshake, 'origin')?.slice(0, MAX_ORIGIN),
    ...(cause === undefined ? {} : { cause }),
  }))
}

export function emitAborted(state: GateState, taken: Taken): void {
  state.emit('aborted', () => ({ type: 'aborted', ...factsOf(state, taken) }))
}

export function emitEnded(emit: GateState['emit'], clock: Clock, connection: LiveConnection): void {
  const { id, reason = 'closed', cause } = connection
  emit('ended', () => ({
    type: 'ended',
    time: new Date(clock.now()),
    connection: id,
    reason,
    ...(cause === undefined ? {} : { cause }),
  }))
}
