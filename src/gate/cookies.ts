import { accept, isAccept } from '../core/decision.ts'
import type { Decided } from './decide.ts'

/**
 * Cookies belong to the client that has sent the credential itself. Who holds a ticket must not get the session that is
 * sealed in it, nor lose one of their own by its refusal.
 */
export function withoutCookies(decided: Decided): Decided {
  if (decided.type === 'accept') {
    if (!isAccept(decided.decision)) return decided
    const { identity, headers } = decided.decision
    return { ...decided, decision: accept(identity, headers.filter(isNoCookie)) }
  }
  if (decided.type !== 'answer') return decided
  return { ...decided, head: { ...decided.head, headers: decided.head.headers.filter(isNoCookie) } }
}

function isNoCookie([name]: readonly [name: string, value: string]): boolean {
  return name.toLowerCase() !== 'set-cookie'
}
