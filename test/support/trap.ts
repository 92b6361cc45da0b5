import assert from 'node:assert/strict'

export interface Fault {
  readonly kind: 'uncaughtException' | 'unhandledRejection'
  readonly reason: unknown
}

export interface Trap {
  readonly faults: readonly Fault[]
  /** Takes the trap away and throws when it holds anything. */
  assertNone(): Promise<void>
}

/** One turn of the event loop in which pending rejections are reported. */
async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
}

/**
 * Records every fault that would end a process, from now until `assertNone()`.
 *
 * @example
 * ```ts
 * const trap = trapFaults()
 * after(() => trap.assertNone())
 * ```
 */
export function trapFaults(): Trap {
  const faults: Fault[] = []
  const onException = (reason: unknown): void => void faults.push({ kind: 'uncaughtException', reason })
  const onRejection = (reason: unknown): void => void faults.push({ kind: 'unhandledRejection', reason })
  process.on('uncaughtException', onException)
  process.on('unhandledRejection', onRejection)
  return {
    faults,
    async assertNone() {
      await turn()
      process.off('uncaughtException', onException)
      process.off('unhandledRejection', onRejection)
      const [first] = faults
      if (first === undefined) return
      const what = faults.map(({ kind, reason }) => `${kind}: ${String(reason)}`).join('\n')
      assert.fail(
        `${faults.length} fault(s) would have ended the process:\n${what}\n${first.reason instanceof Error ? first.reason.stack : ''}`,
      )
    },
  }
}
