import type { IncomingMessage } from 'node:http'
import { refuse, type Refuse } from '../core/decision.ts'
import type { Handshake } from '../core/handshake.ts'
import type { Identity } from '../core/identity.ts'
import { Waiting } from '../core/waiting.ts'
import { runSchemes } from '../schemes/combine.ts'
import { identified, schemeIdentities } from './decide.ts'
import type { GateState } from './state.ts'
import { timer } from './timer.ts'

/**
 * Whom a plain request is from, on a route behind the app's middleware: that has let it in, so `identify` knows; or the
 * schemes do. Whether that was revoked, the caller asks: an open connection may be an exception.
 */
export async function identityOf(
  state: GateState,
  req: IncomingMessage,
  context: unknown,
  handshake: Handshake,
): Promise<Identity | Refuse> {
  const timeout = timer(state, state.limits.deadline)
  const waiting = new Waiting()
  const asked = state.schemes.length === 0 ? identified(state, context) : askSchemes(state, req, handshake, waiting)
  const found = await Promise.race([asked, timeout.passed])
  timeout.cancel()
  if (found !== 'passed') return found
  waiting.abort()
  return refuse('handshake_timeout')
}

async function askSchemes(
  state: GateState,
  req: IncomingMessage,
  handshake: Handshake,
  waiting: Waiting,
): Promise<Identity | Refuse> {
  const known = schemeIdentities.get(req)
  if (known !== undefined) return known
  const outcome = await runSchemes(state.schemes, handshake, waiting, state.clock)
  return outcome.type === 'identity' ? outcome.identity : outcome.refuse
}
