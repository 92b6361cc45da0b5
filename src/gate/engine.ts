import type { IncomingMessage, ServerResponse } from 'node:http'
import { refuse } from '../core/decision.ts'
import type { Handshake } from '../core/handshake.ts'
import { readHandshake } from '../handshake/facts.ts'
import type { Listener } from '../door/run.ts'
import type { SocketFacts } from '../door/sink.ts'
import { headersFor101, headersForRefusal } from '../upgrade/headers.ts'
import { decide, type Decided, type Lost } from './decide.ts'
import { refusePlain } from './plain.ts'
import { emitRefused } from './report.ts'
import { toRequest } from './request.ts'
import type { GateState } from './state.ts'

export type EngineMiddleware = (req: IncomingMessage, res: ServerResponse, next: (error?: Error) => void) => void

/**
 * A middleware for the plain requests of an engine.io server (Socket.IO's polling). Each is put to the app as the GET
 * that its handshake would be; a handshake that the gate has accepted already passes.
 */
export function engineMiddleware(state: GateState, app: Listener): EngineMiddleware {
  state.engines += 1
  return (req, res, next) => {
    if (state.byRequest.has(req)) return next()
    // A handshake that reaches the engine past the gate is nobody's: the engine's own stub of a response has no head.
    if (req.headers.upgrade !== undefined) return next(new Error('This handshake did not pass the gate.'))
    askPlain(state, app, req, res).then(
      (accepted) => {
        if (accepted) next()
      },
      // A fault of ours: the client is let go without an answer, and without the engine.
      () => res.destroy(),
    )
  }
}

async function askPlain(state: GateState, app: Listener, req: IncomingMessage, res: ServerResponse): Promise<boolean> {
  const sent = readHandshake(req, req.socket)
  const handshake: Handshake = {
    ...sent,
    method: 'GET',
    headers: sent.headers.filter(([name]) => !isContentField(name)),
  }
  const startedAt = state.clock.now()
  const say = (code: string, status: number, cause?: unknown): void => {
    emitRefused(state, { handshake, startedAt, request: 'polling' }, code, status, cause)
  }
  const refused = state.closing ? refuse('closing') : state.checkPlain(handshake)
  if (refused !== undefined) {
    say(refused.code, refused.status)
    refusePlain(res, refused)
    return false
  }
  const { lost, settle } = lostWith(state, res)
  const facts = req.socket as SocketFacts
  const asked = toRequest(handshake, facts)
  const decided = await decide(state, {
    handshake,
    req: asked,
    facts,
    app,
    phase: 'handshake',
    order: state.nextOrder(),
    framed: false,
    lost,
  })
  try {
    return await carryOut(state, decided, res, lost, say)
  } finally {
    settle()
  }
}

function lostWith(state: GateState, res: ServerResponse): { lost: Promise<Lost>; settle: () => void } {
  let settle: () => void = () => undefined
  const lost = new Promise<Lost>((resolve) => {
    const gone = (): void => {
      resolve('gone')
    }
    res.once('close', gone)
    const cancel = state.clock.after(state.limits.deadline, () => {
      resolve('deadline')
    })
    settle = () => {
      res.off('close', gone)
      cancel()
    }
  })
  return { lost, settle }
}

type Say = (code: string, status: number, cause?: unknown) => void

async function carryOut(
  state: GateState,
  decided: Decided,
  res: ServerResponse,
  lost: Promise<Lost>,
  say: Say,
): Promise<boolean> {
  if (decided.type === 'gone') return false
  if (decided.type === 'accept') {
    for (const [name, value] of headersFor101(decided.decision.headers)) res.appendHeader(name, value)
    return true
  }
  if (decided.type === 'refuse') {
    say(decided.code, decided.status, decided.cause)
    refusePlain(res, decided)
    return false
  }
  const { head, body, run } = decided
  res.statusCode = head.status
  for (const [name, value] of headersForRefusal(head.headers, head.status)) {
    if (!isFramingField(name)) res.appendHeader(name, value)
  }
  say('app', head.status)
  let left = state.limits.answer
  const done = new Promise<boolean>((resolve) => {
    body.pipe((chunk, taken) => {
      left -= chunk.length
      if (left < 0) resolve(false)
      else res.write(chunk, taken)
    }, resolve)
  })
  const whole = await Promise.race([done, lost])
  run.close()
  if (whole === true) res.end()
  else res.destroy() // a cut answer must not look like a whole one
  return false
}

function isContentField(name: string): boolean {
  return /^(content-|transfer-encoding$|expect$)/i.test(name)
}

function isFramingField(name: string): boolean {
  return /^(content-length|transfer-encoding|connection|date)$/i.test(name)
}
