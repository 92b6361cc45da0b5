import { createSecretKey, hkdfSync, randomBytes, type KeyObject } from 'node:crypto'
import { Gate101Error } from '../core/errors.ts'

const MIN_BYTES = 32
/** What somebody makes up is tried with each of them. */
export const MAX_SECRETS = 4
/** Fewer different bytes than this, or a shorter period, and the secret was typed, not drawn. */
const MIN_DIFFERENT = 6
const MIN_PERIOD = 17
const MIN_UNKNOWN = 16
const KNOWN_WORDS =
  /change|replace|this|please|your|keyboard|cat|secret|password|passphrase|passw0rd|super|very|long|random|string|example|sample|placeholder|default|insecure|development|production|testing|test|token|session|cookie|key|here|with|must|least|characters?|bytes?|and|the|for|not|use|me|my|to|in|at|be|is|a/gi

/** One secret, which is never used itself. Shows nothing of it in `inspect` and JSON. */
export interface SecretKey {
  /** A key of 32 bytes for one purpose (HKDF-SHA-256, RFC 5869). `label` names the purpose. */
  derive(label: string, salt?: Uint8Array): KeyObject
}

/** The keys of a gate. */
export interface Keys {
  /** Makes what is new. */
  readonly first: SecretKey
  /** All of them verify, the first among them: so a secret can be exchanged while it is in use. */
  readonly all: readonly SecretKey[]
}

class Secret implements SecretKey {
  readonly #key: KeyObject

  constructor(bytes: Uint8Array) {
    this.#key = createSecretKey(bytes)
  }

  derive(label: string, salt: Uint8Array = new Uint8Array()): KeyObject {
    return createSecretKey(new Uint8Array(hkdfSync('sha256', this.#key, salt, `gate101 ${label}`, 32)))
  }
}

/**
 * Reads the option `secret`: one secret or a list, each a string or bytes. Random for this process where it is undefined.
 *
 * @throws Gate101Error `GATE101_CONFIG` for fewer than 32 bytes, and for what was not drawn at random.
 */
export function readSecret(option: unknown): Keys {
  const given = option === undefined ? [randomBytes(MIN_BYTES)] : Array.isArray(option) ? option : [option]
  const all = given.map((one: unknown) => new Secret(readBytes(one)))
  const [first] = all
  if (first === undefined) throw wrong('must not be an empty list.')
  if (all.length > MAX_SECRETS) throw wrong(`must not be a list of more than ${MAX_SECRETS}.`)
  return Object.freeze({ first, all: Object.freeze(all) })
}

function readBytes(given: unknown): Uint8Array {
  if (typeof given !== 'string' && !(given instanceof Uint8Array))
    throw wrong('must be a string or a Uint8Array, or a list of these.')
  const bytes = typeof given === 'string' ? Buffer.from(given, 'utf8') : given
  if (bytes.length < MIN_BYTES) throw wrong(`must have at least ${MIN_BYTES} bytes (got ${bytes.length}).`)
  if (isTyped(bytes)) throw wrong('must be random, not an example or a pattern.')
  return bytes
}

function isTyped(bytes: Uint8Array): boolean {
  if (new Set(bytes).size < MIN_DIFFERENT || periodOf(bytes) < MIN_PERIOD) return true
  const steps = bytes.filter((byte, n) => n > 0 && Math.abs(byte - (bytes[n - 1] ?? 0)) === 1).length
  if (steps > bytes.length / 2) return true
  const text = Buffer.from(bytes).toString('latin1')
  if (!/^[\x20-\x7e]+$/.test(text)) return false
  return text.replaceAll(KNOWN_WORDS, '').replaceAll(/[ ._!-]+|(.)\1{2,}/g, '').length < MIN_UNKNOWN
}

/** How far the bytes must be moved until they fit on themselves. */
function periodOf(bytes: Uint8Array): number {
  for (let period = 1; period < bytes.length; period++) {
    if (bytes.every((byte, n) => n < period || byte === bytes[n - period])) return period
  }
  return bytes.length
}

function wrong(what: string): Gate101Error {
  return new Gate101Error(
    'GATE101_CONFIG',
    `createGate: secret ${what} Make one with: node -p "crypto.randomBytes(32).toString('base64url')"`,
  )
}
