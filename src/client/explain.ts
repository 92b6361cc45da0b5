import type { DialError } from './dial-error.ts'
import type { HeaderMap } from './headers.ts'
import type { DialRequest, DialRoad } from './request.ts'
import { answerError, fetchOptions, httpUrl } from './http.ts'

const PAUSE = 5000
const asked = new Map<string, number>()

/**
 * Asks why a handshake failed, which browsers do not say: a plain GET of the same place is answered 426 where the handshake
 * would be let in, else with the refusal. Asks once in 5 s, and never carries a ticket.
 */
export async function explain(
  { shown, url, fail }: DialRequest,
  road: DialRoad,
  credential: HeaderMap | undefined,
  signal: AbortSignal,
): Promise<DialError> {
  const unknown = fail('unknown')
  const now = Date.now()
  if (now - (asked.get(shown) ?? 0) < PAUSE) return unknown
  asked.set(shown, now)
  try {
    // The handshake before a first message carries no credential either.
    const isLater = road === 'message'
    const response = await fetch(httpUrl(url).href, fetchOptions(signal, isLater ? undefined : credential))
    if (response.status === 426) return fail('unreachable')
    // There, 401 is what the handshake waits on: no reason to fail.
    if (response.ok || (isLater && response.status === 401)) return unknown
    return await answerError(response, fail, 'handshake')
  } catch {
    return unknown
  }
}
