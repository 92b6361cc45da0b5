import type { Duplex } from 'node:stream'
import { refuse, type Refuse } from '../core/decision.ts'
import { ENDS } from '../core/end.ts'
import type { Identity } from '../core/identity.ts'
import type { Place } from '../cluster/engine.ts'
import type { Places } from '../cluster/places.ts'
import { hashToText } from './hashes.ts'
import { refuseStale } from './revoked.ts'
import { oldestOf } from './room.ts'
import type { GateState } from './state.ts'

/** Whether a limit is one of all nodes together: otherwise nothing is asked, and nothing is waited for. */
export function sharesRoom({ cluster, limits }: GateState): boolean {
  return cluster !== undefined && limits.connectionsPerSubject !== Infinity
}

/** Takes a place among the connections of this subject on all nodes; it is given back when the socket is gone. */
export async function enterShared(state: GateState, identity: Identity, socket: Duplex): Promise<Refuse | undefined> {
  const { cluster, limits, hashes } = state
  // An engine that is away would be waited for; the limit of this node holds all the same.
  if (cluster === undefined || (cluster.policy.acceptWhenStale && cluster.node.lost !== undefined)) return undefined
  const { places } = cluster
  const { issuer, subject } = identity
  const who = JSON.stringify([issuer, subject])
  // One by each of the secrets: a node that has one of them alone counts by that one.
  const keys = hashes.map((hash) => hashToText(hash('of issuer', who)))
  const limit = limits.connectionsPerSubject
  try {
    const held = (await enterAll(places, keys, limit)) ?? (await inPlaceOfOldest(state, identity, places, keys))
    if (held === undefined) return refuse('too_many_for_subject')
    if (socket.destroyed) leaveAll(places, held)
    else socket.once('close', () => leaveAll(places, held))
    // It may have waited for long.
    return refuseStale(state)
  } catch (error) {
    return cluster.policy.acceptWhenStale ? undefined : refuse('cluster_stale', [], error)
  }
}

/** @returns undefined, and none is held, where one is not free. */
async function enterAll(places: Places, keys: readonly string[], limit: number): Promise<Place[] | undefined> {
  const held: Place[] = []
  let isIn = false
  try {
    for (const key of keys) {
      // oxlint-disable-next-line no-await-in-loop -- in order: two that cross at the limit meet at the first one
      const place = await places.enter(key, limit)
      if (place === undefined) return undefined
      held.push(place)
    }
    isIn = true
    return held
  } finally {
    if (!isIn) leaveAll(places, held)
  }
}

function leaveAll(places: Places, held: readonly Place[]): void {
  for (const place of held) places.leave(place)
}

/** The one that makes room is on its way out, and holds its place until it is gone. */
async function inPlaceOfOldest(
  state: GateState,
  identity: Identity,
  places: Places,
  keys: readonly string[],
): Promise<Place[] | undefined> {
  const { limits } = state
  const oldest = limits.overflow === 'replace-oldest' ? oldestOf(state, identity) : undefined
  if (oldest === undefined) return undefined
  oldest.endWith(ENDS.replaced)
  return await enterAll(places, keys, limits.connectionsPerSubject + 1)
}
