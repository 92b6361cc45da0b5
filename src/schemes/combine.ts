import { systemClock, type Clock } from '../core/clock.ts'
import { refuse, type HeaderPairs, type Refuse } from '../core/decision.ts'
import { expiresAtOf, toIdentity, type Identity, type IdentityInput } from '../core/identity.ts'
import type { RefusalCode } from '../core/refusals.ts'
import type { Scheme, SchemeRequest, SchemeResult } from '../core/scheme.ts'
import type { Waiting } from '../core/waiting.ts'
import { untilAborted } from './abort.ts'

/** What a list of schemes found: who it is, or why not. There is no third way. */
export type SchemesOutcome<Claims = unknown> =
  | { readonly type: 'identity'; readonly identity: Identity<Claims>; readonly scheme: string }
  | { readonly type: 'refuse'; readonly refuse: Refuse }

/**
 * Asks the schemes about one request. Exactly one credential decides:
 *
 * - None of the schemes' headers is there: `missing_credential`.
 * - One of the headers twice: `duplicate_header`. Credentials in two headers: `credential_conflict`, none is verified.
 * - A header is there that no scheme takes for its own: `invalid_credential`. A wrong credential is never anonymous.
 * - Schemes that read the same header are asked in order, until one does not answer *absent* (a JWT of an issuer that
 *   is not its own). Refused is final.
 * - A scheme that throws or answers nonsense: `verifier_unavailable`. An identity with wrong fields: `app_error`.
 *   An identity that has expired: `expired_credential`. The signal aborts: `handshake_timeout`.
 *
 * Each 401 carries one `WWW-Authenticate` field for each kind of credential (RFC 9110 section 11.6.1). Never rejects.
 */
export async function runSchemes<Claims = unknown>(
  schemes: ReadonlyArray<Scheme<Claims>>,
  request: SchemeRequest,
  waiting: Waiting,
  clock: Clock = systemClock,
): Promise<SchemesOutcome<Claims>> {
  try {
    return await ask(schemes, request, waiting, clock)
  } catch (error) {
    const code = waiting.aborted ? 'handshake_timeout' : 'verifier_unavailable'
    return { type: 'refuse', refuse: refuse(code, [], error) }
  }
}

async function ask<Claims>(
  schemes: ReadonlyArray<Scheme<Claims>>,
  request: SchemeRequest,
  waiting: Waiting,
  clock: Clock,
): Promise<SchemesOutcome<Claims>> {
  const claimants = schemes.filter((scheme) => scheme.present(request))
  const code = misplaced(schemes, claimants, request)
  if (code !== undefined) return no(schemes, claimants, code)
  for (const scheme of claimants) {
    if (waiting.aborted) return no(schemes, claimants, 'handshake_timeout')
    const found = scheme.verify(request, waiting)
    const result = isPending(found) ? await untilAborted(found, waiting.signal) : found
    if (result.type !== 'absent') return judge(result, scheme, schemes, claimants, clock)
  }
  return no(schemes, claimants, 'invalid_credential')
}

function isPending<T>(value: T | Promise<T>): value is Promise<T> {
  return typeof value === 'object' && value !== null && 'then' in value
}

/** Decides by the places of credentials alone, before any of them is verified. */
function misplaced(
  schemes: readonly Scheme[],
  claimants: readonly Scheme[],
  request: SchemeRequest,
): RefusalCode | undefined {
  const presented = presentedHeaders(schemes, request)
  if (presented === 'duplicate') return 'duplicate_header'
  const [first] = claimants
  if (first === undefined) return presented.length === 0 ? 'missing_credential' : 'invalid_credential'
  const apart = claimants.some((scheme) => !scheme.headers.some((name) => first.headers.includes(name)))
  const unclaimed = presented.some((name) => !claimants.some((scheme) => scheme.headers.includes(name)))
  return apart || unclaimed ? 'credential_conflict' : undefined
}

/** Lower-case names of those headers of the schemes that the request has. */
function presentedHeaders(schemes: readonly Scheme[], request: SchemeRequest): readonly string[] | 'duplicate' {
  const presented: string[] = []
  for (const [name] of request.headers) {
    if (!schemes.some((scheme) => scheme.headers.includes(name))) continue
    if (presented.includes(name)) return 'duplicate'
    presented.push(name)
  }
  return presented
}

function judge<Claims>(
  result: Exclude<SchemeResult<Claims>, { type: 'absent' }>,
  scheme: Scheme<Claims>,
  schemes: readonly Scheme[],
  claimants: readonly Scheme[],
  clock: Clock,
): SchemesOutcome<Claims> {
  if (result.type === 'refused') return no(schemes, claimants, result.code, result.cause)
  if (result.type !== 'identity') throw new TypeError(`The scheme "${scheme.name}" returned no result.`)
  const outcome = identified(result.identity, scheme.name)
  if (outcome.type === 'refuse') return outcome
  if (expiresAtOf(outcome.identity) <= clock.now()) return no(schemes, claimants, 'expired_credential')
  return outcome
}

function identified<Claims>(input: IdentityInput<Claims>, scheme: string): SchemesOutcome<Claims> {
  try {
    return { type: 'identity', identity: toIdentity(input, scheme), scheme }
  } catch (error) {
    return { type: 'refuse', refuse: refuse('app_error', [], error) }
  }
}

function no(
  schemes: readonly Scheme[],
  claimants: readonly Scheme[],
  code: RefusalCode,
  cause?: unknown,
): { readonly type: 'refuse'; readonly refuse: Refuse } {
  const bare = refuse(code, [], cause)
  if (bare.status !== 401) return { type: 'refuse', refuse: bare }
  return { type: 'refuse', refuse: refuse(code, challenges(schemes, claimants, code), cause) }
}

/** Only schemes whose credential was sent speak of an error (RFC 6750 section 3.1). Equal challenges are sent once. */
function challenges(schemes: readonly Scheme[], claimants: readonly Scheme[], code: RefusalCode): HeaderPairs {
  const values = schemes.map((scheme) => scheme.challenge(claimants.includes(scheme) ? code : 'missing_credential'))
  return [...new Set(values)].map((value) => ['WWW-Authenticate', value] as const)
}
