import type { IdentityInput } from '../core/identity.ts'
import type { SchemeResult } from '../core/scheme.ts'

export const ABSENT = Object.freeze({ type: 'absent' }) satisfies SchemeResult

/** The credential is wrong. The reason is for the operator: it must be a constant, never text of the request. */
export function invalid(reason: string): SchemeResult<never> {
  return { type: 'refused', code: 'invalid_credential', cause: new Error(reason) }
}

/** The same identity with some fields set. Named one by one: a spread would lose what a getter gives, as `session` is. */
export function withFields<Claims>(
  { issuer, subject, session, credential, issuedAt, expiresAt, tags, claims }: IdentityInput<Claims>,
  fields: Partial<IdentityInput<Claims>>,
): IdentityInput<Claims> {
  return { issuer, subject, session, credential, issuedAt, expiresAt, tags, claims, ...fields }
}

/** What a `verify` or `lookup` callback returned: an identity, or nobody. Anything that is no object is nobody. */
export function fromCallback<Claims>(
  identity: IdentityInput<Claims> | null | undefined,
  reason: string,
): SchemeResult<Claims> {
  if (identity === null || typeof identity !== 'object') return invalid(reason)
  return { type: 'identity', identity }
}
