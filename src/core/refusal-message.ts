import type { HeaderPairs, Refuse } from './decision.ts'
import { REFUSALS, type RefusalRow } from './refusals.ts'

/** The answer to a refused request, ready to be written. */
export interface RefusalMessage {
  readonly status: number
  readonly headers: HeaderPairs
  /** One line of JSON: `{ "error": code, "message": …, "fix": … }`. */
  readonly body: string
}

/**
 * The fixed answer to a refusal: the same on a handshake and on plain HTTP. Nothing in it comes from the request.
 *
 * `Connection: close` is not in the headers: whoever writes a handshake's refusal adds it.
 *
 * @example
 * ```ts
 * refusalMessage(refuse('bad_origin')).status // 403
 * ```
 */
export function refusalMessage(refuse: Refuse): RefusalMessage {
  const row: RefusalRow = REFUSALS[refuse.code]
  const body = `${JSON.stringify({ error: refuse.code, message: row.message, fix: row.fix })}\n`
  const headers: HeaderPairs = [
    ['Content-Type', 'application/json; charset=utf-8'],
    ['Content-Length', String(Buffer.byteLength(body))],
    ['X-Content-Type-Options', 'nosniff'],
    ['Cache-Control', 'no-store'],
    ...Object.entries(row.headers ?? {}),
    ...refuse.headers,
  ]
  return { status: refuse.status, headers, body }
}
