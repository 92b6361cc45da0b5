import type { IncomingMessage } from 'node:http'
import { accept, refuse, type Accept, type HeaderPairs, type Refuse } from '../core/decision.ts'
import type { Phase } from '../core/phase.ts'
import type { Handshake } from '../core/handshake.ts'
import { expiresAtOf, toIdentity, type Identity } from '../core/identity.ts'
import type { Head } from '../door/head.ts'
import type { Mark } from '../door/marks.ts'
import { runApp, type AnswerBody, type DoorRun, type Listener } from '../door/run.ts'
import type { SocketFacts } from '../door/sink.ts'
import { presentedCredentials } from '../handshake/presented.ts'
import { runSchemes } from '../schemes/combine.ts'
import { Waiting } from '../core/waiting.ts'
import { APP_CHALLENGE, refuseIdentity } from './revoked.ts'
import type { GateState } from './state.ts'

/** Why a decision is not awaited any longer. */
export type Lost = 'gone' | 'deadline'

/** One handshake on its way through the door. */
export interface Asking {
  readonly handshake: Handshake
  readonly req: IncomingMessage
  readonly facts: SocketFacts
  readonly app: Listener
  readonly phase: Phase
  /** When it is asked, in the order of all that happens at this gate. */
  readonly order: number
  /** Whether the app's own refusal keeps its chunked framing: on the wire, yes; as data, no. */
  readonly framed: boolean
  /** Settles when the peer has gone or the deadline has passed. */
  readonly lost: Promise<Lost>
  /** Called with each step, for `gate.inject()`. */
  readonly trace?: ((step: 'schemes' | 'app' | 'identify' | 'credentials', outcome: string) => void) | undefined
}

/** The decision, with what is needed to carry it out. */
export type Decided =
  | { readonly type: 'accept'; readonly decision: Accept; readonly mark: Mark | undefined }
  | { readonly type: 'answer'; readonly head: Head; readonly body: AnswerBody; readonly run: DoorRun }
  | { readonly type: 'gone' }
  | Refuse

/** Asks the door about a handshake that has passed the gate's own rules. Never rejects. */
export async function decide(state: GateState, asking: Asking): Promise<Decided> {
  if (state.schemes.length === 0) return askApp(state, asking, undefined)
  const identity = await askSchemes(state, asking)
  if ('type' in identity) return identity
  if (state.routes === 0) return { type: 'accept', decision: accept(identity), mark: undefined }
  return askApp(state, asking, identity)
}

type Stopped = { readonly type: 'gone' } | Refuse

function stopped(lost: Lost): Stopped {
  return lost === 'gone' ? { type: 'gone' } : refuse('handshake_timeout')
}

async function askSchemes(state: GateState, asking: Asking): Promise<Identity | Stopped> {
  const waiting = new Waiting()
  let why: Lost | undefined
  void asking.lost.then((lost) => {
    why = lost
    waiting.abort()
  })
  const outcome = await runSchemes(state.schemes, asking.handshake, waiting, state.clock)
  if (why !== undefined) return stopped(why)
  if (outcome.type === 'refuse') {
    asking.trace?.('schemes', outcome.refuse.code)
    return outcome.refuse
  }
  const revoked = whetherRevoked(state, asking, outcome.identity)
  if (revoked !== undefined) return revoked
  asking.trace?.('schemes', outcome.scheme)
  return outcome.identity
}

async function askApp(state: GateState, asking: Asking, known: Identity | undefined): Promise<Decided> {
  if (known !== undefined) schemeIdentities.set(asking.req, known)
  const run = runApp({ ...asking, gate: state.gate })
  const outcome = await Promise.race([run.outcome, asking.lost])
  if (typeof outcome === 'string') {
    run.close()
    return stopped(outcome)
  }
  if (outcome.type === 'answer') {
    asking.trace?.('app', `answered ${outcome.head.status}`)
    return { ...outcome, run }
  }
  const decided =
    outcome.type === 'refuse' ? outcome : await judgeMarked(state, asking, outcome.mark, outcome.head.headers, known)
  run.close()
  if (outcome.type === 'refuse') asking.trace?.('app', outcome.code)
  return decided
}

async function judgeMarked(
  state: GateState,
  asking: Asking,
  mark: Mark,
  headers: HeaderPairs,
  known: Identity | undefined,
): Promise<Decided> {
  asking.trace?.('app', 'let in')
  if (!mark.anonymous && !carriesCredential(state, asking.handshake)) {
    asking.trace?.('credentials', 'none')
    return refuse('unguarded_route')
  }
  const identity = known ?? (await Promise.race([identified(state, mark.context), asking.lost]))
  if (typeof identity === 'string') return stopped(identity)
  if ('type' in identity) {
    asking.trace?.('identify', identity.code)
    return identity
  }
  const revoked = whetherRevoked(state, asking, identity)
  if (revoked !== undefined) return revoked
  asking.trace?.('identify', 'subject')
  return { type: 'accept', decision: accept(identity, headers), mark }
}

/** A re-check knows the connection, and so what is excepted: it looks itself. */
function whetherRevoked(state: GateState, { phase, order, trace }: Asking, identity: Identity): Refuse | undefined {
  const revoked = phase === 'recheck' ? undefined : refuseIdentity(state, identity, order)
  if (revoked !== undefined) trace?.('identify', revoked.code)
  return revoked
}

/** Rule D3: an app that lets in what carries nothing at all has no guard on this route. */
export function carriesCredential(state: GateState, handshake: Handshake): boolean {
  const presented = presentedCredentials(handshake, state.credentialHeaders)
  return presented.cookie || presented.certificate || presented.explicit.length > 0
}

export async function identified(state: GateState, context: unknown): Promise<Identity | Refuse> {
  try {
    const input = await state.identify?.(context)
    if (input === null || input === undefined) return refuse('no_identity')
    const identity = toIdentity(input, 'app')
    if (expiresAtOf(identity) <= state.clock.now()) return refuse('expired_credential', APP_CHALLENGE)
    return identity
  } catch (error) {
    return refuse('app_error', [], error)
  }
}

/** Identities that the schemes have already found for a request: `gate.authenticate()` does not ask twice. */
export const schemeIdentities = new WeakMap<IncomingMessage, Identity>()
