import { refuse, type HeaderPairs, type Refuse } from '../core/decision.ts'
import { valueOf, type Handshake } from '../core/handshake.ts'
import { offeredSubprotocols, REFUSAL_SUBPROTOCOL } from '../core/subprotocols.ts'
import { withCredential } from '../credentials/inject.ts'
import { findQuery } from '../credentials/query.ts'
import type { RoadResult } from '../credentials/road.ts'
import { findSubprotocolTicket, findSubprotocolToken, hasMalformedToken } from '../credentials/subprotocol.ts'
import { parseOrigin } from '../handshake/origin.ts'
import { presentedCredentials } from '../handshake/presented.ts'
import { pathOf } from '../handshake/target.ts'
import { emitTicket } from './report.ts'
import type { GateState } from './state.ts'

/** A credential that came by another road than a header, already taken out of its handshake. */
export type Carried =
  | { readonly type: 'ticket'; readonly ticket: string }
  | { readonly type: 'token'; readonly token: string }

/** A handshake that has passed the gate's own rules. */
export interface Examined {
  readonly type: 'examined'
  /** Without the credential that was found in it. */
  readonly handshake: Handshake
  readonly carried: Carried | undefined
  /** The client can read a refusal from a Close frame. */
  readonly readable: boolean
}

/** A refusal of the gate's own; `readable` as in {@link Examined}. */
export type Rejected = Refuse & { readonly readable?: boolean }

/** Asks a handshake all the gate's own questions. Consumes nothing. */
export function examine(state: GateState, sent: Handshake): Examined | Rejected {
  const malformed = state.checkForm(sent)
  if (malformed !== undefined) {
    const isToken = malformed.code === 'bad_protocol' && hasMalformedToken(sent, state.subprotocolForms)
    return isToken ? refuse('bad_token') : malformed
  }
  const found = findCarried(state, sent)
  const carried = found.type === 'found' ? found.carried : undefined
  // Before what is wrong with a credential: a page that may not connect learns nothing about credentials.
  const stranger = state.checkOrigin(sent, carried !== undefined)
  if (stranger !== undefined) return stranger
  if (found.type === 'refuse') return { ...found, readable: withoutMarker(state, sent).readable }
  return { type: 'examined', ...withoutMarker(state, found.handshake), carried }
}

type Found = { readonly type: 'found'; readonly carried: Carried | undefined; readonly handshake: Handshake } | Refuse

function findCarried(state: GateState, sent: Handshake): Found {
  let handshake = sent
  let carried: Carried | undefined
  for (const [type, find] of roadsOn(state)) {
    const result = find(handshake)
    if (result.type === 'absent') continue
    if (result.type === 'refuse') return result
    if (carried !== undefined) return refuse('credential_conflict')
    carried = type === 'ticket' ? { type, ticket: result.credential } : { type, token: result.credential }
    handshake = result.handshake
  }
  if (carried === undefined) return { type: 'found', carried, handshake }
  const { explicit } = presentedCredentials(handshake, state.credentialHeaders)
  return explicit.length > 0 ? refuse('credential_conflict') : { type: 'found', carried, handshake }
}

type Road = readonly [type: Carried['type'], find: (at: Handshake) => RoadResult]

const TICKETS: readonly Road[] = [
  ['ticket', (at) => findQuery(at, 'ticket')],
  ['ticket', findSubprotocolTicket],
]

function roadsOn({ ticketsOn, subprotocolForms, queryToken }: GateState): Road[] {
  const on: Road[] = ticketsOn ? [...TICKETS] : []
  if (subprotocolForms.length > 0) on.push(['token', (at) => findSubprotocolToken(at, subprotocolForms)])
  if (queryToken !== undefined) on.push(['token', (at) => findQuery(at, queryToken)])
  return on
}

/** What says how the client wants to hear of a refusal is nothing that a library should select. */
function withoutMarker({ readable }: GateState, handshake: Handshake): { handshake: Handshake; readable: boolean } {
  const offered = offeredSubprotocols(handshake.headers)
  if (!offered.includes(REFUSAL_SUBPROTOCOL)) return { handshake, readable: false }
  const others = offered.filter((item) => item !== REFUSAL_SUBPROTOCOL)
  return { handshake: others.length === 0 ? handshake : withSubprotocols(handshake, others), readable }
}

/** The same handshake, offering these. */
export function withSubprotocols(handshake: Handshake, offered: readonly string[]): Handshake {
  const others = handshake.headers.filter(([name]) => name !== 'sec-websocket-protocol')
  const line: HeaderPairs = offered.length === 0 ? [] : [['sec-websocket-protocol', offered.join(', ')]]
  return { ...handshake, headers: [...others, ...line] }
}

/** Turns what was carried into headers. A ticket is used up by it, whatever comes of it. */
export async function toHeaders(state: GateState, examined: Examined): Promise<Handshake | Refuse> {
  const { carried, handshake } = examined
  if (carried === undefined) return handshake
  const headers = carried.type === 'token' ? bearerOf(carried.token) : await redeem(state, carried.ticket, handshake)
  if ('type' in headers) return headers
  return withCredential(handshake, headers, state.credentialHeaders)
}

function bearerOf(token: string): HeaderPairs {
  return [['authorization', `Bearer ${token}`]]
}

async function redeem(state: GateState, ticket: string, handshake: Handshake): Promise<HeaderPairs | Refuse> {
  const headers = await state.tickets.redeem(ticket, { path: pathOf(handshake.target), origin: originOf(handshake) })
  emitTicket(state, 'type' in headers ? 'refused' : 'redeemed')
  return headers
}

/** An Origin that has been checked, in one spelling. */
export function originOf(handshake: Pick<Handshake, 'headers'>): string | undefined {
  const text = valueOf(handshake, 'origin')
  const origin = text === undefined ? undefined : parseOrigin(text)
  return origin === undefined ? undefined : `${origin.scheme}://${origin.host}:${origin.port}`
}
