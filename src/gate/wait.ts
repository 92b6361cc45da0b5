import { kindOfStatus } from '../core/end.ts'
import { refuse, type Refuse } from '../core/decision.ts'
import { offeredSubprotocols, PLAIN_SUBPROTOCOL, REFUSAL_SUBPROTOCOL } from '../core/subprotocols.ts'
import type { SocketFacts } from '../door/sink.ts'
import { presentedCredentials } from '../handshake/presented.ts'
import type { Fault, FirstMessage, WaitingSocket } from '../upgrade/waiting.ts'
import { addressOf, clientKey } from './address.ts'
import { aborted, discardAnswer, refuseTaken } from './answer.ts'
import type { Decided, Lost } from './decide.ts'
import { askWithMessage, no } from './message.ts'
import { open } from './open.ts'
import { emitRefused } from './report.ts'
import { findRoom } from './room.ts'
import { enterShared, sharesRoom } from './shared-room.ts'
import { withSubprotocols } from './roads.ts'
import type { FirstMessagePolicy } from './road-options.ts'
import type { GateState } from './state.ts'
import type { Taken } from './taken.ts'
import { timer } from './timer.ts'
import { authError, type Refused, type Verdict } from './verdict.ts'

const WAITABLE: readonly string[] = ['missing_credential', 'expired_credential']

/** Whether this refusal opens a socket that waits: a wrong explicit credential is refused at once. */
export function mayWait(state: GateState, taken: Taken, decided: Decided): boolean {
  const policy = state.firstMessage
  if (policy === undefined || !policy.matches(taken.handshake.target)) return false
  if (presentedCredentials(taken.handshake, state.credentialHeaders).explicit.length > 0) return false
  if (decided.type === 'answer') return policy.on.includes(decided.head.status)
  return decided.type === 'refuse' && WAITABLE.includes(decided.code)
}

/** Opens the socket for its client alone. What the app answered is dropped, headers and all. */
export function waitForMessage(state: GateState, taken: Taken, decided: Decided, lost: Promise<Lost>): void {
  if (decided.type === 'answer') void discardAnswer(state, decided, lost)
  const policy = state.firstMessage
  const lease = state.waitingCaps.enter(() => clientKey(state, taken.handshake))
  if (policy === undefined || typeof lease !== 'function') {
    return refuseTaken(state, taken, typeof lease === 'function' ? refuse('app_error') : lease)
  }
  const { owned, req, head, handshake } = taken
  owned.release()
  owned.socket.once('close', lease)
  const protocol = selectFor(state, offeredSubprotocols(handshake.headers))
  const waiting = state.waiter.open(req, owned.socket, head, protocol)
  if (waiting === undefined) return aborted(state, taken)
  // ws selects among what is offered; the extensions of the handshake were not taken up.
  const selected = withSubprotocols(withoutExtensions(taken), protocol === undefined ? [] : [protocol])
  const one: Waited = { state, policy, taken: { ...taken, handshake: selected }, waiting, lease }
  void converse(one).catch((error: unknown) => {
    endWaiting(one, refuse('app_error', [], error))
  })
}

interface Waited {
  readonly state: GateState
  readonly policy: FirstMessagePolicy
  readonly taken: Taken
  readonly waiting: WaitingSocket
  readonly lease: () => void
}

function withoutExtensions({ handshake }: Taken): Taken['handshake'] {
  return { ...handshake, headers: handshake.headers.filter(([name]) => name !== 'sec-websocket-extensions') }
}

/** What carries a credential where that road is on; where it is off it is sent all the same, and must not come back. */
const CREDENTIAL = /^(?:base64url\.bearer\.|ticket\.gate101\.|openai-insecure-api-key\.|bearer\.)/i

/** What the route will select is not known yet; a browser that offered something gives up where nothing is selected. */
function selectFor(state: GateState, offered: readonly string[]): string | undefined {
  const marker = offered.find((item) => item === REFUSAL_SUBPROTOCOL)
  const real = offered.filter((item) => item !== REFUSAL_SUBPROTOCOL && !CREDENTIAL.test(item))
  const spoken = real.find((item) => state.protocols.has(item))
  if (spoken !== undefined) return spoken
  if (real.includes(PLAIN_SUBPROTOCOL)) return PLAIN_SUBPROTOCOL
  return state.libraries > 0 || state.routes === 0 ? (real[0] ?? marker) : marker
}

