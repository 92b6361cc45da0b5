import type { IncomingMessage, ServerResponse } from 'node:http'
import { Gate101Error } from '../core/errors.ts'
import type { Refuse } from '../core/decision.ts'
import type { Identity } from '../core/identity.ts'
import type { RefusalMessage } from '../core/refusal-message.ts'
import {
  authenticateRequest,
  createAuthenticate,
  type Authenticate,
  type AuthenticateOptions,
} from '../schemes/middleware.ts'
import { schemeIdentities } from './decide.ts'
import { refuseRevoked } from './revoked.ts'
import { stateOf, type GateState } from './state.ts'

function checkSchemes(state: GateState): void {
  if (state.schemes.length > 0) return
  throw new Gate101Error(
    'GATE101_CONFIG',
    'authenticate() needs createGate({ authenticate }); with `identify` your own middleware is the guard.',
  )
}

const known = (req: IncomingMessage): Identity | undefined => schemeIdentities.get(req)

const found = (req: IncomingMessage, identity: Identity): void => {
  schemeIdentities.set(req, identity)
}

/** What was revoked before it came is refused; what is revoked while it is verified, too. */
function optionsOf(state: GateState): AuthenticateOptions {
  const refuses = (identity: Identity): Refuse | undefined => refuseRevoked(state, identity, Infinity)
  return { deadline: state.limits.deadline, clock: state.clock, known, refuses, found }
}

/** The schemes as Connect middleware. A handshake that they have already let in is not asked twice. */
export function authenticateMiddleware(state: GateState): Authenticate {
  checkSchemes(state)
  return createAuthenticate(state.schemes, optionsOf(state))
}

/** The same for frameworks that write their answer themselves: who it is, or the refusal as data. */
export function authenticator(
  gate: object,
): (req: IncomingMessage, res: ServerResponse) => Promise<Identity | RefusalMessage> {
  const state = stateOf(gate)
  checkSchemes(state)
  return (req, res) => authenticateRequest(state.schemes, req, res, optionsOf(state))
}
