import type { Duplex } from 'node:stream'
import { refuse, type Refuse } from '../core/decision.ts'
import { ENDS } from '../core/end.ts'
import type { Identity } from '../core/identity.ts'
import { hashToText } from './hashes.ts'
import { oldestOf } from './room.ts'
import type { GateState } from './state.ts'

/** Whether a limit is one of all nodes together: otherwise nothing is asked, and nothing is waited for. */
export function sharesRoom({ cluster, limits }: GateState): boolean {
  return cluster !== undefined && limits.connectionsPerSubject !== Infinity
}

/** Takes a place among the connections of this subject on all nodes; it is given back when the socket is gone. */
export async function enterShared(state: GateState, identity: Identity, socket: Duplex): Promise<Refuse | undefined> {
  const { cluster, limits, hash } = state
  if (cluster === undefined) return undefined
  const { places } = cluster
  const { issuer, subject } = identity
  const key = hashToText(hash('of issuer', JSON.stringify([issuer, subject])))
  const limit = limits.connectionsPerSubject
  try {
    const place = (await places.enter(key, limit)) ?? (await inPlaceOfOldest(state, identity, key))
    if (place === undefined) return refuse('too_many_for_subject')
    if (socket.destroyed) places.leave(place)
    else socket.once('close', () => places.leave(place))
    return undefined
  } catch (error) {
    return refuse('cluster_stale', [], error)
  }
}

/** The one that makes room is on its way out, and holds its place until it is gone. */
async function inPlaceOfOldest(state: GateState, identity: Identity, key: string) {
  const { cluster, limits } = state
  const oldest = limits.overflow === 'replace-oldest' ? oldestOf(state, identity) : undefined
  if (oldest === undefined) return undefined
  oldest.endWith(ENDS.replaced)
  return await cluster?.places.enter(key, limits.connectionsPerSubject + 1)
}
