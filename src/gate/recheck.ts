import { isDeepStrictEqual } from 'node:util'
import { ENDS, kindOfStatus, type End } from '../core/end.ts'
import { expiresAtOf, issuedAtOf, toIdentity, type Identity } from '../core/identity.ts'
import type { HeaderPairs } from '../core/decision.ts'
import type { LiveConnection } from '../connections/connection.ts'
import type { Recheck, RecheckVerdict } from '../connections/rechecks.ts'
import { inSlices } from '../connections/slices.ts'
import type { SocketFacts } from '../door/sink.ts'
import { snapshotOf } from '../door/snapshot.ts'
import { discardAnswer } from './answer.ts'
import { decide, type Decided, type Lost } from './decide.ts'
import { isBySession, recall, type Retained } from './facts.ts'
import { endOfTime, keepTime } from './life.ts'
import type { RecheckCheck } from './life-options.ts'
import { emitRechecked, emitRenewed } from './report.ts'
import { toRequest } from './request.ts'
import type { GateState } from './state.ts'
import { timer } from './timer.ts'
import { retryAfterOf } from './verdict.ts'

/** Asks the door, or the app's own check, whether a connection would still be let in. No network, nothing real reachable. */
export async function askAgain(state: GateState, recheck: Recheck): Promise<RecheckVerdict> {
  const member = recheck.members.find(({ socket }) => !socket.destroyed) ?? recheck.members[0]
  if (member === undefined) return { type: 'error' }
  const check = state.recheck?.check
  const timeout = timer(state, state.limits.deadline)
  try {
    return check === undefined
      ? await askDoor(state, recheck, member, timeout.passed)
      : await askCheck(check, member, timeout.passed)
  } catch (cause) {
    return { type: 'error', cause }
  } finally {
    timeout.cancel()
  }
}

async function askDoor(
  state: GateState,
  { facts, order, members }: Recheck,
  { socket }: LiveConnection,
  passed: Promise<'passed'>,
): Promise<RecheckVerdict> {
  const retained = facts.asked as Retained
  // It may go while the app looks at it; the answer is for all of its members.
  const seen = snapshotOf(socket as SocketFacts)
  const handshake = recall(retained, seen)
  const req = toRequest(handshake, seen)
  const lost = passed.then((): Lost => 'deadline')
  const asking = {
    handshake,
    req,
    facts: seen,
    app: retained.place.app,
    phase: 'recheck',
    framed: false,
    lost,
    order,
  } as const
  const decided = await decide(state, asking)
  if (decided.type === 'answer') void discardAnswer(state, decided, lost)
  else req.destroy() // as of a client that has gone
  undoSaves(state, members)
  return toVerdict(decided)
}

/** Some middlewares save the session that they have read at the end of any answer: also one that was destroyed meanwhile. */
function undoSaves({ store }: GateState, members: readonly LiveConnection[]): void {
  if (store === undefined) return
  const destroyed = members.flatMap(({ loggedOut }) => loggedOut?.session ?? [])
  for (const session of new Set(destroyed)) store.destroyAgain(session)
}

function toVerdict(decided: Decided): RecheckVerdict {
  if (decided.type === 'accept') return { type: 'accepted', identity: decided.decision.identity }
  if (decided.type === 'gone') return { type: 'error' }
  if (decided.type === 'answer') return ofStatus(decided.head.status, decided.head.headers)
  if (decided.code === 'revoked_credential') return { type: 'refused', end: ENDS.revoked }
  return ofStatus(decided.status, decided.headers, decided.cause)
}

/** Rule R3. */
function ofStatus(status: number, headers: HeaderPairs, cause?: unknown): RecheckVerdict {
  if (status >= 500 || status === 408 || status === 425 || status === 429) {
    const seconds = retryAfterOf(headers)
    return { type: 'error', cause, retryAfter: seconds === undefined ? undefined : seconds * 1000 }
  }
  return { type: 'refused', end: kindOfStatus(status) === 'unauthorized' ? ENDS.unauthorized : ENDS.forbidden }
}

