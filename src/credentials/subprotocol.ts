import { refuse } from '../core/decision.ts'
import { Gate101Error } from '../core/errors.ts'
import type { Handshake } from '../core/handshake.ts'
import { offeredSubprotocols, REFUSAL_SUBPROTOCOL } from '../core/subprotocols.ts'
import type { RoadResult } from './road.ts'
import { isB64token } from './values.ts'

/** How a subprotocol item spells a token; see `subprotocolTokens`. */
export type SubprotocolForm = 'gate101' | 'kubernetes' | 'phoenix' | 'openai' | 'bearer'

interface Form {
  readonly prefix: string
  readonly read: (text: string) => string | undefined
}

const FORMS: Readonly<Record<SubprotocolForm, Form>> = {
  gate101: { prefix: 'base64url.bearer.authorization.gate101.', read: readBase64url },
  kubernetes: { prefix: 'base64url.bearer.authorization.k8s.io.', read: readBase64url },
  phoenix: { prefix: 'base64url.bearer.phx.', read: readBase64url },
  openai: { prefix: 'openai-insecure-api-key.', read: readPlain },
  bearer: { prefix: 'bearer.', read: readPlain },
}
const TICKET = 'ticket.gate101.'
const HEADER = 'sec-websocket-protocol'
const MAX_ITEM = 8192
// RFC 9110 section 5.6.2
const ITEM = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

/** @throws Gate101Error `GATE101_CONFIG` for anything but a boolean or a list of the forms. */
export function readSubprotocolForms(option: unknown): readonly SubprotocolForm[] {
  if (option === undefined || option === false) return []
  if (option === true) return ['gate101']
  if (Array.isArray(option) && option.every(isForm)) return [...new Set(option)]
  throw new Gate101Error(
    'GATE101_CONFIG',
    `createGate: subprotocolTokens must be true, false, or a list of ${Object.keys(FORMS).join(', ')}.`,
  )
}

function isForm(value: unknown): value is SubprotocolForm {
  return typeof value === 'string' && Object.hasOwn(FORMS, value)
}

/** Looks for a bearer token among the subprotocol items. Forms that are not listed are left alone. */
export function findSubprotocolToken(handshake: Handshake, forms: readonly SubprotocolForm[]): RoadResult {
  const taken = takeItem(handshake, (item) => forms.some((form) => item.startsWith(FORMS[form].prefix)))
  if (taken.type !== 'found') return taken
  const form = forms.find((one) => taken.credential.startsWith(FORMS[one].prefix))
  if (form === undefined) return refuse('bad_token')
  const { prefix, read } = FORMS[form]
  const text = taken.credential.slice(prefix.length)
  const token = text.length > MAX_ITEM ? undefined : read(text)
  return token === undefined ? refuse('bad_token') : { ...taken, credential: token }
}

/** Looks for a ticket among the subprotocol items. */
export function findSubprotocolTicket(handshake: Handshake): RoadResult {
  const taken = takeItem(handshake, (item) => item.startsWith(TICKET))
  if (taken.type !== 'found') return taken
  const ticket = taken.credential.slice(TICKET.length)
  const valid = ticket.length <= MAX_ITEM && /^[A-Za-z0-9_-]+$/.test(ticket)
  return valid ? { ...taken, credential: ticket } : refuse('invalid_ticket')
}

/** Whether what no subprotocol may look like was meant as a token: padding above all, in which the encoders differ. */
export function hasMalformedToken(handshake: Handshake, forms: readonly SubprotocolForm[]): boolean {
  const malformed = offeredSubprotocols(handshake.headers).filter((item) => !ITEM.test(item))
  return malformed.some((item) => forms.some((form) => item.startsWith(FORMS[form].prefix)))
}

function takeItem(handshake: Handshake, isMine: (item: string) => boolean): RoadResult {
  const offered = offeredSubprotocols(handshake.headers)
  const [credential, ...more] = offered.filter(isMine)
  if (credential === undefined) return { type: 'absent' }
  if (more.length > 0) return refuse('credential_conflict')
  const rest = offered.filter((item) => !isMine(item))
  if (rest.every((item) => item === REFUSAL_SUBPROTOCOL)) return refuse('subprotocol_required')
  return { type: 'found', credential, handshake: withItems(handshake, rest) }
}

function withItems(handshake: Handshake, items: readonly string[]): Handshake {
  const at = handshake.headers.findIndex(([name]) => name === HEADER)
  const line = [HEADER, items.join(', ')] as const
  const headers = handshake.headers.flatMap((pair, n) => {
    if (pair[0] !== HEADER) return [pair]
    return n === at ? [line] : []
  })
  return { ...handshake, headers }
}

/** Without padding, in the one spelling that its bytes have (RFC 4648 section 3.5). */
function readBase64url(text: string): string | undefined {
  const bytes = Buffer.from(text, 'base64url')
  if (bytes.toString('base64url') !== text) return undefined
  return readPlain(bytes.toString('latin1'))
}

function readPlain(text: string): string | undefined {
  return isB64token(text) ? text : undefined
}
