import type { Refuse } from '../core/decision.ts'
import { Gate101Error } from '../core/errors.ts'
import { checkTarget } from '../handshake/target.ts'
import { postRoute, type Posted, type PostRoute } from './post-route.ts'
import { emitTicket } from './report.ts'
import { refuseIdentity } from './revoked.ts'
import { originOf } from './roads.ts'
import { stateOf, type GateState } from './state.ts'

/** Where the ticket will be good: a path such as `/live`, or a function of the request where the path has parameters. */
export type TicketPath<Context> = string | ((context: Context) => string)

/** @throws Gate101Error `GATE101_CONFIG` where the path is none. */
export function ticketRoute(gate: object, path: TicketPath<never>): PostRoute {
  const state = stateOf(gate)
  if (typeof path === 'string') checkPath(path)
  else if (typeof path !== 'function') throw wrongPath(path)
  state.ticketsOn = true
  const act = (posted: Posted): Promise<object> => mint(state, posted, path as TicketPath<unknown>)
  return postRoute(state, { request: 'ticket', needsPost: 'ticket_needs_post', needsJson: 'ticket_needs_json', act })
}

async function mint(
  state: GateState,
  { context, handshake, identity, order }: Posted,
  pathFor: TicketPath<unknown>,
): Promise<object | Refuse> {
  const out = refuseIdentity(state, identity, order)
  if (out !== undefined) return out
  const path = typeof pathFor === 'string' ? pathFor : pathFor(context)
  checkPath(path)
  const ticket = await state.tickets.mint({
    path,
    origin: originOf(handshake),
    owner: JSON.stringify([identity.issuer, identity.subject, identity.session ?? null]),
    headers: handshake.headers.filter(([name]) => state.credentialHeaders.includes(name)),
  })
  emitTicket(state, 'type' in ticket ? 'refused' : 'minted')
  return 'type' in ticket ? ticket : { ...ticket, url: `${path}?ticket=${ticket.ticket}` }
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
