import type { HeaderPairs } from '../core/decision.ts'
import type { Handshake } from '../core/handshake.ts'

/**
 * The handshake with these headers as its only credential: Cookie, the other credential headers and those of the same
 * name are left out.
 *
 * @param credentialHeaders - lower-case names.
 */
export function withCredential(
  handshake: Handshake,
  injected: HeaderPairs,
  credentialHeaders: readonly string[],
): Handshake {
  const lowered = injected.map(([name, value]) => [name.toLowerCase(), value] as const)
  const dropped = new Set(['cookie', ...credentialHeaders, ...lowered.map(([name]) => name)])
  const kept = handshake.headers.filter(([name]) => !dropped.has(name.toLowerCase()))
  return { ...handshake, headers: [...kept, ...lowered] }
}
