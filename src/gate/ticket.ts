import type { IncomingMessage } from 'node:http'
import { refuse, type HeaderPairs, type Refuse } from '../core/decision.ts'
import { Gate101Error } from '../core/errors.ts'
import { valueOf, type Handshake } from '../core/handshake.ts'
import { refusalMessage, type RefusalMessage } from '../core/refusal-message.ts'
import { readHandshake } from '../handshake/facts.ts'
import { presentedCredentials } from '../handshake/presented.ts'
import { checkTarget } from '../handshake/target.ts'
import { identityOf } from './identity.ts'
import { emitRefused } from './report.ts'
import { originOf } from './roads.ts'
import { stateOf, type GateState } from './state.ts'

/** Where the ticket will be good: a path such as `/live`, or a function of the request where the path has parameters. */
export type TicketPath<Context> = string | ((context: Context) => string)

/** Makes a ticket for the request, or says why not, as data for the framework to write. Never rejects. */
export type Mint = (req: IncomingMessage, context: unknown) => Promise<RefusalMessage>

/** @throws Gate101Error `GATE101_CONFIG` where the path is none. */
export function ticketRoute(gate: object, path: TicketPath<never>): Mint {
  const state = stateOf(gate)
  if (typeof path === 'string') checkPath(path)
  else if (typeof path !== 'function') throw wrongPath(path)
  state.ticketsOn = true
  const pathFor = path as TicketPath<unknown>
  return async (req, context) => {
    const startedAt = state.clock.now()
    const handshake = readHandshake(req, req.socket)
    try {
      const made = await mint(state, { req, context, handshake, pathFor })
      if (made.type === 'made') return made.message
      emitRefused(state, { handshake, startedAt }, made.code, made.status, made.cause)
      return refusalMessage(made)
    } catch (error) {
      emitRefused(state, { handshake, startedAt }, 'app_error', 500, error)
      return refusalMessage(refuse('app_error', [], error))
    }
  }
}

interface MintRequest {
  readonly req: IncomingMessage
  readonly context: unknown
  readonly handshake: Handshake
  readonly pathFor: TicketPath<unknown>
}

type Made = { readonly type: 'made'; readonly message: RefusalMessage }

async function mint(state: GateState, { req, context, handshake, pathFor }: MintRequest): Promise<Made | Refuse> {
  const refused = checkMint(state, handshake)
  if (refused !== undefined) return refused
  const identity = await identityOf(state, req, context, handshake)
  if ('type' in identity) return identity
  const path = typeof pathFor === 'string' ? pathFor : pathFor(context)
  checkPath(path)
  const ticket = await state.tickets.mint({
    path,
    origin: originOf(handshake),
    owner: JSON.stringify([identity.issuer, identity.subject, identity.session ?? null]),
    headers: handshake.headers.filter(([name]) => state.credentialHeaders.includes(name)),
  })
  if ('type' in ticket) return ticket
  return { type: 'made', message: answer({ ...ticket, url: `${path}?ticket=${ticket.ticket}` }) }
}

function checkMint(state: GateState, handshake: Handshake): Refuse | undefined {
  if (state.closing) return refuse('closing')
  if (handshake.method !== 'POST') return refuse('ticket_needs_post')
  // What a form of another site can send needs no permission of this one (Fetch, CORS-safelisted request-header).
  if (!/^application\/json[\t ]*(?:;|$)/i.test(valueOf(handshake, 'content-type') ?? ''))
    return refuse('ticket_needs_json')
  const presented = presentedCredentials(handshake, state.credentialHeaders)
  if (valueOf(handshake, 'origin') === undefined && presented.explicit.length === 0 && presented.cookie) {
    return refuse('missing_origin')
  }
  const stranger = state.checkEndpoint(handshake) ?? state.checkOrigin(handshake, false)
  if (stranger !== undefined) return stranger
  return presented.cookie || presented.explicit.length > 0 ? undefined : refuse('missing_credential')
}

function answer(made: { readonly ticket: string; readonly expiresIn: number; readonly url: string }): RefusalMessage {
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

function checkPath(path: unknown): void {
  if (typeof path !== 'string' || path.includes('?') || path.includes('*') || checkTarget(path) !== undefined)
    throw wrongPath(path)
}

function wrongPath(path: unknown): Gate101Error {
  return new Gate101Error(
    'GATE101_CONFIG',
    `ticket(path): "${String(path)}" is no path. Write the path of the WebSocket endpoint, such as "/live", or a function (context) => path.`,
  )
}
