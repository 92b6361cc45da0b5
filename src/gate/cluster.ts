import type { Clock } from '../core/clock.ts'
import { ENDS } from '../core/end.ts'
import type { ClusterEngine } from '../cluster/engine.ts'
import type { HeldEntry, HeldItem, SessionEntry, WrittenRevokeEntry } from '../cluster/entries.ts'
import type { Applied } from '../cluster/messages.ts'
import { ClusterNode, type Lost } from '../cluster/node.ts'
import { Places } from '../cluster/places.ts'
import { inSlices } from '../connections/slices.ts'
import type { Keys } from '../credentials/keys.ts'
import type { LossPolicy } from './cluster-options.ts'
import { createLoss, type Loss } from './cluster-loss.ts'
import { answerTo } from './connections.ts'
import { hashToText, textToHash } from './hashes.ts'
import { askAbout, askAboutAll, sessionDestroyed } from './life.ts'
import { emitCluster } from './report.ts'
import { carryOut } from './revoke.ts'
import { createSealer } from './sealer.ts'
import type { GateState } from './state.ts'

const SECOND = 1000

/** This gate as a node of a cluster. */
export interface Cluster {
  readonly engine: ClusterEngine
  readonly node: ClusterNode
  readonly places: Places
  readonly loss: Loss
  readonly policy: LossPolicy
  /** What others remember was added to what this node remembers: who is open was not held against it yet. */
  isBehind: boolean
}

export function createCluster(
  stateOf: () => GateState,
  engine: ClusterEngine,
  keys: Keys,
  policy: LossPolicy,
): Cluster {
  const { clock, node: name } = stateOf()
  const sealer = createSealer(keys)
  const node = new ClusterNode({
    engine,
    clock,
    sealer,
    name,
    revoke: (entry, delay) => applyRevocation(stateOf(), entry, delay),
    hold: (entry) => hold(stateOf(), entry),
    async caughtUp(wasAway) {
      await endCovered(stateOf())
      if (wasAway) await stateOf().cluster?.places.keepNow()
    },
    sessionGone: ({ session, isGone }: SessionEntry) => sessionDestroyed(stateOf(), session, isGone),
    missed: () => askAboutAll(stateOf()),
    sessionMoved: (session) => askAbout(stateOf(), session),
    held: () => heldBy(stateOf()),
    connections: () => stateOf().registry.size,
    answer: (question) => answerTo(stateOf(), question),
    changed: (lost, cause) => changed(stateOf(), lost, cause),
    forged: atMostEach(SECOND, clock, (where) => emitCluster(stateOf(), 'forged', where, undefined)),
  })
  return {
    engine,
    node,
    places: new Places({ engine, clock, name }),
    loss: createLoss(stateOf),
    policy,
    isBehind: false,
  }
}

async function applyRevocation(state: GateState, entry: WrittenRevokeEntry, late: number): Promise<Applied> {
  const { selector, at, until, spared, except } = entry
  const revocation = { except: except ?? undefined, spared: spared.map(textToHash), at, until, late }
  return await carryOut(state, selector, revocation, true)
}

function hold(state: GateState, { items }: HeldEntry): void {
  const now = state.clock.now()
  for (const { key, forGood, at, until, spared } of items) {
    // Somebody has put it in again: nobody can come with it any more.
    if (until <= now) continue
    const revocation = { key: textToHash(key), forGood, at, until, except: spared.map(textToHash) }
    if (state.revocations.has(revocation)) continue
    state.revocations.add({ ...revocation, order: state.nextOrder() })
    if (state.cluster !== undefined) state.cluster.isBehind = true
  }
}

/** Whoever is open although others have revoked it. */
async function endCovered(state: GateState): Promise<void> {
  const { cluster, registry, revocations } = state
  if (cluster?.isBehind !== true) return
  cluster.isBehind = false
  await inSlices([...registry.values()], (connection) => {
    const { identity, order, id } = connection
    if (revocations.covers(identity, order, id)) connection.endWith(ENDS.revoked)
  })
}

function* heldBy({ revocations }: GateState): Generator<HeldItem> {
  for (const { key, forGood, at, until, except } of revocations.values())
    yield { key: hashToText(key), forGood, at, until, spared: except.map(hashToText) }
}

function changed(state: GateState, lost: Lost | undefined, cause: unknown): void {
  emitCluster(state, lost === undefined ? 'live' : 'lost', lost, cause)
  if (lost === undefined) state.cluster?.loss.over()
  else state.cluster?.loss.begun()
}

/** Once in so many milliseconds for each: whoever can write anything could make as many events as they like. */
function atMostEach<Kind>(ms: number, clock: Clock, call: (kind: Kind) => void): (kind: Kind) => void {
  const calledAt = new Map<Kind, number>()
  return (kind) => {
    const now = clock.now()
    if (Math.abs(now - (calledAt.get(kind) ?? -Infinity)) < ms) return
    calledAt.set(kind, now)
    call(kind)
  }
}
