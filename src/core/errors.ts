/** Codes of the errors that gate101 throws at its own caller (never at a client). */
export type Gate101ErrorCode =
  | 'GATE101_CONFIG'
  | 'GATE101_IDENTITY'
  | 'GATE101_NOT_ATTACHED'
  | 'GATE101_LISTENERS'
  | 'REVOCATION_NOT_DURABLE'

/**
 * A mistake in how gate101 is set up or called. The message says what is wrong and how to mend it.
 *
 * @example
 * ```ts
 * try { createGate({}) } catch (error) { error.code } // 'GATE101_CONFIG'
 * ```
 */
export class Gate101Error extends Error {
  override readonly name = 'Gate101Error'
  readonly code: Gate101ErrorCode

  constructor(code: Gate101ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** What was thrown, as text: anything can be thrown, also what has none. */
export function textOf(thrown: unknown): string {
  try {
    return String(thrown)
  } catch {
    return typeof thrown
  }
}
