import type { HeaderPairs } from '../core/decision.ts'
import { basicAccount } from './values.ts'

/** Whether, and until when, the door can be asked again with the same headers. */
export interface Replay {
  readonly canReplay: boolean
  /** Of a JWT among them, in milliseconds since the epoch; undefined where there is none that says so. */
  readonly expiresAt: number | undefined
}

const NO: Replay = { canReplay: false, expiresAt: undefined }

/** Proofs of one request: a second one with the same would be a replay (RFC 9449, RFC 9421). */
const ONE_REQUEST =
  /^(?:dpop|signature|signature-input|x-amz-(?:date|security-token|content-sha256)|x-signature|x-hub-signature(?:-256)?)$/

const MADE_TO_BE_SENT_AGAIN = /^(?:bearer|token|apikey|api-key|key)$/i

/**
 * Rule R5. A password must not stay in memory, and what is signed for one request must not be used for a second. Bearer
 * tokens, keys and cookies are made to be sent again.
 */
export function readReplay(headers: HeaderPairs): Replay {
  let expiresAt: number | undefined
  for (const [name, value] of headers) {
    const field = name.toLowerCase()
    if (ONE_REQUEST.test(field)) return NO
    if (field !== 'authorization' && field !== 'proxy-authorization') continue
    // Some apps leave the name of the scheme out.
    const [, scheme = 'bearer', token] = /^(?:([a-z-]+) +)?([^ ,]+)$/i.exec(value) ?? []
    if (token === undefined || basicAccount(value) !== undefined || !MADE_TO_BE_SENT_AGAIN.test(scheme)) return NO
    expiresAt = expiryOf(token)
  }
  return { canReplay: true, expiresAt }
}

/** RFC 7519 section 4.1.4. Not verified here: whoever let it in has done so. */
function expiryOf(token: string): number | undefined {
  const [, payload, signature] = token.split('.')
  if (payload === undefined || signature === undefined) return undefined
  try {
    const { exp }: { exp?: unknown } = JSON.parse(Buffer.from(payload, 'base64url').toString())
    return typeof exp === 'number' && Number.isFinite(exp) ? exp * 1000 : undefined
  } catch {
    return undefined
  }
}
