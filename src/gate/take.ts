import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { isAccept, refuse, type Accept, type Refuse } from '../core/decision.ts'
import type { Handshake } from '../core/handshake.ts'
import { readHandshake } from '../handshake/facts.ts'
import { addressKey, clientAddress } from '../handshake/trust.ts'
import type { SocketFacts } from '../door/sink.ts'
import { ownSocket, owesAnswer } from '../upgrade/own.ts'
import { writeAnswer, writeRefusal } from '../upgrade/refuse.ts'
import { decide, type Decided, type Lost } from './decide.ts'
import { open } from './open.ts'
import { emitAborted, emitRefused } from './report.ts'
import type { Attachment, GateState } from './state.ts'
import type { Taken } from './taken.ts'

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
  const taken: Taken = { req, head, handshake: readHandshake(req, socket), owned, attachment, startedAt }
  // Later the socket may be gone, and its address with it.
  if (state.hears('aborted')) void taken.handshake.peer.address
  if (owesAnswer(req)) return cut(state, taken, refuse('pipelined'))
  const refusal = state.closing ? refuse('closing') : state.check(taken.handshake)
  if (refusal !== undefined) return refuseTaken(state, taken, refusal)
  const lease = state.caps.enter(() => clientKey(state, taken.handshake))
  if (typeof lease !== 'function') return refuseTaken(state, taken, lease)
  void ask(state, taken).finally(lease)
}

/** The address that a client counts under; undefined where none can be believed (rule W1). */
function clientKey(state: GateState, handshake: Handshake): string | undefined {
  const client = clientAddress(handshake, state.trust)
  if (client.believable) return addressKey(client.address)
  state.warn(
    'unlisted_proxy',
    'A loopback or private peer sends forwarding headers but is not listed in trustedProxies; limits per address do not apply to it.',
  )
  return undefined
}

async function ask(state: GateState, taken: Taken): Promise<void> {
  const { req, owned, attachment, handshake } = taken
  const lost = new Promise<Lost>((resolve) => {
    owned.whenLost(resolve)
  })
  try {
    const facts = owned.socket as SocketFacts
    void lost.then((why) => {
      if (why === 'gone') req.destroy()
    })
    const decided = await decide(state, {
      handshake,
      req,
      facts,
      app: attachment.app,
      phase: 'handshake',
      framed: true,
      lost,
    })
    await carryOut(state, taken, decided, lost)
  } catch (error) {
    refuseTaken(state, taken, refuse('app_error', [], error))
  }
}

async function carryOut(state: GateState, taken: Taken, decided: Decided, lost: Promise<Lost>): Promise<void> {
  if (decided.type === 'gone' || taken.owned.gone) {
    if (decided.type === 'answer') decided.run.close()
    return aborted(state, taken)
  }
  if (decided.type === 'refuse') return refuseTaken(state, taken, decided)
  if (decided.type === 'answer') return answerTaken(state, taken, decided, lost)
  if (!isAccept(decided.decision)) return refuseTaken(state, taken, refuse('app_error'))
  // close() may have come while the app was deciding.
  if (state.closing) return refuseTaken(state, taken, refuse('closing'))
  const decision: Accept = decided.decision
  // Middleware that is mounted on a path leaves the shortened URL behind; libraries match the whole one.
  taken.req.url = taken.handshake.target
  open(state, taken, decision, decided.mark, (refusal) => {
    refuseTaken(state, taken, refusal)
  })
}

function refuseTaken(state: GateState, taken: Taken, refusal: Refuse): void {
  const { owned, req } = taken
  owned.release()
  owned.socket.once('close', () => req.destroy())
  emitRefused(state, taken, refusal.code, refusal.status, refusal.cause)
  writeRefusal(owned.socket, refusal, state.clock, req.method)
}

/** The app's own refusal goes out as the app wrote it; it ends with the answer, the deadline or the peer. */
async function answerTaken(
  state: GateState,
  taken: Taken,
  answer: Extract<Decided, { type: 'answer' }>,
  lost: Promise<Lost>,
): Promise<void> {
  const { socket } = taken.owned
  socket.once('close', () => taken.req.destroy())
  emitRefused(state, taken, 'app', answer.head.status, undefined)
  const writer = writeAnswer(socket, answer.head, state.limits.answer, state.clock)
  const done = new Promise<'done' | 'cut'>((resolve) => {
    answer.body.pipe(writer.write, (whole) => {
      resolve(whole ? 'done' : 'cut')
    })
  })
  const how = await Promise.race([done, lost])
  answer.run.close()
  taken.owned.release()
  if (how === 'done') writer.end()
  else socket.destroy()
}

function cut(state: GateState, taken: Taken, refusal: Refuse): void {
  taken.owned.release()
  taken.owned.socket.destroy()
  emitRefused(state, taken, refusal.code, refusal.status, undefined)
}

function aborted(state: GateState, taken: Taken): void {
  taken.owned.release()
  taken.owned.socket.destroy()
  emitAborted(state, taken)
}
