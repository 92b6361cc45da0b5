import type { IncomingMessage, ServerResponse } from 'node:http'
import { refuse } from '../core/decision.ts'
import type { Handshake } from '../core/handshake.ts'
import { readHandshake } from '../handshake/facts.ts'
import type { Listener } from '../door/run.ts'
import type { SocketFacts } from '../door/sink.ts'
import { headersFor101, headersForRefusal } from '../upgrade/headers.ts'
import { decide, type Decided, type Lost } from './decide.ts'
import { toRequest } from './inject.ts'
import { refusePlain } from './plain.ts'
import type { GateState } from './state.ts'

export type EngineMiddleware = (req: IncomingMessage, res: ServerResponse, next: (error?: Error) => void) => void

/**
 * A middleware for the plain requests of an engine.io server (Socket.IO's polling). Each is put to the app as the GET
 * that its handshake would be; a handshake that the gate has accepted already passes.
 */
export function engineMiddleware(state: GateState, app: Listener): EngineMiddleware {
  return (req, res, next) => {
    if (state.byRequest.has(req)) return next()
    // A handshake that reaches the engine past the gate is nobody's: the engine's own stub of a response has no head.
    if (req.headers.upgrade !== undefined) return next(new Error('This handshake did not pass the gate.'))
    void askPlain(state, app, req, res).then((accepted) => {
      if (accepted) next()
    })
  }
}

async function askPlain(state: GateState, app: Listener, req: IncomingMessage, res: ServerResponse): Promise<boolean> {
  const sent = readHandshake(req, req.socket)
  const handshake: Handshake = {
    ...sent,
    method: 'GET',
    headers: sent.headers.filter(([name]) => !isContentField(name)),
  }
  const refused = state.checkPlain(handshake)
  if (refused !== undefined) {
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
    framed: false,
    lost,
  })
  settle()
  return carryOut(decided, res, lost)
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

async function carryOut(decided: Decided, res: ServerResponse, lost: Promise<Lost>): Promise<boolean> {
  if (decided.type === 'gone') return false
  if (decided.type === 'accept') {
    for (const [name, value] of headersFor101(decided.decision.headers)) res.appendHeader(name, value)
    return true
  }
  if (decided.type === 'refuse') {
    refusePlain(res, decided.code === 'app_error' ? refuse('app_error') : decided)
    return false
  }
  const { head, body, run } = decided
  res.statusCode = head.status
  for (const [name, value] of headersForRefusal(head.headers, head.status)) {
    if (!isFramingField(name)) res.appendHeader(name, value)
  }
  const done = new Promise<void>((resolve) => {
    body.pipe((chunk, taken) => {
      res.write(chunk, taken)
    }, resolve)
  })
  await Promise.race([done, lost])
  run.close()
  res.end()
  return false
}

function isContentField(name: string): boolean {
  return /^(content-|transfer-encoding$|expect$)/i.test(name)
}

function isFramingField(name: string): boolean {
  return /^(content-length|transfer-encoding|connection|date)$/i.test(name)
}
