import type { JwtPayload } from './jwt-options.ts'

/** What is asked of the claims beyond `iss` and `aud`. Seconds. */
export interface ClaimRules {
  readonly requireExp: boolean
  readonly clockTolerance: number
  readonly maxTokenAge: number | undefined
  readonly required: ReadonlyArray<readonly [claim: string, values: readonly string[]]>
}

/** Seconds; the year 5138. A time beyond is milliseconds by mistake, and would live for ever. */
const MAX_TIME = 1e11
const LOGOUT_EVENT = 'http://schemas.openid.net/event/backchannel-logout'

export type ClaimVerdict =
  | { readonly type: 'fine' }
  | { readonly type: 'expired' }
  | { readonly type: 'invalid'; readonly reason: string }

/** Judges the claims of a token whose signature, `iss` and `aud` have been verified. `now` in milliseconds. */
export function judgeClaims(payload: JwtPayload, rules: ClaimRules, now: number): ClaimVerdict {
  const reason = shapeProblem(payload, rules) ?? timeProblem(payload, rules, now)
  if (reason !== undefined) return { type: 'invalid', reason }
  return isExpired(payload, rules.maxTokenAge, now) ? { type: 'expired' } : { type: 'fine' }
}

/** Also asked on each hit of the cache. */
export function isExpired(payload: JwtPayload, maxTokenAge: number | undefined, now: number): boolean {
  if (payload.exp !== undefined && payload.exp * 1000 <= now) return true
  return maxTokenAge !== undefined && payload.iat !== undefined && (payload.iat + maxTokenAge) * 1000 <= now
}

function shapeProblem(payload: JwtPayload, rules: ClaimRules): string | undefined {
  for (const name of ['exp', 'nbf', 'iat'] as const) {
    if (Object.hasOwn(payload, name) && !isTime(payload[name])) return `jwt: ${name} is not a time in whole seconds`
  }
  if (rules.requireExp && payload.exp === undefined) return 'jwt: exp is missing'
  if (rules.maxTokenAge !== undefined && payload.iat === undefined) return 'jwt: iat is missing'
  if (typeof payload.sub !== 'string' || payload.sub === '') return 'jwt: sub is missing'
  // A token bound to a key or certificate (RFC 7800) is not a bearer token; the proof cannot be checked here.
  if (Object.hasOwn(payload, 'cnf')) return 'jwt: the token is bound to a key (cnf)'
  if (isLogoutToken(payload['events'])) return 'jwt: this is a logout token'
  const missed = rules.required.find(([claim, values]) => !values.includes(ownText(payload, claim)))
  return missed === undefined ? undefined : `jwt: the claim ${missed[0]} is not as required`
}

/** A token from the future would outlive a revocation that compares with `iat`. */
function timeProblem(payload: JwtPayload, rules: ClaimRules, now: number): string | undefined {
  const latest = now / 1000 + rules.clockTolerance
  if (payload.nbf !== undefined && payload.nbf > latest) return 'jwt: not valid yet (nbf)'
  return payload.iat !== undefined && payload.iat > latest ? 'jwt: issued in the future (iat)' : undefined
}

function isTime(value: unknown): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < MAX_TIME
}

function isLogoutToken(events: unknown): boolean {
  return typeof events === 'object' && events !== null && Object.hasOwn(events, LOGOUT_EVENT)
}

function ownText(payload: JwtPayload, claim: string): string {
  const value = Object.hasOwn(payload, claim) ? payload[claim] : undefined
  return typeof value === 'string' ? value : ''
}
