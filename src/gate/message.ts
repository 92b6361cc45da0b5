import { isAccept, refuse, type HeaderPairs, type Refuse } from '../core/decision.ts'
import type { Handshake } from '../core/handshake.ts'
import { REFUSALS, type RefusalRow } from '../core/refusals.ts'
import { withCredential } from '../credentials/inject.ts'
import { readAuthMessage, readCustomHeaders, type AuthMessage } from '../credentials/message.ts'
import type { Listener } from '../door/run.ts'
import type { SocketFacts } from '../door/sink.ts'
import { pathOf } from '../handshake/target.ts'
import type { FirstMessage } from '../upgrade/waiting.ts'
import { clientKey } from './address.ts'
import { discardAnswer } from './answer.ts'
import { decide, type Decided, type Lost } from './decide.ts'
import { setRequest, toRequest } from './request.ts'
import type { FirstMessagePolicy } from './road-options.ts'
import type { GateState } from './state.ts'
import { retryAfterOf, type Refused, type Verdict } from './verdict.ts'

/** A handshake whose client has sent a credential in a message. */
export interface Asked {
  readonly policy: FirstMessagePolicy
  readonly handshake: Handshake
  readonly facts: SocketFacts
  readonly app: Listener
}

type Credential = Exclude<AuthMessage, Refuse>

/** Turns the message into headers and asks the door about the handshake again, with these alone. Never rejects. */
export async function askWithMessage(
  state: GateState,
  asked: Asked,
  message: FirstMessage,
  lost: Promise<Lost>,
): Promise<Verdict> {
  try {
    const read = await Promise.race([readMessage(asked, message), lost])
    if (isLost(read)) return stopped(read)
    if (read.type === 'refuse') return no(read)
    return await asLimited(state, asked, read, lost)
  } catch (error) {
    return no(refuse('app_error', [], error))
  }
}

async function readMessage({ policy, handshake }: Asked, { data, isBinary }: FirstMessage): Promise<AuthMessage> {
  const custom = policy.toHeaders
  const text = isBinary ? undefined : data.toString()
  try {
    if (custom === undefined)
      return text === undefined ? refuse('bad_auth_message') : readAuthMessage(text, policy.headers)
    const given = await callBack(() => custom(text ?? new Uint8Array(data), { path: pathOf(handshake.target) }))
    return given === null || given === undefined ? refuse('bad_auth_message') : readCustomHeaders(given, policy.headers)
  } finally {
    data.fill(0)
  }
}

async function callBack<Given>(toHeaders: () => Given): Promise<Awaited<Given>> {
  try {
    return await toHeaders()
  } catch (error) {
    throw withoutText(error)
  }
}

/** What is thrown may hold the message, as what JSON.parse() throws does: of it only the kind is told. */
function withoutText(error: unknown): Error {
  return new Error(`firstMessage.toHeaders threw: ${error instanceof Error ? error.name : typeof error}`)
}

/** Rule W2: a password is tried only while its account and address have not failed too often. */
async function asLimited(state: GateState, asked: Asked, read: Credential, lost: Promise<Lost>): Promise<Verdict> {
  const { account } = read
  if (account === undefined) return await ask(state, asked, read, lost)
  const { limiter } = asked.policy
  const address = clientKey(state, asked.handshake)
  const admitted = await Promise.race([limiter.admit(account, address), lost])
  if (isLost(admitted)) return stopped(admitted)
  if (admitted.type === 'refuse') return { ...no(refuse('too_many_attempts')), retryAfter: admitted.retryAfter }
  const { verdict, wasTried } = await asAdmitted(state, asked, read, admitted.delay, lost)
  const outcome = wasTried ? outcomeOf(verdict, asked.policy) : 'dropped'
  const settled = await Promise.race([limiter[outcome](account, address), lost])
  // A limiter that hangs, or what it returns, lets nobody in.
  return isLost(settled) ? stopped(settled) : verdict
}

async function asAdmitted(
  state: GateState,
  asked: Asked,
  read: Credential,
  delay: number,
  lost: Promise<Lost>,
): Promise<{ readonly verdict: Verdict; readonly wasTried: boolean }> {
  try {
    const paused = delay > 0 ? await Promise.race([pause(state, delay), lost]) : undefined
    if (isLost(paused)) return { verdict: stopped(paused), wasTried: false }
    return { verdict: await ask(state, asked, read, lost), wasTried: true }
  } catch (error) {
    return { verdict: no(refuse('app_error', [], error)), wasTried: true }
  }
}

