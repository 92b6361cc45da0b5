import { REFUSALS, type RefusalCode } from '../core/refusals.ts'
import { DialError, type DialAdvice, type DialHeaders } from './dial-error.ts'

/** Bytes of a refusal's body that are read. */
export const MAX_BODY = 64 * 1024

/** The error for a server that answered with HTTP instead of opening the WebSocket. */
export function refusalError(url: string, status: number, headers: DialHeaders, body: string): DialError {
  const advice = readAdvice(body)
  const answer = { status, headers, body, advice }
  return new DialError({
    code: 'refused',
    url,
    answer,
    message: `${url} refused the handshake: ${describe(status, advice)}`,
  })
}

/** The advice in the body of a refusal: `{ error, message, fix }`, all texts. */
function readAdvice(body: string): DialAdvice | undefined {
  if (!/^\s*\{/.test(body)) return undefined
  try {
    const { error, message, fix }: Readonly<Record<string, unknown>> = JSON.parse(body)
    if (typeof error !== 'string' || typeof message !== 'string' || typeof fix !== 'string') return undefined
    return Object.freeze({ error, message, fix })
  } catch {
    return undefined
  }
}

/** Texts of our own table only: what the server wrote may repeat the credential. */
function describe(status: number, advice: DialAdvice | undefined): string {
  if (advice === undefined) return `${status}.`
  if (!isKnown(advice.error)) return `${status}. The server says how to mend it: see error.advice.`
  const { message, fix } = REFUSALS[advice.error]
  return `${status} ${advice.error}. ${message} ${fix}`
}

function isKnown(code: string): code is RefusalCode {
  return Object.hasOwn(REFUSALS, code)
}
