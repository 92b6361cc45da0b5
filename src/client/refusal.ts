import type { DialAdvice, DialError, DialPhase, Fail } from './dial-error.ts'

/** Characters of a refusal's body that are read. */
export const MAX_BODY = 64 * 1024

/** What a server says in JSON: none of it is checked. */
export type Said = Readonly<
  Partial<
    Record<
      | 'type'
      | 'error'
      | 'message'
      | 'fix'
      | 'status'
      | 'code'
      | 'retryAfter'
      | 'expiresIn'
      | 'connection'
      | 'renew'
      | 'renewed'
      | 'ticket'
      | 'url',
      unknown
    >
  >
>

/** The object that a JSON text holds, or an empty one. */
export function parseObject(text: unknown): Said {
  try {
    return { ...JSON.parse(text as string) }
  } catch {
    return {}
  }
}

function isText(value: unknown): value is string {
  return typeof value === 'string'
}

/** The advice in the body of a refusal: `{ error, message, fix }`, all texts. */
export function readAdvice(body: string): DialAdvice | undefined {
  const { error, message, fix } = parseObject(body)
  return isText(error) && isText(message) && isText(fix) ? { error, message, fix } : undefined
}

/** The advice for a code that came alone. */
export function adviceOf(code: unknown): DialAdvice | undefined {
  return isText(code) && code !== '' ? { error: code, message: '', fix: '' } : undefined
}

const STATUS: Readonly<Record<number, number>> = { 1009: 413, 1011: 500, 1013: 503 }
const LOST = [1001, 1005, 1006, 1012, 1014, 1015]

/** The error that a Close stands for. */
export function closeError(fail: Fail, phase: DialPhase, closeCode: number, reason: string): DialError {
  const facts = { phase, closeCode }
  const status = closeCode >= 4300 && closeCode < 4600 ? closeCode - 4000 : STATUS[closeCode]
  if (status !== undefined || closeCode >= 3000)
    return fail('refused', { ...facts, answer: { status, advice: adviceOf(reason) } })
  return fail(LOST.includes(closeCode) ? 'unreachable' : 'bad_response', facts)
}
