/**
 * Values as they stand in the text of a statement. A text without parameters may hold several statements: one transaction,
 * each with a snapshot of its own, in one round trip. So nothing may stand in it but digits, and what needs no quoting.
 */

/** A key, an id, a generation. */
export function word(value: string): string {
  if (!/^[A-Za-z0-9._-]+$/.test(value))
    throw new Error('A name is empty, or holds other characters than A-Z a-z 0-9 . _ -')
  return `'${value}'`
}

export function words(values: readonly string[]): string {
  for (const value of values) word(value)
  return `string_to_array('${values.join(',')}', ',')`
}

export function bytes(data: Uint8Array): string {
  return `decode('${Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('hex')}', 'hex')`
}

/** Some 3000 years in milliseconds; counts and numbers are far below. */
const MOST = 1e14

export function whole(value: number): string {
  if (Number.isNaN(value)) throw new Error('Not a number')
  return `${Math.max(0, Math.ceil(Math.min(value, MOST)))}`
}

/** When something is over, by the server's clock. */
export function after(ms: number): string {
  return `clock_timestamp() + ${whole(ms)} * interval '1 millisecond'`
}

/**
 * Begins a text of several statements. Whatever the session's defaults are: each statement sees what others have committed
 * before it, and waits for a lock no longer than a caller waits for an answer. Both end with the transaction.
 */
export const BEGIN = 'SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = 3000; '
