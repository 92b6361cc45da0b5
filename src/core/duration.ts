/** A span of time: milliseconds, or a whole number with its unit. */
export type Duration = number | `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`

const UNITS: ReadonlyMap<string, number> = new Map([
  ['ms', 1],
  ['s', 1000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
])

/**
 * Milliseconds; undefined for what is no duration.
 *
 * @example
 * ```ts
 * readDuration('90d') // 7776000000
 * ```
 */
export function readDuration(given: unknown): number | undefined {
  if (typeof given === 'number') return Number.isSafeInteger(given) && given >= 0 ? given : undefined
  const [, amount, unit] = typeof given === 'string' ? (/^(\d{1,12})(ms|s|m|h|d)$/.exec(given) ?? []) : []
  const factor = UNITS.get(unit ?? '')
  if (amount === undefined || factor === undefined) return undefined
  const ms = Number(amount) * factor
  return Number.isSafeInteger(ms) ? ms : undefined
}
