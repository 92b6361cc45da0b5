import { toBase64 } from './base64.ts'
import type { Credential } from './credential.ts'
import type { DialRequest, DialRoad } from './request.ts'
import type { Runtime } from './runtime.ts'

/** Offered where a refusal cannot be read otherwise: asks the server for one that can. */
export const READABLE_REFUSAL = 'refusal.gate101'
const LOOKS_SECRET = /bearer\.|api-key\.|^ticket\./

/** One handshake, and what is said after it. */
export interface Plan {
  readonly url: URL
  /** The real ones: what the server may select. */
  readonly protocols: readonly string[]
  /** All that are offered. */
  readonly offered: readonly string[]
  readonly road: DialRoad
  /** The first message. */
  readonly message: string | undefined
}

/** The first road of the list that can carry the credential. */
export function chooseRoad(
  request: DialRequest,
  credential: Credential | undefined,
  { canSendHeaders, roads }: Runtime,
): DialRoad {
  const can: Readonly<Record<DialRoad, boolean>> = {
    headers: canSendHeaders,
    cookie: credential === undefined,
    ticket: request.ticket !== undefined,
    subprotocol: credential?.token !== undefined,
    message: credential !== undefined,
  }
  const road = (request.roads ?? roads).find((one) => can[one])
  if (road === undefined) throw request.fail('bad_request', { what: 'roads' })
  return road
}

export function planFor(
  request: DialRequest,
  road: DialRoad,
  credential: Credential | undefined,
  canSendHeaders: boolean,
): Plan {
  const token = road === 'subprotocol' ? credential?.token : undefined
  const needsOurs = request.protocols.length === 0 && (token !== undefined || !canSendHeaders)
  // Every gate speaks this one where the app has none of its own.
  const protocols = needsOurs ? ['gate101'] : request.protocols
  const offered = [...protocols]
  if (token !== undefined) offered.push(`base64url.bearer.authorization.gate101.${base64url(token)}`)
  if (!canSendHeaders) offered.push(READABLE_REFUSAL)
  return {
    url: request.url,
    protocols,
    offered,
    road,
    message: road === 'message' && credential ? firstMessage(credential) : undefined,
  }
}

export function firstMessage({ headers, token, login }: Credential): string {
  return JSON.stringify({ type: 'auth', ...(login ?? (token === undefined ? { headers } : { token })) })
}

function base64url(text: string): string {
  return toBase64(text).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}

/** Whether the server may select this: never what carries a credential, whoever offered it. */
export function maySelect(plan: Plan, protocol: string): boolean {
  return protocol === '' || (plan.protocols.includes(protocol) && !LOOKS_SECRET.test(protocol))
}

/** Whether what is sent there is encrypted, or stays on this machine. */
export function isPrivate({ protocol, hostname }: URL): boolean {
  return /^(wss|https):$/.test(protocol) || /^(.+\.)?localhost$|^127(\.\d+){3}$|^\[::1\]$/.test(hostname)
}
