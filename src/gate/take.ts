import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { isAccept, refuse } from '../core/decision.ts'
import { readHandshake } from '../handshake/facts.ts'
import type { SocketFacts } from '../door/sink.ts'
import { ownSocket, owesAnswer } from '../upgrade/own.ts'
import { addressOf, clientKey } from './address.ts'
import { aborted, answerTaken, cut, refuseTaken } from './answer.ts'
import { withoutCookies } from './cookies.ts'
import { decide, type Decided, type Lost } from './decide.ts'
import { open } from './open.ts'
import { setRequest } from './request.ts'
import { findRoom } from './room.ts'
import { enterShared, sharesRoom } from './shared-room.ts'
import { examine, toHeaders, type Examined, type Rejected } from './roads.ts'
import type { Attachment, GateState } from './state.ts'
import type { Taken } from './taken.ts'
import { mayWait, waitForMessage } from './wait.ts'

/** Node's `upgrade` event on an attached server. Never throws, never leaves a socket without an owner. */
export function takeUpgrade(
  state: GateState,
  attachment: Attachment,
  req: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): void {
  const owned = ownSocket(socket, state.limits.deadline, state.clock)
  const startedAt = state.clock.now()
  const sent = readHandshake(req, socket)
  const taken: Taken = {
    req,
    head,
    handshake: sent,
    owned,
    attachment,
    startedAt,
    order: state.nextOrder(),
    forgotten: false,
    readable: false,
    opened: undefined,
  }
  // Later the socket may be gone, and its address with it.
  if (state.hears('aborted')) void sent.peer.address
  if (owesAnswer(req)) return cut(state, taken, refuse('pipelined'))
  const examined: Examined | Rejected = state.closing ? refuse('closing') : examine(state, sent)
  if (examined.type === 'refuse') {
    return refuseTaken(state, examined.readable === true ? { ...taken, readable: true } : taken, examined)
  }
  const lease = state.caps.enter(() => clientKey(state, sent))
  if (typeof lease !== 'function') return refuseTaken(state, taken, lease)
  void ask(state, without(taken, examined), examined).finally(lease)
}

/** From here on nobody sees what was taken out of the handshake. */
function without(taken: Taken, { handshake, readable }: Examined): Taken {
  if (handshake === taken.handshake && !readable) return taken
  setRequest(taken.req, handshake)
  return { ...taken, handshake, readable }
}

async function ask(state: GateState, taken: Taken, examined: Examined): Promise<void> {
  const { owned, req } = taken
  const lost = new Promise<Lost>((resolve) => {
    owned.whenLost(resolve)
  })
  void lost.then((why) => {
    if (why === 'gone') req.destroy()
  })
  try {
    const asked = examined.carried === undefined ? taken : await redeemed(state, taken, examined, lost)
    if (asked !== undefined) await decideTaken(state, asked, lost, examined.carried !== undefined)
  } catch (error) {
    refuseTaken(state, taken, refuse('app_error', [], error))
  }
}

/** @returns undefined where the handshake has its answer. */
async function redeemed(
  state: GateState,
  taken: Taken,
  examined: Examined,
  lost: Promise<Lost>,
): Promise<Taken | undefined> {
  const handshake = await Promise.race([toHeaders(state, examined), lost])
  if (handshake === 'gone' || taken.owned.gone) aborted(state, taken)
  else if (handshake === 'deadline') refuseTaken(state, taken, refuse('handshake_timeout'))
  else if ('type' in handshake) refuseTaken(state, taken, handshake)
  else {
    setRequest(taken.req, handshake)
    return { ...taken, handshake }
  }
  return undefined
}

async function decideTaken(state: GateState, taken: Taken, lost: Promise<Lost>, carried: boolean): Promise<void> {
  const { req, owned, attachment, handshake, order } = taken
  const decided = await decide(state, {
    handshake,
    req,
    facts: owned.socket as SocketFacts,
    app: attachment.app,
    phase: 'handshake',
    order,
    framed: true,
    lost,
  })
  await carryOut(state, taken, carried ? withoutCookies(decided) : decided, lost, carried)
}

async function carryOut(
  state: GateState,
  taken: Taken,
  decided: Decided,
  lost: Promise<Lost>,
  carried: boolean,
): Promise<void> {
  if (decided.type === 'gone' || taken.owned.gone) {
    if (decided.type === 'answer') decided.run.close()
    return aborted(state, taken)
  }
  if (!carried && !state.closing && mayWait(state, taken, decided)) return waitForMessage(state, taken, decided, lost)
  if (decided.type === 'refuse') return refuseTaken(state, taken, decided)
  if (decided.type === 'answer') return answerTaken(state, taken, decided, lost)
  if (!isAccept(decided.decision)) return refuseTaken(state, taken, refuse('app_error'))
  const { identity } = decided.decision
  if (sharesRoom(state)) {
    const full = await enterShared(state, identity, taken.owned.socket)
    if (taken.owned.gone) return aborted(state, taken)
    if (full !== undefined) return refuseTaken(state, taken, full)
  }
  // close() may have come while the app was deciding.
  if (state.closing) return refuseTaken(state, taken, refuse('closing'))
  const full = findRoom(state, identity, addressOf(state, taken))
  if (full !== undefined) return refuseTaken(state, taken, full)
  // Middleware that is mounted on a path leaves the shortened URL behind; libraries match the whole one.
  taken.req.url = taken.handshake.target
  open(state, taken, decided.decision, decided.mark, (refusal) => {
    refuseTaken(state, taken, refusal)
  })
}
