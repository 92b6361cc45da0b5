import { createPublicKey, createSecretKey, KeyObject } from 'node:crypto'
import { types } from 'node:util'
import type { JSONWebKeySet, JWK } from 'jose'
import type { Clock } from '../core/clock.ts'
import { jose } from './jose.ts'
import { RemoteKeys } from './jwks-remote.ts'
import { checkKeyFits, isSymmetric } from './jwt-algorithms.ts'
import type { JwksFetchOptions, JwtOptions } from './jwt-options.ts'
import type { Keys } from './keys.ts'
import { checkNumber, checkOneOf, checkOptions, configError, isList } from './options.ts'

const NEVER = Number.POSITIVE_INFINITY

type KeyOptions = Pick<JwtOptions, 'jwksUrl' | 'jwksFetch' | 'jwks' | 'key'>

/** The source of keys that the options ask for; touches no network. */
export function keysOf(options: KeyOptions, algorithms: readonly string[], clock: Clock): Keys {
  checkOneOf('jwt()', options, ['jwksUrl', 'jwks', 'key'])
  if (options.key !== undefined) return fixedKey(options.key, algorithms)
  if (algorithms.some(isSymmetric)) {
    throw configError('jwt(): HS* needs the option key. A key set holds public keys, and a secret is not one.')
  }
  if (options.jwks !== undefined) return localKeys(options.jwks)
  return new RemoteKeys(checkUrl(options.jwksUrl ?? ''), timesOf(options.jwksFetch ?? {}), clock)
}

function fixedKey(given: NonNullable<JwtOptions['key']>, algorithms: readonly string[]): Keys {
  const key = toKeyObject(given)
  checkKeyFits(key, algorithms)
  const found = Promise.resolve(key)
  return { generation: 0, usableUntil: () => NEVER, find: () => found }
}

function toKeyObject(given: NonNullable<JwtOptions['key']>): KeyObject {
  try {
    if (given instanceof KeyObject) return given
    if (given instanceof Uint8Array) return createSecretKey(given)
    if (types.isCryptoKey(given)) return KeyObject.from(given)
    if (isJwk(given)) return fromJwk(given)
  } catch (cause) {
    throw configError('jwt(): key cannot be read.', { cause })
  }
  throw configError(
    'jwt(): key must be a KeyObject, CryptoKey, Uint8Array or JWK. For PEM text use createPublicKey(pem) of node:crypto.',
  )
}

function isJwk(given: object): given is JWK {
  return 'kty' in given && typeof given.kty === 'string'
}

function fromJwk(jwk: JWK): KeyObject {
  if (jwk.kty === 'oct') return createSecretKey(Buffer.from(jwk.k ?? '', 'base64url'))
  if ('d' in jwk) throw configError('jwt(): key is a private key. Give the public key.')
  return createPublicKey({ key: { ...jwk }, format: 'jwk' })
}

function localKeys(jwks: JSONWebKeySet): Keys {
  if (!isList(jwks?.keys) || jwks.keys.length === 0)
    throw configError('jwt(): jwks must be { keys: [ … ] } with a key.')
  for (const jwk of jwks.keys) {
    const open = typeof jwk === 'object' && jwk !== null && isJwk(jwk) && !('d' in jwk) && !('k' in jwk)
    if (!open) throw configError('jwt(): jwks may hold public keys only.')
  }
  const copy = structuredClone(jwks)
  let select: ReturnType<Awaited<ReturnType<typeof jose>>['createLocalJWKSet']> | undefined
  return {
    generation: 0,
    usableUntil: () => NEVER,
    async find(header, token) {
      select ??= (await jose()).createLocalJWKSet(copy)
      return select(header, token)
    },
  }
}

function checkUrl(given: string | URL): URL {
  const url = URL.canParse(String(given)) ? new URL(String(given)) : undefined
  const loopback = url !== undefined && /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/.test(url.hostname)
  const safe = url?.protocol === 'https:' || (url?.protocol === 'http:' && loopback)
  if (url === undefined || !safe || url.username !== '' || url.password !== '') {
    throw configError('jwt(): jwksUrl must be an https URL (http on loopback only) without username and password.')
  }
  return url
}

function timesOf(given: JwksFetchOptions): ConstructorParameters<typeof RemoteKeys>[1] {
  checkOptions('jwt(): jwksFetch', given, ['timeout', 'maxAge', 'maxStale', 'cooldown'])
  const seconds = (name: keyof JwksFetchOptions, min: number, max: number, fallback: number): number =>
    Math.round(checkNumber(`jwt(): jwksFetch.${name}`, given[name], { min, max, fallback }) * 1000)
  const maxAge = seconds('maxAge', 1, 86_400, 600)
  return {
    timeout: seconds('timeout', 0.01, 60, 5),
    maxAge,
    maxStale: Math.max(maxAge, seconds('maxStale', 1, 604_800, 3600)),
    cooldown: seconds('cooldown', 1, 3600, 30),
  }
}
