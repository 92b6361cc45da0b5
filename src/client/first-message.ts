import type { DialError, DialPhase, Fail } from './dial-error.ts'
import type { CloseFacts, Link } from './link.ts'
import { adviceOf, closeError, parseObject, type Said } from './refusal.ts'

/**
 * Sends the first message, where there is one, and waits for its answer; what else comes before waits as well.
 * @returns the server's `auth_ok`
 */
export async function authenticate(link: Link, message: string | undefined, fail: Fail): Promise<Said | undefined> {
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
      const answer = parseObject(data)
      if (refusal !== undefined) return
      if (answer.type === 'auth_ok') {
        link.release(kept)
        resolve(answer)
      } else if (answer.type === 'auth_error') {
        // The Close that follows has the close code.
        refusal = (closeCode) => errorOf(fail, phase, answer, closeCode)
      } else kept.push(data)
    }
    const onClose = ({ code, reason }: CloseFacts): void =>
      end(refusal === undefined ? closeError(fail, phase, code, reason) : refusal(code))
    link.take({ message: onMessage, close: onClose })
    link.socket.send(message)
  })
}

/** The error that an `auth_error` stands for. */
export function errorOf(fail: Fail, phase: DialPhase, answer: Said, closeCode?: number): DialError {
  const { status, code, retryAfter } = answer
  const facts = { status: countIn(status) ?? 401, advice: adviceOf(code) }
  return fail('refused', { phase, closeCode, retryAfter: countIn(retryAfter), answer: facts })
}

export function countIn(value: unknown): number | undefined {
  return typeof value === 'number' && value >= 0 ? value : undefined
}
