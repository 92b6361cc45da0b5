import { Gate101Error } from './errors.ts'

/**
 * Who a connection belongs to.
 *
 * @typeParam Claims - whatever else the app knows about the user.
 */
export interface Identity<Claims = unknown> {
  /** Who vouches for the subject: a JWT's `iss`, a scheme's name, or `app` where the app's middleware decided. */
  readonly issuer: string
  /** The user, unique within the issuer. Never empty. */
  readonly subject: string
  /** Id of the HTTP session that the user is logged in with. Not shown by `inspect` and JSON. */
  readonly session?: string | undefined
  /** Id of the key or token that was presented (a JWT's `jti`); never the key or token itself. */
  readonly credential?: string | undefined
  readonly issuedAt?: Date | null | undefined
  readonly expiresAt?: Date | null | undefined
  readonly tags?: readonly string[] | undefined
  readonly claims?: Claims | undefined
}

/** What `identify` and the schemes' callbacks return: an {@link Identity} in which `issuer` may be left out. */
export type IdentityInput<Claims = unknown> = Omit<Identity<Claims>, 'issuer'> & {
  readonly issuer?: string | undefined
}

/** Of any id, in characters. */
export const MAX_ID = 1024

function id(field: string, value: unknown): string {
  if (typeof value === 'number' && Number.isFinite(value)) return String(value)
  if (typeof value !== 'string' || value === '') {
    throw new Gate101Error(
      'GATE101_IDENTITY',
      `identity.${field} must be a non-empty string (got ${value === '' ? 'an empty one' : typeof value}).`,
    )
  }
  if (value.length > MAX_ID)
    throw new Gate101Error('GATE101_IDENTITY', `identity.${field} is longer than ${MAX_ID} characters.`)
  return value
}

function optionalId(field: string, value: unknown): string | undefined {
  return value === undefined || value === null ? undefined : id(field, value)
}

function time(field: string, value: unknown): Date | null {
  if (value === null || value === undefined) return null
  if (value instanceof Date && !Number.isNaN(value.getTime())) return new Date(value)
  const advice = typeof value === 'number' ? ' For a JWT time in seconds write new Date(exp * 1000).' : ''
  throw new Gate101Error('GATE101_IDENTITY', `identity.${field} must be a valid Date or null.${advice}`)
}

/** Session ids open doors: this one is read by name only, and stays out of `inspect`, JSON and spreads. */
class CheckedIdentity<Claims> implements Identity<Claims> {
  readonly issuer: string
  readonly subject: string
  readonly credential: string | undefined
  readonly issuedAt: Date | null
  readonly expiresAt: Date | null
  readonly tags: readonly string[] | undefined
  readonly claims: Claims | undefined
  readonly #session: string | undefined
  // Dates can be set by whoever reads them: what is decided by is kept apart.
  readonly #issuedAt: number | undefined
  readonly #expiresAt: number | undefined

  constructor(input: IdentityInput<Claims>, issuer: string) {
    this.issuer = id('issuer', input.issuer ?? issuer)
    this.subject = id('subject', input.subject)
    this.#session = optionalId('session', input.session)
    this.credential = optionalId('credential', input.credential)
    this.issuedAt = time('issuedAt', input.issuedAt)
    this.expiresAt = time('expiresAt', input.expiresAt)
    this.#issuedAt = this.issuedAt?.getTime()
    this.#expiresAt = this.expiresAt?.getTime()
    this.tags = input.tags === undefined ? undefined : Object.freeze(input.tags.map((tag) => id('tags', tag)))
    this.claims = input.claims
    Object.freeze(this)
  }

  get session(): string | undefined {
    return this.#session
  }

  /** Not so what only inherits from one. */
  static is<Claims>(input: IdentityInput<Claims>): input is CheckedIdentity<Claims> {
    return #session in input
  }

  static issuedAtOf(identity: Identity): number | undefined {
    return #issuedAt in identity ? identity.#issuedAt : identity.issuedAt?.getTime()
  }

  static expiresAtOf(identity: Identity): number | undefined {
    return #expiresAt in identity ? identity.#expiresAt : identity.expiresAt?.getTime()
  }

  /** Own fields alone, whatever it is told to show. */
  [Symbol.for('nodejs.util.inspect.custom')](): object {
    return Object.fromEntries(Object.entries(this))
  }
}

/** Milliseconds since the epoch; undefined where it is not known. */
export function issuedAtOf(identity: Identity): number | undefined {
  return CheckedIdentity.issuedAtOf(identity)
}

/** Milliseconds since the epoch; Infinity where it does not expire. */
export function expiresAtOf(identity: Identity): number {
  return CheckedIdentity.expiresAtOf(identity) ?? Infinity
}

/**
 * Checks and freezes what `identify` or a scheme returned.
 *
 * @throws Gate101Error `GATE101_IDENTITY` when a field has the wrong type.
 */
export function toIdentity<Claims>(input: IdentityInput<Claims>, issuer: string): Identity<Claims> {
  // Checked before, with its issuer: one object serves all connections of a key.
  return CheckedIdentity.is(input) ? input : new CheckedIdentity(input, issuer)
}
