import { kindOfStatus } from '../core/end.ts'
import type { Refuse } from '../core/decision.ts'
import { REFUSAL_SUBPROTOCOL } from '../core/subprotocols.ts'
import { writeAnswer, writeRefusal } from '../upgrade/refuse.ts'
import { clientKey } from './address.ts'
import type { Decided, Lost } from './decide.ts'
import { emitAborted, emitRefused } from './report.ts'
import type { GateState } from './state.ts'
import type { Taken } from './taken.ts'
import { timer } from './timer.ts'

export type Answer = Extract<Decided, { type: 'answer' }>

/** Answers with a refusal of the gate's own. */
export function refuseTaken(state: GateState, taken: Taken, refusal: Refuse): void {
  const { owned, req } = taken
  owned.release()
  emitRefused(state, taken, refusal.code, refusal.status, refusal.cause)
  if (closeReadably(state, taken, refusal.status, refusal.code)) return
  owned.socket.once('close', () => req.destroy())
  writeRefusal(owned.socket, refusal, state.clock, req.method)
}

/** The app's own refusal goes out as the app wrote it; it ends with the answer, the deadline or the peer. */
export async function answerTaken(state: GateState, taken: Taken, answer: Answer, lost: Promise<Lost>): Promise<void> {
  const { socket } = taken.owned
  emitRefused(state, taken, 'app', answer.head.status, undefined)
  if (closeReadably(state, taken, answer.head.status, 'app')) {
    taken.owned.release()
    return discardAnswer(state, answer, lost)
  }
  socket.once('close', () => taken.req.destroy())
  const writer = writeAnswer(socket, answer.head, state.limits.answer, state.clock)
  const how = await Promise.race([piped(answer, writer.write), lost])
  answer.run.close()
  taken.owned.release()
  if (how === 'done') writer.end()
  else socket.destroy()
}

/** Lets the app end an answer that nobody will see, so that its own log has it whole: within the bounds of any answer. */
export async function discardAnswer(state: GateState, answer: Answer, lost: Promise<Lost>): Promise<void> {
  const timeout = timer(state, state.limits.deadline)
  let left = state.limits.answer
  const drop: Write = (chunk, taken) => {
    left -= chunk.length
    if (left >= 0) taken()
  }
  await Promise.race([piped(answer, drop), lost, timeout.passed])
  timeout.cancel()
  answer.run.close()
}

type Write = (chunk: Buffer, taken: (error?: Error | null) => void) => void

function piped({ body }: Answer, write: Write): Promise<'done' | 'cut'> {
  return new Promise((resolve) => {
    body.pipe(write, (whole) => {
      resolve(whole ? 'done' : 'cut')
    })
  })
}

/**
 * Opens the WebSocket and closes it at once: the only way in which a page can learn why. For clients that ask for it,
 * under the caps of waiting sockets; nobody else ever hears of such a socket.
 *
 * @returns false where the answer must be HTTP.
 */
function closeReadably(state: GateState, taken: Taken, status: number, reason: string): boolean {
  if (!taken.readable || taken.owned.socket.destroyed) return false
  const lease = state.waitingCaps.enter(() => clientKey(state, taken.handshake))
  if (typeof lease !== 'function') return false
  const { socket } = taken.owned
  socket.once('close', lease)
  const waiting = state.waiter.open(taken.req, socket, taken.head, REFUSAL_SUBPROTOCOL)
  if (waiting === undefined) socket.destroy()
  else waiting.close(state.closeCodes[kindOfStatus(status)], reason)
  return true
}

export function cut(state: GateState, taken: Taken, refusal: Refuse): void {
  taken.owned.release()
  taken.owned.socket.destroy()
  emitRefused(state, taken, refusal.code, refusal.status, undefined)
}

export function aborted(state: GateState, taken: Taken): void {
  taken.owned.release()
  taken.owned.socket.destroy()
  emitAborted(state, taken)
}
