import { CLOSE_CODES } from './close-codes.ts'

/** Why a connection ends, as a kind: which code it gets is a matter of the profile. */
export type EndKind =
  | 'badMessage'
  | 'tooBig'
  | 'expired'
  | 'revoked'
  | 'unauthorized'
  | 'forbidden'
  | 'timeout'
  | 'replaced'
  | 'tooMany'
  | 'restart'
  | 'tryAgainLater'
  | 'internal'

/** The end of a connection: the kind, and the word that its Close and its event say. */
export interface End {
  readonly kind: EndKind
  readonly reason: string
}

/** Every end that the gate itself decides. */
export const ENDS = {
  expired: { kind: 'expired', reason: 'expired' },
  maxAge: { kind: 'expired', reason: 'max_age' },
  revoked: { kind: 'revoked', reason: 'revoked' },
  unauthorized: { kind: 'unauthorized', reason: 'unauthorized' },
  forbidden: { kind: 'forbidden', reason: 'forbidden' },
  identityChanged: { kind: 'forbidden', reason: 'identity_changed' },
  replaced: { kind: 'replaced', reason: 'replaced' },
  tooManyConnections: { kind: 'tooMany', reason: 'too_many_connections' },
  tooManyRenewals: { kind: 'tooMany', reason: 'too_many_renewals' },
  tooSlow: { kind: 'tryAgainLater', reason: 'too_slow' },
  noPong: { kind: 'timeout', reason: 'no_pong' },
  recheckFailed: { kind: 'tryAgainLater', reason: 'recheck_failed' },
  clusterStale: { kind: 'tryAgainLater', reason: 'cluster_stale' },
  handlerFailed: { kind: 'internal', reason: 'handler_failed' },
  restart: { kind: 'restart', reason: 'restart' },
} as const satisfies Record<string, End>

/** The Close code of each kind of end. */
export type CloseProfile = Readonly<Record<EndKind, number>>

const DEFAULT: CloseProfile = {
  badMessage: CLOSE_CODES.badMessage,
  tooBig: CLOSE_CODES.tooBig,
  expired: CLOSE_CODES.unauthorized,
  revoked: CLOSE_CODES.unauthorized,
  unauthorized: CLOSE_CODES.unauthorized,
  forbidden: CLOSE_CODES.forbidden,
  timeout: CLOSE_CODES.timeout,
  replaced: CLOSE_CODES.replaced,
  tooMany: CLOSE_CODES.tooMany,
  restart: CLOSE_CODES.restart,
  tryAgainLater: CLOSE_CODES.tryAgainLater,
  internal: CLOSE_CODES.internal,
}

/** The codes of the IANA registry (RFC 6455 section 11.7): Unauthorized, Forbidden, Timeout. */
const IANA: CloseProfile = {
  ...DEFAULT,
  badMessage: 1008,
  expired: 3000,
  revoked: 3000,
  unauthorized: 3000,
  forbidden: 3003,
  timeout: 3008,
  replaced: 3003,
  tooMany: CLOSE_CODES.tryAgainLater,
}

/**
 * graphql-ws clients never come back after 4400, 4401, 4409 and 4429, and do after 4403 and 4408: what a new credential
 * mends is 4403 there, and a logout 4401.
 */
const GRAPHQL: CloseProfile = {
  ...DEFAULT,
  expired: CLOSE_CODES.forbidden,
  unauthorized: CLOSE_CODES.forbidden,
  revoked: CLOSE_CODES.unauthorized,
  tooMany: CLOSE_CODES.tryAgainLater,
}

export const PROFILES = {
  default: DEFAULT,
  iana: IANA,
  'graphql-transport-ws': GRAPHQL,
  // Its client looks at no code and always comes back.
  trpc: DEFAULT,
} as const satisfies Record<string, CloseProfile>

/** The kind of end that says what an HTTP refusal with this status says. A redirection asks for a login. */
export function kindOfStatus(status: number): EndKind {
  if (status >= 300 && status < 400) return 'unauthorized'
  if (status === 500) return 'internal'
  if (status > 500) return 'tryAgainLater'
  return BY_STATUS.get(status) ?? 'forbidden'
}

const BY_STATUS: ReadonlyMap<number, EndKind> = new Map([
  [400, 'badMessage'],
  [401, 'unauthorized'],
  [408, 'timeout'],
  [413, 'tooBig'],
  [429, 'tooMany'],
])
