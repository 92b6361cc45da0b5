import type { KeyObject } from 'node:crypto'
import { configError } from './options.ts'

type Fits = (key: KeyObject) => boolean

const rsa: Fits = (key) => key.asymmetricKeyType === 'rsa' && (key.asymmetricKeyDetails?.modulusLength ?? 0) >= 2048
const curve =
  (name: string): Fits =>
  (key) =>
    key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === name
const secret =
  (bytes: number): Fits =>
  (key) =>
    key.type === 'secret' && (key.symmetricKeySize ?? 0) >= bytes
const ed25519: Fits = (key) => key.asymmetricKeyType === 'ed25519'

/** What each `alg` (RFC 7518, RFC 8037) asks of its key. */
const ALGORITHMS: ReadonlyMap<string, Fits> = new Map([
  ['HS256', secret(32)],
  ['HS384', secret(48)],
  ['HS512', secret(64)],
  ['RS256', rsa],
  ['RS384', rsa],
  ['RS512', rsa],
  ['PS256', rsa],
  ['PS384', rsa],
  ['PS512', rsa],
  ['ES256', curve('prime256v1')],
  ['ES384', curve('secp384r1')],
  ['ES512', curve('secp521r1')],
  ['EdDSA', ed25519],
  ['Ed25519', ed25519],
])

export function isSymmetric(algorithm: string): boolean {
  return algorithm.startsWith('HS')
}

/** One verifier takes secrets or public keys, never both: else a public key could be used as a secret (RFC 8725 2.1). */
export function checkAlgorithms(algorithms: readonly string[]): readonly string[] {
  if (!Array.isArray(algorithms) || algorithms.length === 0) {
    throw configError("jwt(): algorithms must be a non-empty array, such as ['RS256'].")
  }
  for (const algorithm of algorithms as readonly unknown[]) {
    if (typeof algorithm === 'string' && ALGORITHMS.has(algorithm)) continue
    throw configError(
      `jwt(): algorithms has ${JSON.stringify(algorithm)}. Known: ${[...ALGORITHMS.keys()].join(', ')}.`,
    )
  }
  if (new Set(algorithms.map(isSymmetric)).size > 1) {
    throw configError('jwt(): algorithms mixes HS* with public-key algorithms. Make one jwt() for each.')
  }
  return [...algorithms]
}

export function checkKeyFits(key: KeyObject, algorithms: readonly string[]): void {
  if (key.type === 'private') throw configError('jwt(): key is a private key. Give the public key.')
  for (const algorithm of algorithms) {
    if (ALGORITHMS.get(algorithm)?.(key) === true) continue
    const need = isSymmetric(algorithm)
      ? `a secret of at least ${algorithm.slice(2)} bits`
      : 'a public key of its own kind'
    throw configError(`jwt(): key does not fit ${algorithm}, which needs ${need} (RSA: 2048 bits or more).`)
  }
}