async function askCheck(
  check: RecheckCheck,
  { identity }: LiveConnection,
  passed: Promise<'passed'>,
): Promise<RecheckVerdict> {
  const controller = new AbortController()
  const found = await Promise.race([check(identity, { signal: controller.signal }), passed])
  if (found === 'passed') {
    controller.abort()
    return { type: 'error', cause: new Error('recheck.check() did not answer in time.') }
  }
  if (found === true || found === identity) return { type: 'accepted', identity: undefined }
  if (typeof found !== 'object' || found === null) return { type: 'refused', end: ENDS.forbidden }
  return { type: 'accepted', identity: toIdentity(found, identity.issuer) }
}

/** Carries out what was answered, for those it was asked for. */
export function settleRecheck(state: GateState, recheck: Recheck, verdict: RecheckVerdict, isLast: boolean): void {
  emitRechecked(state, recheck, verdict)
  void inSlices(recheck.members, (member) => {
    // Who has ended, has another credential by now, or has renewed this one since, is none of its business.
    if (member.reason !== undefined || member.facts !== recheck.facts || member.order > recheck.order) return
    // What was asked before its end says nothing about the end, which is asked about on its own.
    if (verdict.type !== 'error' && isDue(state, member) && recheck.askedAt < member.endsAt) return
    try {
      settleOne(state, recheck, verdict, member, isLast)
    } catch (cause) {
      member.endWith(ENDS.recheckFailed, cause)
    }
  })
}

function settleOne(
  state: GateState,
  recheck: Recheck,
  verdict: RecheckVerdict,
  member: LiveConnection,
  isLast: boolean,
): void {
  if (verdict.type === 'accepted') keep(state, recheck, member, verdict.identity ?? member.identity)
  else if (verdict.type === 'refused') member.endWith(endOf(state, recheck, member, verdict.end))
  else unanswered(state, recheck, member, isLast)
}

/** What is asked about because its time is over, or its session was destroyed, ends for that. */
function endOf(state: GateState, { why }: Recheck, member: LiveConnection, told: End): End {
  if (isDue(state, member)) return endOfTime(state, member)
  return why === 'session' && told === ENDS.unauthorized ? ENDS.revoked : told
}

function isDue(state: GateState, { endsAt }: LiveConnection): boolean {
  return endsAt <= state.clock.now()
}

function keep(state: GateState, { order }: Recheck, member: LiveConnection, found: Identity): void {
  const before = member.identity
  if (found.issuer !== before.issuer || found.subject !== before.subject) return member.endWith(ENDS.identityChanged)
  if (state.revocations.covers(found, order, member.id)) return member.endWith(ENDS.revoked)
  const hasMoved = expiresAtOf(found) > expiresAtOf(before)
  if (isDue(state, member) && !hasMoved) return member.endWith(endOfTime(state, member))
  // A question from before the logout has not seen it.
  if (member.loggedOut !== undefined && order > member.loggedOut.order) member.loggedOut = undefined
  if (sameIdentity(before, found)) return
  member.become(found)
  state.registry.moved(member, before)
  if (expiresAtOf(found) !== expiresAtOf(before)) keepTime(state, member)
  emitRenewed(state, member, 'recheck')
  member.tellRenewed()
}

/** What differs is worth telling the app. */
function sameIdentity(one: Identity, other: Identity): boolean {
  const facts = (identity: Identity): unknown[] => {
    const { session, credential, tags, claims } = identity
    return [session, credential, issuedAtOf(identity), expiresAtOf(identity), tags, claims]
  }
  try {
    return one === other || isDeepStrictEqual(facts(one), facts(other))
  } catch {
    return false // claims are the app's own, and may be anything
  }
}

/** A session that is used over HTTP has moved on, which a store that is away cannot say; all else is over when it is over. */
function unanswered(state: GateState, { facts }: Recheck, member: LiveConnection, isLast: boolean): void {
  // Nobody has to be asked: the store itself has said it.
  if (member.loggedOut !== undefined) return member.endWith(ENDS.revoked)
  if (!isDue(state, member)) {
    if (isLast) member.endWith(ENDS.recheckFailed)
    return
  }
  const failingFor = state.clock.now() - (facts.failingSince ?? 0)
  const grace = state.recheck?.grace ?? 0
  if (isLast || !isBySession(state, facts.asked) || failingFor >= grace) member.endWith(endOfTime(state, member))
}
