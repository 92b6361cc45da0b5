import type { WebSocket } from 'ws'
import { closeCodeOf } from '../core/close-codes.ts'
import { refuse, type Refuse } from '../core/decision.ts'
import type { LiveConnection } from '../connections/connection.ts'
import { takeFirstMessages } from '../connections/first-message.ts'
import { isAuthMessage } from '../credentials/message.ts'
import type { SocketFacts } from '../door/sink.ts'
import { MAX_FIRST_MESSAGE } from '../upgrade/waiting.ts'
import type { Lost } from './decide.ts'
import { askWithMessage } from './message.ts'
import type { FirstMessagePolicy } from './road-options.ts'
import type { GateState } from './state.ts'
import type { Taken } from './taken.ts'
import { timer } from './timer.ts'
import { authError, authOk, type Refused, type Verdict } from './verdict.ts'

interface Late {
  readonly state: GateState
  readonly policy: FirstMessagePolicy
  readonly taken: Pick<Taken, 'handshake' | 'owned' | 'attachment'>
  readonly ws: WebSocket
  readonly connection: LiveConnection
}

/**
 * A client that sends its credential in the first message cannot know that its cookie was enough. Its message is answered
 * all the same, and never reaches the app: the same person stays, anybody else is refused.
 */
export function answerAuthMessage(state: GateState, taken: Taken, ws: WebSocket, connection: LiveConnection): void {
  const policy = state.firstMessage
  if (policy === undefined || !policy.matches(taken.handshake.target)) return
  const { handshake, owned, attachment } = taken
  const late: Late = { state, policy, taken: { handshake, owned, attachment }, ws, connection }
  let asking = false
  const release = takeFirstMessages(ws, (data, isBinary) => {
    if (asking) {
      if (connection.reason === undefined) end(late, refuse('bad_auth_message'))
      return true
    }
    if (isBinary || !isAuthMessage(data.toString())) return false
    asking = true
    if (data.length > MAX_FIRST_MESSAGE) {
      end(late, refuse('message_too_big'))
      return true
    }
    judge(late, data).then(
      (goesOn) => {
        if (goesOn) release()
      },
      (error: unknown) => end(late, refuse('app_error', [], error)),
    )
    return true
  })
}

/** @returns whether the connection goes on. */
async function judge({ state, policy, taken, ws, connection }: Late, data: Buffer): Promise<boolean> {
  const timeout = timer(state, state.limits.deadline)
  // Let go of after the verdict: what waits on it would keep the credential for as long as the connection lives.
  let lose: ((why: Lost) => void) | undefined
  const lost = new Promise<Lost>((resolve) => {
    lose = resolve
  })
  connection.on('end', () => lose?.('gone'))
  void timeout.passed.then(() => lose?.('deadline'))
  const { handshake, owned, attachment } = taken
  const asked = { policy, handshake, facts: owned.socket as SocketFacts, app: attachment.app }
  const verdict = await askWithMessage(state, asked, { data, isBinary: false }, lost)
  timeout.cancel()
  lose = undefined
  if (connection.reason !== undefined || verdict.type === 'gone') return false
  const refused = verdict.type === 'no' ? verdict : sameAs(connection, verdict)
  if (refused === undefined) {
    ws.send(authOk(connection.identity, state.clock.now()))
    return true
  }
  // As on a socket that waits: what is no auth message gets no answer of one.
  if (refused.code !== 'bad_auth_message') ws.send(authError(refused))
  connection.endWith(closeCodeOf(refused.status), refused.code, refused.cause)
  return false
}

/** @returns undefined where it is the same person. */
function sameAs({ identity }: LiveConnection, verdict: Extract<Verdict, { type: 'accept' }>): Refused | undefined {
  const { issuer, subject } = verdict.decision.identity
  if (issuer === identity.issuer && subject === identity.subject) return undefined
  return { type: 'no', status: 403, code: 'identity_changed', retryAfter: undefined }
}

function end({ connection }: Late, { status, code, cause }: Refuse): void {
  connection.endWith(closeCodeOf(status), code, cause)
}
