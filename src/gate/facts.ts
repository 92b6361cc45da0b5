import { hash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import type { HeaderPairs } from '../core/decision.ts'
import { expiresAtOf, issuedAtOf } from '../core/identity.ts'
import { ENDS } from '../core/end.ts'
import { peerOf, type Handshake } from '../core/handshake.ts'
import { FOR_EVER, type LiveConnection, type Trust } from '../connections/connection.ts'
import { MAX_AGE_UNASKED } from '../connections/life.ts'
import { readReplay, type Replay } from '../credentials/replay.ts'
import type { SocketFacts } from '../door/sink.ts'
import { carriesCredential } from './decide.ts'
import type { Attachment, GateState } from './state.ts'

/** What a handshake is kept as, where it may be asked about again: one string, because objects take several times as much. */
export class Retained {
  readonly place: Place
  readonly #text: string

  constructor(place: Place, text: string) {
    this.place = place
    this.#text = text
  }

  get text(): string {
    return this.#text
  }
}

/** Whether it came with a cookie and nothing else: a session that is used over HTTP moves on. */
export function isBySession({ credentialHeaders }: GateState, asked: unknown): boolean {
  const lines = asked instanceof Retained ? asked.text.split('\n').slice(1) : []
  const names = lines.map((line) => line.slice(0, line.indexOf(':')))
  return names.includes('cookie') && !names.some((name) => name !== 'cookie' && credentialHeaders.includes(name))
}

/** Where a handshake came in: one object for each server that the gate is attached to. */
export type Place = Pick<Attachment, 'app'>

/** A handshake whose credential may be shown to the door again. */
export interface Provable {
  readonly handshake: Handshake
  /** Undefined where it cannot be asked about. */
  readonly place: Place | undefined
  readonly replay: Replay
}

/** @param forgotten - the credential was a password that is not in the handshake any more. */
export function provable(handshake: Handshake, place: Place | undefined, forgotten: boolean): Provable {
  const replay = readReplay(handshake.headers)
  return { handshake, place, replay: forgotten ? { ...replay, canReplay: false } : replay }
}

/** How long a connection lasts that came with these. */
export function trustIn(state: GateState, { replay }: Provable): Trust {
  const { canReplay, expiresAt = Infinity } = replay
  const isAsked = canReplay || state.recheck?.check !== undefined
  const unasked = isAsked ? Infinity : state.clock.now() + MAX_AGE_UNASKED
  if (expiresAt <= unasked) return expiresAt === Infinity ? FOR_EVER : { until: expiresAt, end: ENDS.expired }
  return { until: unasked, end: ENDS.maxAge }
}

/** Remembers what the door is asked with again, in the place of what it was before; nothing where that may not be (rule R5). */
export function retain(state: GateState, connection: LiveConnection, { handshake, place, replay }: Provable): void {
  if (state.recheck === undefined) return
  const { facts: before } = connection
  if (state.recheck.check !== undefined) {
    return state.rechecks.join(connection, digest(whoIs(connection, true)), undefined, before)
  }
  // Who carries nothing has nothing that could be withdrawn, and may be another guest each time they are asked about.
  if (place === undefined || !replay.canReplay || !carriesCredential(state, handshake))
    return state.rechecks.leave(connection)
  const retained = new Retained(place, textOf(handshake))
  state.rechecks.join(connection, keyOf(connection, handshake, place), retained, before)
}

/** @param whole - not only who, but all that is known of them. */
function whoIs({ identity }: LiveConnection, whole: boolean): string {
  const { issuer, subject, session = null, credential = null, tags, claims } = identity
  const who = [issuer, subject, session, credential]
  return JSON.stringify(whole ? [...who, issuedAtOf(identity), expiresAtOf(identity), tags, claimsText(claims)] : who)
}

/** Claims are the app's own, and may be anything: what its text does not say in full is a thing of its own. */
function claimsText(claims: unknown): string {
  if (typeof claims === 'function' || (typeof claims === 'object' && claims !== null))
    return jsonOf(claims) ?? `#${numberOf(claims)}`
  return `${typeof claims} ${String(claims)}`
}

function jsonOf(claims: object): string | undefined {
  try {
    const text = JSON.stringify(claims)
    return isDeepStrictEqual(JSON.parse(text), claims) ? text : undefined
  } catch {
    return undefined
  }
}

/**
 * Whoever is asked about together must be let in together: the same person with the same credential, from the same client,
 * for the same place, with the same headers. Only what every request has a new one of is left out.
 */
function keyOf(connection: LiveConnection, { target, headers, peer }: Handshake, place: Place): string {
  const came = whereTo(connection.socket)
  let text = `${numberOf(place)}\n${target}\n${peer.address}\n${came}\n${whoIs(connection, false)}`
  for (const [name, value] of headers) if (!OF_ONE_REQUEST.test(name)) text += `\n${name}:${value}`
  return digest(text)
}

const OF_ONE_REQUEST =
  /^(?:sec-websocket-(?:key|extensions)|(?:x-)?(?:request|correlation|trace)-id|trace(?:parent|state)|b3|x-b3-.*|x-amzn-trace-id|x-cloud-trace-context|cf-ray|x-request-start|date)$/

const numbers = new WeakMap<object, number>()
let lastNumber = 0

function numberOf(place: object): number {
  const known = numbers.get(place)
  if (known !== undefined) return known
  numbers.set(place, ++lastNumber)
  return lastNumber
}

/** By which address and name it came, and with which certificate: also one that no authority has signed, for the app may look. */
function whereTo(socket: object): string {
  const facts: SocketFacts = socket
  const place = `${facts.localAddress} ${facts.localPort}`
  if (facts.encrypted !== true) return place
  const { fingerprint256 = '' } = (facts.getPeerCertificate?.() ?? {}) as { fingerprint256?: string }
  return `${place} ${String(facts.servername)} ${fingerprint256}`
}

function digest(text: string): string {
  return hash('sha256', text, 'base64')
}

/** Made for one handshake each: they say nothing about who asks. */
const OF_THE_HANDSHAKE = new Set(['sec-websocket-key', 'sec-websocket-extensions'])
const KEY = 'Z2F0ZTEwMS1yZWNoZWNrIQ=='

function textOf({ target, headers }: Handshake): string {
  let text = target
  for (const [name, value] of headers) if (!OF_THE_HANDSHAKE.has(name)) text += `\n${name}:${value}`
  // A text that was put together holds on to all its parts; a copy does not.
  return Buffer.from(text, 'latin1').toString('latin1')
}

/** The handshake again, with the facts of a connection that is open now. */
export function recall({ text }: Retained, socket: object): Handshake {
  const [target = '', ...lines] = text.split('\n')
  const headers: HeaderPairs = lines.map((line) => {
    const colon = line.indexOf(':')
    return [line.slice(0, colon), line.slice(colon + 1)] as const
  })
  return {
    method: 'GET',
    httpVersion: '1.1',
    target,
    headers: [...headers, ['sec-websocket-key', KEY]],
    peer: peerOf(socket),
  }
}
