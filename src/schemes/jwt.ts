import type { IdentityInput } from '../core/identity.ts'
import type { Scheme, SchemeResult } from '../core/scheme.ts'
import { credentialsOf, isBearerToken, namesScheme } from './authorization.ts'
import { bearerChallenge, checkRealm } from './challenge.ts'
import { jose } from './jose.ts'
import { tokenId } from './jwt-cache.ts'
import { isExpired, judgeClaims } from './jwt-claims.ts'
import { JWT_OPTIONS, type JwtOptions, type JwtPayload } from './jwt-options.ts'
import { freezeAll, headerProblem, takeApart } from './jwt-token.ts'
import { verifierOf, type Verifier } from './jwt-verifier.ts'
import { KeysUnavailable } from './keys.ts'
import { checkFunction, checkName, checkOptions } from './options.ts'
import { ABSENT, fromCallback, invalid, withFields } from './results.ts'

/** Refused, or not for this scheme, or the claims. */
type Verified = SchemeResult<never> | { readonly type: 'payload'; readonly payload: JwtPayload }

const EXPIRED = Object.freeze({ type: 'refused', code: 'expired_credential' }) satisfies SchemeResult

/**
 * `Authorization: Bearer` with a signed JWT (RFC 7519, RFC 8725), of at most 8192 characters.
 *
 * *Absent* is what it answers to a token of another issuer and to one without a dot (no JWT): so
 * `authenticate: [jwt(a), jwt(b), bearer(c)]` finds the right one. No network is touched for such a token, and if no
 * scheme of the list takes it, it is refused. Tokens bound to a key (`cnf`), logout tokens, any `crit` and JWE are
 * refused. `jku`, `x5u` and `jwk` in a token are ignored.
 *
 * @throws Gate101Error `GATE101_CONFIG` when the options are wrong.
 * @example
 * ```ts
 * jwt({
 *   issuer: 'https://login.example.com/',
 *   audience: 'https://api.example.com',
 *   algorithms: ['RS256'],
 *   jwksUrl: 'https://login.example.com/.well-known/jwks.json',
 * })
 * ```
 */
export function jwt<Claims = JwtPayload>(options: JwtOptions<Claims>): Scheme<Claims> {
  checkOptions('jwt()', options, JWT_OPTIONS)
  const verifier = verifierOf(options)
  const realm = checkRealm('jwt()', options.realm)
  const { identify } = options
  if (identify !== undefined) checkFunction('jwt(): identify', identify)
  return {
    name: checkName('jwt()', options.name, 'jwt'),
    headers: ['authorization'],
    present: (request) => namesScheme(request, 'bearer'),
    challenge: (code) => bearerChallenge(realm, code),
    verify(request) {
      const token = credentialsOf(request, 'bearer')
      if (token === undefined) return ABSENT
      if (!isBearerToken(token)) return invalid('jwt: not a possible token')
      const seen = remembered(verifier, token)
      if (seen !== undefined) return identified(seen, identify)
      return verifyToken(verifier, token).then((verified) => identified(verified, identify))
    },
  }
}

function remembered({ cache, keys, rules, clock }: Verifier, token: string): Verified | undefined {
  if (cache === undefined || cache.size === 0) return undefined
  const now = clock.now()
  const payload = cache.get(tokenId(token), keys.generation, now)
  if (payload === undefined) return undefined
  return isExpired(payload, rules.maxTokenAge, now) ? EXPIRED : { type: 'payload', payload }
}

async function verifyToken(verifier: Verifier, token: string): Promise<Verified> {
  if (!token.includes('.')) return ABSENT
  const parts = takeApart(token)
  if (parts === undefined) return invalid('jwt: not a signed JWT in compact form')
  const { iss } = parts.payload
  if (typeof iss !== 'string' || !verifier.issuers.includes(iss)) return ABSENT
  const problem = headerProblem(parts.header, verifier.algorithms, verifier.types)
  if (problem !== undefined) return invalid(problem)
  try {
    return judge(verifier, token, await verifySignature(verifier, token, iss))
  } catch (error) {
    return refusedBy(error)
  }
}

