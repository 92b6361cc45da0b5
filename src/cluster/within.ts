import type { Clock } from '../core/clock.ts'

/** How long an engine may take for one answer (ms): a half-open connection never gives any. */
export const PATIENCE = 3000

/** The answer, or a rejection when it has not come in time. */
export async function within<T>(clock: Clock, ms: number, answer: Promise<T>): Promise<T> {
  let cancel = (): void => undefined
  const late = new Promise<never>((_resolve, reject) => {
    cancel = clock.after(ms, () => reject(new Error(`The cluster's engine gave no answer within ${ms} ms.`)))
  })
  try {
    return await Promise.race([answer, late])
  } finally {
    cancel()
  }
}
