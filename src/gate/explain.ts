import type { IncomingMessage, ServerResponse } from 'node:http'
import { refuse, type Refuse } from '../core/decision.ts'
import { refusalMessage, type RefusalMessage } from '../core/refusal-message.ts'
import { readHandshake } from '../handshake/facts.ts'
import { addressOf } from './address.ts'
import { carriesCredential } from './decide.ts'
import { identityOf } from './identity.ts'
import { refuseIdentity } from './revoked.ts'
import { lacksRoom } from './room.ts'
import type { GateState } from './state.ts'

/** A plain request for a WebSocket endpoint, as the app's middleware has let it through. */
export interface Plain {
  readonly req: IncomingMessage
  /** Says whether the connection stays: Node leaves a Connection field of ours as it is. */
  readonly res: ServerResponse
  readonly context: unknown
  readonly anonymous: boolean
}

/**
 * What a WebSocket endpoint answers to a plain request: 426 (RFC 9110 section 15.5.22) where a handshake like it would
 * open, else why it would not. A page whose handshake was refused can ask here for the reason. Never reads a ticket.
 */
export async function explain(state: GateState, plain: Plain): Promise<RefusalMessage> {
  const refusal = (await whyNot(state, plain)) ?? refuse('websocket_only')
  const message = refusalMessage(refusal)
  const headers = [...message.headers, ['Vary', 'Cookie, Authorization, Origin'] as const]
  // HTTP/2 has no such fields, and Node throws where one is written (RFC 9113 section 8.2.2).
  if (plain.req.httpVersionMajor >= 2) return { ...message, headers: headers.filter(([name]) => name !== 'Upgrade') }
  if (message.status === 426) headers.push(['Connection', plain.res.shouldKeepAlive ? 'Upgrade' : 'close, Upgrade'])
  return { ...message, headers }
}

async function whyNot(state: GateState, { req, context, anonymous }: Plain): Promise<Refuse | undefined> {
  if (state.closing) return refuse('closing')
  const handshake = readHandshake(req, req.socket)
  const refused = state.checkEndpoint(handshake)
  if (refused !== undefined) return refused
  const order = state.nextOrder()
  const identity = await identityOf(state, req, context, handshake)
  if ('type' in identity) return identity
  const out = refuseIdentity(state, identity, order)
  if (out !== undefined) return out
  if (!anonymous && !carriesCredential(state, handshake)) return refuse('unguarded_route')
  return lacksRoom(state, identity, addressOf(state, { handshake }))
}
