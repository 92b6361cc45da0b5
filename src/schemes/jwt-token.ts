import type { JwtPayload } from './jwt-options.ts'

/** A token taken apart; nothing in it is verified. */
export interface Parts {
  readonly header: Readonly<Record<string, unknown>>
  readonly payload: Readonly<Record<string, unknown>>
}

const MAX_KID = 256
// oxlint-disable-next-line no-control-regex
const ODD = /[^\x20-\x7e]/

/**
 * A JWS in compact form (RFC 7515 section 7.1) with a JSON object on both sides, in canonical base64url. Undefined
 * where it is anything else, such as a JWE or one with padding.
 */
export function takeApart(token: string): Parts | undefined {
  const parts = token.split('.')
  if (parts.length !== 3 || !parts.every(isCanonical)) return undefined
  const header = objectOf(parts[0] ?? '')
  const payload = objectOf(parts[1] ?? '')
  return header && payload ? { header, payload } : undefined
}

/** Why the header is not acceptable, before any key is looked for; undefined where it is. */
export function headerProblem(
  header: Parts['header'],
  algorithms: readonly string[],
  types: readonly string[] | undefined,
): string | undefined {
  const { alg, kid, typ } = header
  if (typeof alg !== 'string' || !algorithms.includes(alg)) return 'jwt: alg is not allowed'
  // No extension is understood here, so each `crit` has one that is not (RFC 7515 section 4.1.11).
  if (Object.hasOwn(header, 'crit')) return 'jwt: crit is not supported'
  if (kid !== undefined && !isPlainId(kid)) return 'jwt: kid is not a plain string'
  return typeAllowed(typ, types) ? undefined : 'jwt: typ is not allowed'
}

/** Freezes a parsed JSON value and all within. Not recursive: depth is the sender's choice. */
export function freezeAll(payload: JwtPayload): JwtPayload {
  const todo: unknown[] = [payload]
  while (todo.length > 0) {
    const value = todo.pop()
    if (typeof value !== 'object' || value === null) continue
    Object.freeze(value)
    todo.push(...Object.values(value))
  }
  return payload
}

export function normalType(typ: string): string {
  const lower = typ.toLowerCase()
  return lower.startsWith('application/') ? lower.slice('application/'.length) : lower
}

function typeAllowed(typ: unknown, types: readonly string[] | undefined): boolean {
  if (typ === undefined) return types === undefined
  if (typeof typ !== 'string') return false
  return (types ?? ['jwt', 'at+jwt']).includes(normalType(typ))
}

function isPlainId(value: unknown): boolean {
  return typeof value === 'string' && value.length <= MAX_KID && !ODD.test(value)
}

function isCanonical(part: string): boolean {
  return part !== '' && Buffer.from(part, 'base64url').toString('base64url') === part
}

function objectOf(part: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const bytes = Buffer.from(part, 'base64url')
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
    return isRecord(value) ? value : undefined
  } catch {
    return undefined
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
