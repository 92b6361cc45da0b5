import { Gate101Error } from '../core/errors.ts'

export function configError(message: string, options?: ErrorOptions): Gate101Error {
  return new Gate101Error('GATE101_CONFIG', message, options)
}

/** Refuses what is no plain options object, and names it does not know: a misspelt option must not weaken anything. */
export function checkOptions(owner: string, options: unknown, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw configError(`${owner} takes one options object.`)
  }
  for (const name of Object.keys(options)) {
    if (!known.includes(name)) throw configError(`${owner}: unknown option "${name}". Known: ${known.join(', ')}.`)
  }
}

/** Exactly one of these options must be there. */
export function checkOneOf(owner: string, options: object, names: readonly string[]): void {
  const given = Object.entries(options)
    .filter(([name, value]) => names.includes(name) && value !== undefined)
    .map(([name]) => name)
  if (given.length === 1) return
  throw configError(`${owner} needs exactly one of ${names.join(', ')} (got ${given.join(', ') || 'none'}).`)
}

/** A finite number within bounds, or the default. */
export function checkNumber(
  name: string,
  value: number | undefined,
  bounds: { readonly min: number; readonly max: number; readonly fallback: number; readonly whole?: boolean },
): number {
  if (value === undefined) return bounds.fallback
  const kind = bounds.whole === true ? Number.isInteger(value) : Number.isFinite(value)
  if (!kind || value < bounds.min || value > bounds.max) {
    const noun = bounds.whole === true ? 'an integer' : 'a number'
    throw configError(`${name} must be ${noun} from ${bounds.min} to ${bounds.max}.`)
  }
  return value
}

/** Unlike `Array.isArray`, leaves the type of the value as it was declared. */
export function isList(value: unknown): boolean {
  return Array.isArray(value)
}

export function checkFunction(name: string, value: unknown): void {
  if (typeof value !== 'function') throw configError(`${name} must be a function.`)
}

export function checkName(owner: string, value: string | undefined, fallback: string): string {
  if (value === undefined) return fallback
  if (typeof value !== 'string' || value === '') throw configError(`${owner}: name must be a non-empty string.`)
  return value
}
