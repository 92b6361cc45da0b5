import { refuse, type HeaderPairs, type Refuse } from '../core/decision.ts'
import type { Identity } from '../core/identity.ts'
import type { GateState } from './state.ts'

/** RFC 9110 section 15.5.2: a 401 names a scheme; which one the app's login uses, only the app knows. */
export const APP_CHALLENGE: HeaderPairs = [['WWW-Authenticate', 'App realm="gate101"']]

/** The refusal of an identity that was revoked; undefined where it was not. */
export function refuseRevoked(state: GateState, identity: Identity, order: number): Refuse | undefined {
  return state.revocations.covers(identity, order) ? refuse('revoked_credential', APP_CHALLENGE) : undefined
}

/** Why this identity cannot be let in now. */
export function refuseIdentity(state: GateState, identity: Identity, order: number): Refuse | undefined {
  return refuseRevoked(state, identity, order) ?? refuseStale(state)
}

/** Why no identity can be let in now: somebody may have revoked it, and this node does not know. */
export function refuseStale({ cluster }: GateState): Refuse | undefined {
  if (cluster === undefined || cluster.policy.acceptWhenStale) return undefined
  return cluster.node.lost === undefined ? undefined : refuse('cluster_stale')
}
