import { valueOf } from '../core/handshake.ts'
import type { SchemeRequest } from '../core/scheme.ts'

/** Longest credential that is looked at, in characters. */
export const MAX_CREDENTIAL = 8192

const B64TOKEN = /^[A-Za-z0-9\-._~+/]+=*$/

/** Whether `Authorization` names this scheme; without regard to case (RFC 9110 section 11.1). */
export function namesScheme(request: SchemeRequest, scheme: string): boolean {
  const value = valueOf(request, 'authorization')
  return value !== undefined && startsWithScheme(value, scheme)
}

/**
 * What follows `scheme` and its spaces in `Authorization`; `''` where nothing does, and undefined where the header is
 * absent or names another scheme.
 */
export function credentialsOf(request: SchemeRequest, scheme: string): string | undefined {
  const value = valueOf(request, 'authorization')
  if (value === undefined || !startsWithScheme(value, scheme)) return undefined
  let start = scheme.length
  while (value[start] === ' ') start++
  return value.slice(start)
}

/** `b64token` of RFC 6750 section 2.1, of at most {@link MAX_CREDENTIAL} characters. */
export function isBearerToken(text: string): boolean {
  return text.length <= MAX_CREDENTIAL && B64TOKEN.test(text)
}

function startsWithScheme(value: string, scheme: string): boolean {
  const after = value[scheme.length]
  if (after !== undefined && after !== ' ') return false
  return value.length >= scheme.length && value.slice(0, scheme.length).toLowerCase() === scheme
}
