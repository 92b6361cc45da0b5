import { ENDS } from '../core/end.ts'
import { refuse, type Refuse } from '../core/decision.ts'
import type { Identity } from '../core/identity.ts'
import type { RefusalCode } from '../core/refusals.ts'
import type { LiveConnection } from '../connections/connection.ts'
import type { GateState } from './state.ts'

/**
 * Whether there is room for one more connection of this identity. What is counted are the open connections themselves: no
 * place has to be given back.
 *
 * @param address - the key of the client's address; undefined where none can be believed, or none is counted.
 */
export function findRoom(state: GateState, identity: Identity, address: string | undefined): Refuse | undefined {
  const code = whatIsFull(state, identity, address, 1)
  if (code === undefined) return undefined
  if (code === 'too_many_for_subject' || code === 'too_many_for_session') {
    const oldest = state.limits.overflow === 'replace-oldest' ? oldestOf(state, identity) : undefined
    if (oldest !== undefined) {
      oldest.endWith(ENDS.replaced)
      return whatIsFull(state, identity, address, 1) === undefined ? undefined : refuse(code)
    }
  }
  return refuse(code)
}

/** The same, with nothing done about it. */
export function lacksRoom(state: GateState, identity: Identity, address: string | undefined): Refuse | undefined {
  const code = whatIsFull(state, identity, address, 1)
  const makesRoom = state.limits.overflow === 'replace-oldest' && oldestOf(state, identity) !== undefined
  if (code === undefined || (makesRoom && (code === 'too_many_for_subject' || code === 'too_many_for_session')))
    return undefined
  return refuse(code)
}

/** The same for one that a library has opened: others may have come while it did. */
export function checkRoom(state: GateState, connection: LiveConnection): boolean {
  return whatIsFull(state, connection.identity, connection.address, 0) === undefined
}

function whatIsFull(
  { limits, registry }: GateState,
  { subject, issuer, session }: Identity,
  address: string | undefined,
  more: 0 | 1,
): RefusalCode | undefined {
  const { connections, connectionsPerSubject, connectionsPerSession, connectionsPerAddress } = limits
  if (registry.size + more > connections) return 'too_many_connections'
  if (address !== undefined && registry.countAddress(address) + more > connectionsPerAddress)
    return 'too_many_for_address'
  if (session !== undefined && registry.count('session', session) + more > connectionsPerSession)
    return 'too_many_for_session'
  if (registry.count('subject', subject) + more <= connectionsPerSubject) return undefined
  let own = more as number
  for (const { identity } of registry.find('subject', subject)) if (identity.issuer === issuer) own += 1
  return own > connectionsPerSubject ? 'too_many_for_subject' : undefined
}

/** One login does not push another one out: only those of the same session, or of the same key or token, make room. */
export function oldestOf({ registry }: GateState, identity: Identity): LiveConnection | undefined {
  const { session, credential, issuer, subject } = identity
  const [index, key] = session === undefined ? (['credential', credential] as const) : (['session', session] as const)
  if (key === undefined) return undefined
  for (const one of registry.find(index, key))
    if (one.identity.issuer === issuer && one.identity.subject === subject) return one
  return undefined
}