/**
 * A fault of the server is nobody's attempt. Who goes before the verdict has made one: to know that it takes long is to
 * know what it will be.
 */
function outcomeOf(verdict: Verdict, { on }: FirstMessagePolicy): 'passed' | 'failed' | 'dropped' {
  if (verdict.type === 'accept') return 'passed'
  if (verdict.type === 'gone' || verdict.code === 'handshake_timeout') return 'failed'
  if (verdict.code === 'expired_credential') return 'dropped'
  const { status } = verdict
  const isWrong = status === 401 || (status >= 300 && status < 400) || on.includes(status)
  return isWrong ? 'failed' : 'dropped'
}

function pause(state: GateState, ms: number): Promise<void> {
  return new Promise((resolve) => {
    state.clock.after(ms, resolve)
  })
}

async function ask(state: GateState, asked: Asked, read: Credential, lost: Promise<Lost>): Promise<Verdict> {
  const handshake = withCredential(asked.handshake, read.headers, state.credentialHeaders)
  // A cookie that came by message is looked at as one that came by transport.
  const wrong = state.checkOrigin(handshake, true)
  if (wrong !== undefined) return no(wrong)
  const lease = state.caps.enter(() => clientKey(state, asked.handshake))
  if (typeof lease !== 'function') return no(lease)
  const req = toRequest(handshake, asked.facts)
  const order = state.nextOrder()
  // The app hears that nobody waits for it any more, as it would of a request on a socket.
  void lost.then(() => req.destroy())
  try {
    const decided = await decide(state, {
      handshake,
      req,
      facts: asked.facts,
      app: asked.app,
      phase: 'message',
      order,
      framed: false,
      lost,
    })
    // A password is needed for the verdict alone.
    if (read.account !== undefined) setRequest(req, asked.handshake)
    const forgotten = read.account !== undefined
    return toVerdict(
      state,
      decided,
      { req, handshake: forgotten ? asked.handshake : handshake, order, forgotten },
      lost,
    )
  } finally {
    lease()
  }
}

/** What was asked, as whoever goes on with it may know it. */
type AskedAs = Pick<Extract<Verdict, { type: 'accept' }>, 'req' | 'handshake' | 'order' | 'forgotten'>

function toVerdict(state: GateState, decided: Decided, as: AskedAs, lost: Promise<Lost>): Verdict {
  if (decided.type === 'gone') return decided
  if (decided.type === 'refuse') return no(decided)
  if (decided.type === 'answer') {
    void discardAnswer(state, decided, lost)
    const { status, headers } = decided.head
    return { type: 'no', status, code: 'app', retryAfter: retryAfterOf(headers) }
  }
  if (!isAccept(decided.decision)) return no(refuse('app_error'))
  warnOfSession(state, decided.decision.headers)
  return { type: 'accept', decision: decided.decision, mark: decided.mark, ...as }
}

/** The 101 is out: a cookie cannot be set any more, and the login that it stands for is nobody's. */
function warnOfSession(state: GateState, headers: HeaderPairs): void {
  if (!headers.some(([name]) => name.toLowerCase() === 'set-cookie')) return
  state.warn(
    'session_write',
    'The app has set a cookie while it was asked about a first message: it has written a login into a session, or begun one. The client does not get the cookie. Write no session there: passport has the option { session: false }, express-session { saveUninitialized: false }; gate.phase(req) is "message".',
  )
}

function isLost(value: unknown): value is Lost {
  return value === 'gone' || value === 'deadline'
}

function stopped(lost: Lost): Verdict {
  return lost === 'gone' ? { type: 'gone' } : no(refuse('handshake_timeout'))
}

/** A refusal of the gate's own, as the client of a message gets to know it. */
export function no(refusal: Refuse): Refused {
  const { code, status, headers, cause } = refusal
  const row: RefusalRow = REFUSALS[code]
  const retryAfter = retryAfterOf([...headers, ...Object.entries(row.headers ?? {})])
  return { type: 'no', status, code, retryAfter, cause }
}
