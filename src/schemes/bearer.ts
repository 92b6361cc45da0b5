import type { IdentityInput } from '../core/identity.ts'
import type { Scheme } from '../core/scheme.ts'
import { untilAborted } from './abort.ts'
import { credentialsOf, isBearerToken, namesScheme } from './authorization.ts'
import { bearerChallenge, checkRealm } from './challenge.ts'
import { BUSY, Limiter } from './limiter.ts'
import { checkFunction, checkName, checkNumber, checkOptions } from './options.ts'
import { ABSENT, fromCallback, invalid } from './results.ts'

/** Options of {@link bearer}. */
export interface BearerOptions<Claims = unknown> {
  /** Issuer of the identities. Default `bearer`. */
  readonly name?: string
  /** Shown in `WWW-Authenticate`. Printable ASCII. */
  readonly realm?: string
  /** Who the token belongs to, or `null`. A throw refuses with 503. Stop when the signal aborts. */
  readonly verify: (
    token: string,
    signal: AbortSignal,
  ) => IdentityInput<Claims> | null | Promise<IdentityInput<Claims> | null>
  /** Calls of `verify` at the same time, 1 to 10000. Default 64. */
  readonly concurrency?: number
  /** Requests that wait for their turn, 0 to 100000; more are refused with `verifier_busy`. Default 1024. */
  readonly queue?: number
}

/**
 * `Authorization: Bearer` (RFC 6750) with opaque tokens that the app verifies. A token has at most 8192 characters.
 *
 * @throws Gate101Error `GATE101_CONFIG` when the options are wrong.
 * @example
 * ```ts
 * bearer({ verify: async (token, signal) => (await introspect(token, signal)) ?? null })
 * ```
 */
export function bearer<Claims = unknown>(options: BearerOptions<Claims>): Scheme<Claims> {
  checkOptions('bearer()', options, ['name', 'realm', 'verify', 'concurrency', 'queue'])
  checkFunction('bearer(): verify', options.verify)
  const { verify } = options
  const realm = checkRealm('bearer()', options.realm)
  const limiter = new Limiter(
    checkNumber('bearer(): concurrency', options.concurrency, { min: 1, max: 10_000, fallback: 64, whole: true }),
    checkNumber('bearer(): queue', options.queue, { min: 0, max: 100_000, fallback: 1024, whole: true }),
  )
  return {
    name: checkName('bearer()', options.name, 'bearer'),
    headers: ['authorization'],
    present: (request) => namesScheme(request, 'bearer'),
    challenge: (code) => bearerChallenge(realm, code),
    async verify(request, { signal }) {
      const token = credentialsOf(request, 'bearer')
      if (token === undefined) return ABSENT
      if (!isBearerToken(token)) return invalid('bearer: not a possible token')
      const found = await limiter.run(async () => untilAborted(verify(token, signal), signal), signal)
      if (found === BUSY) return { type: 'refused', code: 'verifier_busy' }
      return fromCallback(found, 'bearer: unknown token')
    },
  }
}