interface Signed {
  readonly payload: JwtPayload
  readonly generation: number
}

async function verifySignature({ keys, ...verifier }: Verifier, token: string, issuer: string): Promise<Signed> {
  const { jwtVerify } = await jose()
  // Read before the key is found: a key that is withdrawn meanwhile must not be remembered as one of the new set.
  const { generation } = keys
  const { payload } = await jwtVerify(token, (header, jws) => keys.find(header, jws), {
    issuer,
    audience: [...verifier.audiences],
    algorithms: [...verifier.algorithms],
    clockTolerance: verifier.rules.clockTolerance,
    currentDate: new Date(verifier.clock.now()),
  })
  return { payload: freezeAll(payload), generation }
}

function judge({ rules, keys, cache, clock }: Verifier, token: string, { payload, generation }: Signed): Verified {
  const now = clock.now()
  const verdict = judgeClaims(payload, rules, now)
  if (verdict.type === 'expired') return EXPIRED
  if (verdict.type === 'invalid') return invalid(verdict.reason)
  const limit = Math.min(keys.usableUntil(), (payload.exp ?? Number.POSITIVE_INFINITY) * 1000)
  cache?.set(tokenId(token), payload, generation, limit, now)
  return { type: 'payload', payload }
}

/** Errors of `jose` may quote the token, so that only their code goes on. */
function refusedBy(error: unknown): SchemeResult<never> {
  if (error instanceof KeysUnavailable) return { type: 'refused', code: 'verifier_unavailable', cause: error }
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  if (code === 'ERR_JWT_EXPIRED') return EXPIRED
  const about = /^ERR_(?:JWS|JWT|JOSE_ALG|JOSE_NOT_SUPPORTED|JWKS_NO_MATCHING|JWKS_MULTIPLE)/.test(code)
  if (about) return invalid(`jwt: ${code}`)
  return { type: 'refused', code: 'verifier_unavailable', cause: new Error(`jwt: the verifier failed ${code}`.trim()) }
}

function identified<Claims>(
  verified: Verified,
  identify: JwtOptions<Claims>['identify'],
): SchemeResult<Claims> | Promise<SchemeResult<Claims>> {
  if (verified.type !== 'payload') return verified
  const { payload } = verified
  if (identify === undefined) return { type: 'identity', identity: defaultIdentity<Claims>(payload) }
  return Promise.resolve(identify(payload)).then((found) => {
    const result = fromCallback(found, 'jwt: identify() returned nobody')
    return result.type === 'identity' ? { type: 'identity', identity: bounded(result.identity, payload) } : result
  })
}

function defaultIdentity<Claims>(payload: JwtPayload): IdentityInput<Claims> {
  const { iss, sub, jti, exp, iat, sid } = payload
  return {
    issuer: iss,
    subject: sub ?? '',
    session: typeof sid === 'string' && sid !== '' ? sid : undefined,
    credential: typeof jti === 'string' && jti !== '' ? jti : undefined,
    issuedAt: dateOf(iat),
    expiresAt: dateOf(exp),
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- Claims is JwtPayload where identify is left out
    claims: payload as Claims,
  }
}

/** An identity does not outlive its token, whatever `identify` says. */
function bounded<Claims>(identity: IdentityInput<Claims>, payload: JwtPayload): IdentityInput<Claims> {
  const exp = dateOf(payload.exp)
  const { expiresAt } = identity
  const sooner = exp === null || (expiresAt instanceof Date && expiresAt < exp)
  const wrong = expiresAt !== null && expiresAt !== undefined && !(expiresAt instanceof Date)
  return withFields(identity, { issuer: identity.issuer ?? payload.iss, expiresAt: sooner || wrong ? expiresAt : exp })
}

function dateOf(seconds: number | undefined): Date | null {
  return seconds === undefined ? null : new Date(seconds * 1000)
}
