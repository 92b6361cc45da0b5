import type { IncomingMessage } from 'node:http'
import { refuse, type HeaderPairs, type Refuse } from '../core/decision.ts'
import { valueOf, type Handshake } from '../core/handshake.ts'
import type { Identity } from '../core/identity.ts'
import { refusalMessage, type RefusalMessage } from '../core/refusal-message.ts'
import type { RefusalCode } from '../core/refusals.ts'
import { readHandshake } from '../handshake/facts.ts'
import { presentedCredentials } from '../handshake/presented.ts'
import { identityOf } from './identity.ts'
import { emitRefused } from './report.ts'
import type { GateState } from './state.ts'

/** Answers a request, as data for the framework to write. Never rejects. */
export type PostRoute = (req: IncomingMessage, context: unknown) => Promise<RefusalMessage>

/** A request that the app's middleware has let through, and whom it is from. */
export interface Posted {
  readonly context: unknown
  readonly handshake: Handshake
  readonly identity: Identity
  /** When it was asked, in the order of all that happens at this gate. */
  readonly order: number
}

/** What differs between the routes. */
export interface PostRouteParts {
  /** As events call it. */
  readonly request: 'ticket' | 'renewal'
  readonly needsPost: RefusalCode
  readonly needsJson: RefusalCode
  /** @returns what is sent as JSON. */
  readonly act: (posted: Posted) => object | Promise<object>
}

/** A POST route behind the app's own login: only a page that may connect, and who is logged in, gets an answer. */
export function postRoute(state: GateState, parts: PostRouteParts): PostRoute {
  return async (req, context) => {
    const startedAt = state.clock.now()
    const handshake = readHandshake(req, req.socket)
    const no = (refusal: Refuse): RefusalMessage => {
      emitRefused(state, { handshake, startedAt, request: parts.request }, refusal.code, refusal.status, refusal.cause)
      return refusalMessage(refusal)
    }
    try {
      const order = state.nextOrder()
      const refused = checkPost(state, handshake, parts)
      if (refused !== undefined) return no(refused)
      const identity = await identityOf(state, req, context, handshake)
      if ('type' in identity) return no(identity)
      const made = await parts.act({ context, handshake, identity, order })
      return isRefuse(made) ? no(made) : answer(made)
    } catch (error) {
      return no(refuse('app_error', [], error))
    }
  }
}

function isRefuse(made: object): made is Refuse {
  return 'type' in made && made.type === 'refuse'
}

function checkPost(
  state: GateState,
  handshake: Handshake,
  { needsPost, needsJson }: PostRouteParts,
): Refuse | undefined {
  if (state.closing) return refuse('closing')
  if (handshake.method !== 'POST') return refuse(needsPost)
  // What a form of another site can send needs no permission of this one (Fetch, CORS-safelisted request-header).
  if (!/^application\/json[\t ]*(?:;|$)/i.test(valueOf(handshake, 'content-type') ?? '')) return refuse(needsJson)
  const presented = presentedCredentials(handshake, state.credentialHeaders)
  if (valueOf(handshake, 'origin') === undefined && presented.explicit.length === 0 && presented.cookie) {
    return refuse('missing_origin')
  }
  const stranger = state.checkEndpoint(handshake) ?? state.checkOrigin(handshake, false)
  if (stranger !== undefined) return stranger
  return presented.cookie || presented.explicit.length > 0 ? undefined : refuse('missing_credential')
}

function answer(made: object): RefusalMessage {
  const body = `${JSON.stringify(made)}\n`
  const headers: HeaderPairs = [
    ['Content-Type', 'application/json; charset=utf-8'],
    ['Content-Length', String(Buffer.byteLength(body))],
    ['X-Content-Type-Options', 'nosniff'],
    ['Cache-Control', 'no-store'],
    ['Referrer-Policy', 'no-referrer'],
  ]
  return { status: 200, headers, body }
}
