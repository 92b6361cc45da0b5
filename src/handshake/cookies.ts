import { refuse, type Refuse } from '../core/decision.ts'
import { valuesOf, type Handshake } from '../core/handshake.ts'

/**
 * Does a cookie that decides about access occur twice? Parsers disagree on which of two counts, and another host of the
 * domain can add one (RFC 6265 section 8.6).
 *
 * @param single - names that may occur once; those with the prefix `__Host-` or `__Secure-` always may only once.
 */
export function checkCookies(handshake: Pick<Handshake, 'headers'>, single: readonly string[]): Refuse | undefined {
  const seen = new Set<string>()
  for (const line of valuesOf(handshake, 'cookie')) {
    for (const pair of line.split(';')) {
      const at = pair.indexOf('=')
      // `trim` takes more than SP and HTAB: a name that some parser takes for the same one counts as the same.
      const name = (at < 0 ? pair : pair.slice(0, at)).trim()
      if (!isSingle(name, single)) continue
      if (seen.has(name)) return refuse('duplicate_cookie')
      seen.add(name)
    }
  }
  return undefined
}

function isSingle(name: string, single: readonly string[]): boolean {
  return single.includes(name) || /^__(?:host|secure)-/i.test(name)
}
