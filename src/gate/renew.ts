import { timingSafeEqual } from 'node:crypto'
import { refuse, type Refuse } from '../core/decision.ts'
import { valuesOf, type Handshake } from '../core/handshake.ts'
import { expiresAtOf, issuedAtOf, type Identity } from '../core/identity.ts'
import type { LiveConnection } from '../connections/connection.ts'
import { numberOf } from '../connections/select.ts'
import { inSlices } from '../connections/slices.ts'
import { provable, recall, retain, Retained, trustIn, type Provable } from './facts.ts'
import { heedLogout, keepTime } from './life.ts'
import { postRoute, type Posted, type PostRoute } from './post-route.ts'
import { emitRenewed } from './report.ts'
import { APP_CHALLENGE, refuseIdentity, refuseStale } from './revoked.ts'
import { stateOf, type GateState } from './state.ts'

/** Names connections by their secret tokens; without it all of the session are meant. */
const CONNECTION_FIELD = 'gate101-connection'
const MAX_TOKENS = 32
/** Sessions and credentials that one connection has lived by. */
const MAX_FORMER = 100

/** New identity and expiry for open connections of whoever asks. */
export function renewRoute(gate: object): PostRoute {
  const state = stateOf(gate)
  state.renewOn = true
  const act = (posted: Posted): Promise<object> => renewMeant(state, posted)
  return postRoute(state, { request: 'renewal', needsPost: 'renew_needs_post', needsJson: 'renew_needs_json', act })
}

async function renewMeant(state: GateState, posted: Posted): Promise<object> {
  const { handshake, identity, order } = posted
  const meant = meantBy(state, posted)
  // A connection that a revocation has spared is renewed, by its token, by what is out for everybody else.
  const isForSome = !('type' in meant) && valuesOf(handshake, CONNECTION_FIELD).length > 0
  const out = isForSome ? refuseStale(state) : refuseIdentity(state, identity, order)
  if (out !== undefined) return out
  if ('type' in meant) return meant
  let refused: Refuse | undefined
  let endsAt = expiresAtOf(identity)
  let renewed = 0
  await inSlices(meant, (connection) => {
    const proof = proofOf(state, connection, handshake)
    const refusal = state.renewals.enter(connection)
      ? renew(state, connection, { identity, order, by: 'http', proof })
      : refuse('too_many_renewals')
    refused ??= refusal
    if (refusal !== undefined) return
    renewed += 1
    endsAt = Math.min(endsAt, connection.expiresAt?.getTime() ?? Infinity)
  })
  if (renewed === 0 && refused !== undefined) return refused
  if (identity.session !== undefined) state.cluster?.node.tellMoved(identity.session)
  return lifetime(state, renewed, endsAt)
}

function lifetime({ clock }: GateState, renewed: number, endsAt: number): object {
  if (endsAt === Infinity) return { renewed, expiresAt: null, expiresIn: null }
  const expiresIn = Math.max(0, Math.floor((endsAt - clock.now()) / 1000))
  return { renewed, expiresAt: new Date(endsAt), expiresIn }
}

function meantBy(state: GateState, { handshake, identity }: Posted): readonly LiveConnection[] | Refuse {
  const listed = valuesOf(handshake, CONNECTION_FIELD).flatMap((value) => value.split(','))
  const tokens = [...new Set(listed.map((token) => token.trim()))]
  if (tokens.length > MAX_TOKENS) return refuse('unknown_connection')
  if (tokens.length === 0) return ofSession(state, identity)
  const meant = tokens.map((token) => byToken(state, token))
  const known = meant.filter((connection) => connection !== undefined)
  return known.length === meant.length ? known : refuse('unknown_connection')
}

function ofSession({ registry }: GateState, { session, issuer, subject }: Identity): LiveConnection[] | Refuse {
  if (session === undefined) return refuse('renew_needs_connection')
  const all = [...registry.find('session', session)]
  const own = all.filter(({ identity }) => identity.issuer === issuer && identity.subject === subject)
  return all.length > 0 && own.length === 0 ? refuse('identity_changed') : own
}

function byToken({ registry }: GateState, token: string): LiveConnection | undefined {
  const connection = registry.byNumber(numberOf(token.split('.', 1)[0] ?? ''))
  if (connection === undefined) return undefined
  const [given, known] = [Buffer.from(token), Buffer.from(connection.token)]
  return given.length === known.length && timingSafeEqual(given, known) ? connection : undefined
}

/** What the door can be asked with from now on: the handshake as it was, with the credential of this request. */
function proofOf(state: GateState, { facts, socket }: LiveConnection, posted: Handshake): Provable {
  const names = new Set(['cookie', ...state.credentialHeaders])
  const credentials = posted.headers.filter(([name]) => names.has(name))
  const retained = facts?.asked
  if (!(retained instanceof Retained)) {
    // What it came with was not kept: where that is asked about, this is not either.
    return provable({ ...posted, headers: credentials }, undefined, state.recheck !== undefined)
  }
  const before = recall(retained, socket)
  const headers = [...before.headers.filter(([name]) => !names.has(name)), ...credentials]
  return provable({ ...before, headers }, retained.place, false)
}

/** What a connection is to go on with. */
export interface Renewal {
  readonly identity: Identity
  /** When it was asked, in the order of all that happens at this gate. */
  readonly order: number
  readonly by: 'http' | 'message'
  readonly proof: Provable
}

/** Gives a connection another identity of the same person; refused, it stays as it was. */
export function renew(state: GateState, connection: LiveConnection, renewal: Renewal): Refuse | undefined {
  const { identity, order, by, proof } = renewal
  const before = connection.identity
  if (connection.reason !== undefined) return refuse('unknown_connection')
  if (identity.issuer !== before.issuer || identity.subject !== before.subject) return refuse('identity_changed')
  if (state.revocations.covers(identity, order, connection.id)) return refuse('revoked_credential', APP_CHALLENGE)
  // A later one has overtaken it.
  if (order < connection.order) return undefined
  if (isOlder(identity, before)) return refuse('stale_credential')
  // It is found by each of them for as long as it is open.
  const isNew = identity.session !== before.session || identity.credential !== before.credential
  if (isNew && connection.former.length >= MAX_FORMER) return refuse('too_many_renewals')
  connection.renew(identity, order, trustIn(state, proof))
  state.registry.moved(connection, before)
  retain(state, connection, proof)
  keepTime(state, connection)
  emitRenewed(state, connection, by)
  connection.tellRenewed()
  // The app may have read the session just before it was destroyed.
  const { session } = identity
  if (session !== undefined) heedLogout(state, connection, session, 0)
  return undefined
}

/** A renewal never takes time away by an older credential. */
function isOlder(identity: Identity, before: Identity): boolean {
  const [issued, issuedBefore] = [issuedAtOf(identity), issuedAtOf(before)]
  if (issued !== undefined && issuedBefore !== undefined) return issued < issuedBefore
  return expiresAtOf(identity) < expiresAtOf(before)
}
