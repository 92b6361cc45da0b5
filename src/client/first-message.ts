import type { DialError, Fail } from './dial-error.ts'
import type { CloseFacts, Link } from './link.ts'
import { adviceOf, closeError, parseObject } from './refusal.ts'

/**
 * Sends the first message, where there is one, and waits for its answer; what else comes before waits as well.
 * @returns the seconds until the credential expires, where the server knows
 */
export async function authenticate(link: Link, message: string | undefined, fail: Fail): Promise<number | undefined> {
  if (message === undefined) return undefined
  return await new Promise((resolve, reject) => {
    const phase = 'message'
    // A cookie may have opened it before the server has read the message: the app's own messages may come first.
    const kept: unknown[] = []
    let refusal: ((closeCode: number) => DialError) | undefined
    const end = (error: DialError): void => {
      reject(error)
      link.release()
      link.drop()
    }
    const onMessage = (data: unknown): void => {
      const { type, status, code, retryAfter, expiresIn } = parseObject(data)
      if (refusal !== undefined) return
      if (type === 'auth_ok') {
        link.release(kept)
        resolve(countIn(expiresIn))
      } else if (type === 'auth_error') {
        const answer = { status: countIn(status) ?? 401, advice: adviceOf(code) }
        // The Close that follows has the close code.
        refusal = (closeCode) => fail('refused', { phase, closeCode, retryAfter: countIn(retryAfter), answer })
      } else kept.push(data)
    }
    const onClose = ({ code, reason }: CloseFacts): void =>
      end(refusal === undefined ? closeError(fail, phase, code, reason) : refusal(code))
    link.take({ message: onMessage, close: onClose })
    link.socket.send(message)
  })
}

function countIn(value: unknown): number | undefined {
  return typeof value === 'number' && value >= 0 ? value : undefined
}
