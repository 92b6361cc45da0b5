import type { RefusalCode } from '../core/refusals.ts'
import { configError } from './options.ts'

const PRINTABLE = /^[\x20-\x7e]+$/

/** A quoted-string of RFC 9110 section 5.6.4. The text must have passed {@link checkRealm} or be a constant. */
export function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`
}

/** A realm is printable ASCII: anything else could break the header or be read differently by clients. */
export function checkRealm(owner: string, realm: string | undefined): string | undefined {
  if (realm === undefined) return undefined
  if (typeof realm === 'string' && realm.length <= 200 && PRINTABLE.test(realm)) return realm
  throw configError(`${owner}: realm must be 1 to 200 printable ASCII characters.`)
}

/**
 * `Bearer` challenge of RFC 6750 section 3. No `error` when no token was sent (section 3.1); at least one parameter
 * always, which section 3 asks for.
 */
export function bearerChallenge(realm: string | undefined, code: RefusalCode): string {
  const failed = code === 'invalid_credential' || code === 'expired_credential'
  const parts: string[] = []
  if (realm !== undefined || !failed) parts.push(`realm=${quoted(realm ?? 'gate101')}`)
  if (failed) parts.push('error="invalid_token"')
  return `Bearer ${parts.join(', ')}`
}
