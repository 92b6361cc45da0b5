import type { WebSocket } from 'ws'
import { refuse, type Refuse } from '../core/decision.ts'
import { ENDS, kindOfStatus } from '../core/end.ts'
import type { LiveConnection } from '../connections/connection.ts'
import { tapMessages } from '../connections/tap.ts'
import { withCredential } from '../credentials/inject.ts'
import { isAuthMessage } from '../credentials/message.ts'
import type { SocketFacts } from '../door/sink.ts'
import { MAX_FIRST_MESSAGE } from '../upgrade/waiting.ts'
import type { Lost } from './decide.ts'
import { askWithMessage, no, type Asked } from './message.ts'
import { provable, type Place } from './facts.ts'
import { renew } from './renew.ts'
import type { GateState } from './state.ts'
import type { Taken } from './taken.ts'
import { timer } from './timer.ts'
import { authError, authExpiring, authOk, type Refused, type Verdict } from './verdict.ts'

interface Tapped {
  readonly state: GateState
  readonly asked: Asked
  readonly place: Place
  readonly ws: WebSocket
  readonly connection: LiveConnection
}

/** Where a connection is with its auth messages. */
interface Progress {
  /** Nothing has come yet: the client may not know that its cookie was enough. */
  isFirst: boolean
  isAsking: boolean
  /** Gives the question up. Let go of after the verdict: what waits on it would keep the credential for as long as the connection lives. */
  lose: ((why: Lost) => void) | undefined
}

/**
 * On an open connection an auth message renews it, and never reaches the app. The same person stays; a refused renewal
 * leaves the connection as it was. But the very first message stands for a login: refused, it ends what a cookie has opened.
 */
export function answerAuthMessages(state: GateState, taken: Taken, ws: WebSocket, connection: LiveConnection): void {
  const policy = state.firstMessage
  if (policy === undefined || !policy.matches(taken.handshake.target)) return
  if (taken.opened?.speaks === true) tellOfEnd(ws, connection)
  const { owned, attachment } = taken
  // Without its credentials: each message brings one of its own.
  const handshake = withCredential(taken.handshake, [], state.credentialHeaders)
  const asked: Asked = { policy, handshake, facts: owned.socket as SocketFacts, app: attachment.app }
  const progress: Progress = { isFirst: taken.opened === undefined, isAsking: false, lose: undefined }
  connection.on('end', () => progress.lose?.('gone'))
  const tapped: Tapped = { state, asked, place: attachment, ws, connection }
  tapMessages(ws, (data, isBinary) => take(tapped, progress, data, isBinary))
}

/** @returns whether the message is not for the app. */
function take(tapped: Tapped, progress: Progress, data: Buffer, isBinary: boolean): boolean {
  const { connection } = tapped
  if (connection.reason !== undefined) return true
  const { isFirst, isAsking } = progress
  if (isFirst && isAsking) {
    end(tapped, refuse('bad_auth_message'))
    return true
  }
  if (isBinary || !isAuth(data, isFirst)) {
    progress.isFirst = false
    return false
  }
  if (isAsking || (!isFirst && !tapped.state.renewals.enter(connection))) connection.endWith(ENDS.tooManyRenewals)
  else if (data.length > MAX_FIRST_MESSAGE) refuseTooBig(tapped, isFirst)
  else answer(tapped, progress, data)
  return true
}

/** A quick look first: messages of the app come this way, all of them. */
function isAuth(data: Buffer, isFirst: boolean): boolean {
  // One that is too large to be read as a whole must not be shown to the app for that.
  if (data.length > MAX_FIRST_MESSAGE && !isFirst) return BEGINS_AUTH.test(data.toString('latin1', 0, HEAD))
  return (data.includes('"auth"') || data.includes('\\u')) && isAuthMessage(data.toString())
}

const HEAD = 256
const BEGINS_AUTH = /^[\t\n\r ]*\{[\t\n\r ]*"type"[\t\n\r ]*:[\t\n\r ]*"auth"/

function refuseTooBig(tapped: Tapped, isFirst: boolean): void {
  const refusal = refuse('message_too_big')
  if (isFirst) end(tapped, refusal)
  else tapped.ws.send(authError(no(refusal)))
}

function answer(tapped: Tapped, progress: Progress, data: Buffer): void {
  progress.isAsking = true
  judge(tapped, progress, data).then(
    () => {
      progress.isAsking = false
      progress.isFirst = false
    },
    (error: unknown) => end(tapped, refuse('app_error', [], error)),
  )
}

async function judge(tapped: Tapped, progress: Progress, data: Buffer): Promise<void> {
  const { state, asked, ws, connection } = tapped
  const { isFirst } = progress
  const verdict = await ask(state, asked, progress, data)
  if (connection.reason !== undefined || verdict.type === 'gone') return
  const refused = verdict.type === 'no' ? verdict : goOn(tapped, verdict, isFirst)
  if (refused === undefined) {
    if (asked.policy.toHeaders === undefined) tellOfEnd(ws, connection)
    return ws.send(authOk(state, connection, true))
  }
  // As on a socket that waits: what is no auth message gets no answer of one.
  if (refused.code !== 'bad_auth_message' || !isFirst) ws.send(authError(refused))
  if (isFirst || refused.code === 'identity_changed') endAs(connection, refused)
}

async function ask(state: GateState, asked: Asked, progress: Progress, data: Buffer): Promise<Verdict> {
  const timeout = timer(state, state.limits.deadline)
  const lost = new Promise<Lost>((resolve) => {
    progress.lose = resolve
  })
  void timeout.passed.then(() => progress.lose?.('deadline'))
  try {
    return await askWithMessage(state, asked, { data, isBinary: false }, lost)
  } finally {
    timeout.cancel()
    progress.lose = undefined
  }
}

/** @returns undefined where the connection goes on with what the message has brought. */
function goOn(
  { state, place, connection }: Tapped,
  { decision, handshake, order, forgotten }: Extract<Verdict, { type: 'accept' }>,
  isFirst: boolean,
): Refused | undefined {
  const proof = provable(handshake, place, forgotten)
  const refusal = renew(state, connection, { identity: decision.identity, order, by: 'message', proof })
  // What the cookie stands for may last longer than what the message has brought: it is the same person.
  if (refusal === undefined || (isFirst && refusal.code === 'stale_credential')) return undefined
  return no(refusal)
}

function tellOfEnd(ws: WebSocket, connection: LiveConnection): void {
  connection.notice = (ms) => ws.send(authExpiring(ms))
}

function end({ connection }: Tapped, { status, code, cause }: Refuse): void {
  connection.endWith({ kind: kindOfStatus(status), reason: code }, cause)
}

function endAs(connection: LiveConnection, { status, code, cause }: Refused): void {
  connection.endWith({ kind: kindOfStatus(status), reason: code }, cause)
}