async function converse(one: Waited): Promise<void> {
  const { state, waiting } = one
  const timeout = timer(state, state.limits.firstMessage)
  const { closed, forget } = whenClosed(state)
  const first = await Promise.race([waiting.first, timeout.passed, closed])
  timeout.cancel()
  forget()
  if (state.closing || first === 'closing') return endWaiting(one, refuse('closing'))
  if (first === 'passed') return endWaiting(one, refuse('auth_timeout'))
  if (typeof first === 'string') return endFault(one, first)
  await judge(one, first)
}

function whenClosed({ waiting }: GateState): { closed: Promise<'closing'>; forget: () => void } {
  let close: () => void = () => undefined
  const closed = new Promise<'closing'>((resolve) => {
    close = () => resolve('closing')
  })
  waiting.add(close)
  return { closed, forget: () => void waiting.delete(close) }
}

async function judge(one: Waited, message: FirstMessage): Promise<void> {
  const { state, policy, taken, waiting } = one
  const timeout = timer(state, state.limits.deadline)
  let fault: Fault | undefined
  const lost = Promise.race([
    waiting.fault.then((what): Lost => {
      fault = what
      return 'gone'
    }),
    timeout.passed.then((): Lost => 'deadline'),
  ])
  const { handshake, owned, attachment } = taken
  const facts = owned.socket as SocketFacts
  const verdict = await askWithMessage(state, { policy, handshake, facts, app: attachment.app }, message, lost)
  timeout.cancel()
  if (fault !== undefined) return endFault(one, fault)
  if (verdict.type === 'gone') return endFault(one, 'gone')
  if (verdict.type === 'no') return tell(one, verdict)
  if (state.closing) return endWaiting(one, refuse('closing'))
  const { identity } = verdict.decision
  const shared = sharesRoom(state) ? await enterShared(state, identity, owned.socket) : undefined
  if (fault !== undefined) return endFault(one, fault)
  const full = shared ?? findRoom(state, identity, addressOf(state, taken))
  if (full !== undefined) return tell(one, no(full))
  await openWaited(one, verdict)
}

async function openWaited(one: Waited, verdict: Extract<Verdict, { type: 'accept' }>): Promise<void> {
  const { state, taken, waiting, lease } = one
  const head = waiting.detach()
  if (head === undefined) return endFault(one, await waiting.fault)
  const { socket } = taken.owned
  // In the next tick the stream forgets its reader; it would wake a socket that its next owner has paused by then.
  await new Promise<void>((resolve) => process.nextTick(resolve))
  if (socket.destroyed) return aborted(state, taken)
  socket.off('close', lease)
  const { decision, mark, ...as } = verdict
  as.req.url = as.handshake.target
  lease()
  const opened = { waiting, speaks: one.policy.toHeaders === undefined }
  open(state, { ...taken, ...as, head, opened }, decision, mark, (refusal) => {
    endWaiting(one, refusal)
  })
}

/** The verdict was no. */
function tell({ state, taken, waiting }: Waited, verdict: Refused): void {
  emitRefused(state, taken, verdict.code, verdict.status, verdict.cause)
  if (verdict.code !== 'bad_auth_message') waiting.send(authError(verdict))
  waiting.close(state.closeCodes[kindOfStatus(verdict.status)], verdict.code)
}

/** There was no verdict. */
function endWaiting({ state, taken, waiting }: Waited, refusal: Refuse): void {
  emitRefused(state, taken, refusal.code, refusal.status, refusal.cause)
  waiting.close(state.closeCodes[kindOfStatus(refusal.status)], refusal.code)
}

const FAULTS = {
  second_message: 'bad_auth_message',
  too_many_frames: 'too_many_frames',
  too_big: 'message_too_big',
  bad_frame: 'bad_frame',
} as const

function endFault(one: Waited, fault: Fault): void {
  if (fault !== 'gone') return endWaiting(one, refuse(FAULTS[fault]))
  aborted(one.state, one.taken)
}
