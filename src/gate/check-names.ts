import { Gate101Error } from '../core/errors.ts'

/** Refuses unknown names: a misspelt option would otherwise silently not protect. */
export function checkNames(where: string, given: object, known: readonly string[]): void {
  for (const name of Object.keys(given)) {
    if (!known.includes(name))
      throw new Gate101Error('GATE101_CONFIG', `${where}: unknown option "${name}". Known: ${known.join(', ')}.`)
  }
}

/** Whether it is an object with names, and no list or date. */
export function isRecord(given: unknown): given is object {
  if (typeof given !== 'object' || given === null) return false
  const prototype: unknown = Object.getPrototypeOf(given)
  return prototype === null || prototype === Object.prototype
}
