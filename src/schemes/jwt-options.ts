import type { KeyObject } from 'node:crypto'
import type { CryptoKey, JSONWebKeySet, JWK, JWTPayload } from 'jose'
import type { Clock } from '../core/clock.ts'
import type { IdentityInput } from '../core/identity.ts'

/** The verified claims of a token; frozen, also inside. */
export type JwtPayload = Readonly<JWTPayload>

/** How the keys of a `jwksUrl` are fetched. All times in seconds. */
export interface JwksFetchOptions {
  /** For one answer, head and body. 0.01 to 60, default 5. */
  readonly timeout?: number
  /** Keys older than this are fetched again. Default 600. */
  readonly maxAge?: number
  /** While the endpoint fails, keys go on being used up to this age; then tokens are refused with 503. Default 3600. */
  readonly maxStale?: number
  /** The least time between two fetches that an unknown `kid` causes. Default 30. */
  readonly cooldown?: number
}

/** Options of `jwt()`: exactly one of `jwksUrl`, `jwks` and `key`. */
export interface JwtOptions<Claims = JwtPayload> {
  /** Name of the scheme. Default `jwt`. The issuer of its identities is the token's `iss`. */
  readonly name?: string
  /** Shown in `WWW-Authenticate`. Printable ASCII. */
  readonly realm?: string
  /** The exact `iss` that is accepted, or several that share the keys. */
  readonly issuer: string | readonly string[]
  /** The token's `aud` must hold at least one of these. */
  readonly audience: string | readonly string[]
  /** Accepted `alg` values, all symmetric (HS*) or all asymmetric. `none` does not exist. */
  readonly algorithms: readonly string[]
  /** Where the issuer publishes its keys. `https`, or `http` on loopback. Redirects are not followed; at most 1 MiB. */
  readonly jwksUrl?: string | URL
  readonly jwksFetch?: JwksFetchOptions
  /** The public keys themselves. */
  readonly jwks?: JSONWebKeySet
  /** One public key, or for HS* a secret of at least the hash's size (32 bytes for HS256; RFC 7518 section 3.2). */
  readonly key?: KeyObject | CryptoKey | Uint8Array | JWK
  /**
   * Accepted header `typ` values, compared without case and without `application/`. Given: a token without `typ` is
   * refused. Default: `JWT`, `at+jwt`, or none.
   */
  readonly typ?: readonly string[]
  /** Claims that must be one of these strings, such as `{ token_use: 'access' }` where an issuer marks ID tokens so. */
  readonly requiredClaims?: Readonly<Record<string, string | readonly string[]>>
  /** Seconds by which the issuer's clock may be ahead, for `nbf` and `iat`. 0 to 60, default 5. `exp` is exact. */
  readonly clockTolerance?: number
  /** Refuses tokens whose `iat` is more than this many seconds ago, or missing. Default: no limit. */
  readonly maxTokenAge?: number
  /** `false` lets tokens without `exp` in. Default `true`. */
  readonly requireExp?: boolean
  /**
   * Makes the identity, or refuses with `null`. Runs for each request, also where the token was seen before. The
   * identity never outlives the token's `exp`. Default: `subject` = `sub`, `session` = `sid`, `credential` = `jti`,
   * `issuedAt` = `iat`, `expiresAt` = `exp`, `claims` = the payload.
   */
  readonly identify?: (payload: JwtPayload) => IdentityInput<Claims> | null | Promise<IdentityInput<Claims> | null>
  /**
   * Verified tokens that are remembered, so that a reconnect costs no signature check: at most `size` (default 10000),
   * each for `maxAge` seconds (at most 60, default 60), never past `exp` and never past a change of the issuer's keys.
   * `false` switches it off.
   */
  readonly cache?: false | { readonly size?: number; readonly maxAge?: number }
  readonly clock?: Clock
}

export const JWT_OPTIONS = [
  'name',
  'realm',
  'issuer',
  'audience',
  'algorithms',
  'jwksUrl',
  'jwksFetch',
  'jwks',
  'key',
  'typ',
  'requiredClaims',
  'clockTolerance',
  'maxTokenAge',
  'requireExp',
  'identify',
  'cache',
  'clock',
] as const satisfies ReadonlyArray<keyof JwtOptions>
