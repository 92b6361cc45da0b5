import { systemClock, type Clock } from '../core/clock.ts'
import { checkAlgorithms } from './jwt-algorithms.ts'
import { VerifiedTokens } from './jwt-cache.ts'
import type { ClaimRules } from './jwt-claims.ts'
import { keysOf } from './jwt-keys.ts'
import type { JwtOptions } from './jwt-options.ts'
import { normalType } from './jwt-token.ts'
import type { Keys } from './keys.ts'
import { checkNumber, checkOptions, configError, isList } from './options.ts'

/** The checked options of one `jwt()`. */
export interface Verifier {
  readonly issuers: readonly string[]
  readonly audiences: readonly string[]
  readonly algorithms: readonly string[]
  readonly types: readonly string[] | undefined
  readonly rules: ClaimRules
  readonly keys: Keys
  readonly cache: VerifiedTokens | undefined
  readonly clock: Clock
}

export function verifierOf<Claims>(options: JwtOptions<Claims>): Verifier {
  const algorithms = checkAlgorithms(options.algorithms)
  const clock = options.clock ?? systemClock
  return {
    issuers: checkTexts('issuer', options.issuer),
    audiences: checkTexts('audience', options.audience),
    algorithms,
    types: options.typ === undefined ? undefined : checkTexts('typ', options.typ).map(normalType),
    rules: rulesOf(options),
    keys: keysOf(options, algorithms, clock),
    cache: cacheOf(options.cache),
    clock,
  }
}

function rulesOf<Claims>(options: JwtOptions<Claims>): ClaimRules {
  const { requireExp = true, maxTokenAge } = options
  if (typeof requireExp !== 'boolean') throw configError('jwt(): requireExp must be true or false.')
  const age = checkNumber('jwt(): maxTokenAge', maxTokenAge, { min: 1, max: 1e9, fallback: 0 })
  const required = Object.entries(options.requiredClaims ?? {})
  return {
    requireExp,
    clockTolerance: checkNumber('jwt(): clockTolerance', options.clockTolerance, { min: 0, max: 60, fallback: 5 }),
    maxTokenAge: maxTokenAge === undefined ? undefined : age,
    required: required.map(([claim, values]) => [claim, checkTexts(`requiredClaims.${claim}`, values)]),
  }
}

function cacheOf(cache: JwtOptions['cache']): VerifiedTokens | undefined {
  if (cache === false) return undefined
  checkOptions('jwt(): cache', cache ?? {}, ['size', 'maxAge'])
  const size = checkNumber('jwt(): cache.size', cache?.size, { min: 1, max: 1e6, fallback: 10_000, whole: true })
  const maxAge = checkNumber('jwt(): cache.maxAge', cache?.maxAge, { min: 1, max: 60, fallback: 60 })
  return new VerifiedTokens(size, maxAge * 1000)
}

function checkTexts(name: string, given: string | readonly string[]): readonly string[] {
  const texts = typeof given === 'string' ? [given] : given
  if (isList(texts) && texts.length > 0 && texts.every((text) => typeof text === 'string' && text !== '')) {
    return [...texts]
  }
  throw configError(`jwt(): ${name} must be a non-empty string, or a non-empty array of them.`)
}
