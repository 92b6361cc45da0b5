import type { Waiting } from '../core/waiting.ts'
import { createHmac, hash as sha, randomBytes, timingSafeEqual } from 'node:crypto'
import { valueOf } from '../core/handshake.ts'
import { toIdentity, type IdentityInput } from '../core/identity.ts'
import type { Scheme, SchemeResult } from '../core/scheme.ts'
import { MAX_CREDENTIAL } from './authorization.ts'
import { checkRealm, quoted } from './challenge.ts'
import { checkFunction, checkName, checkOneOf, checkOptions, configError, isList } from './options.ts'
import { fromCallback, invalid, withFields } from './results.ts'

type KeyOrHash =
  | { readonly key: string; readonly hash?: undefined }
  /** As {@link hashApiKey} writes it. */
  | { readonly hash: string; readonly key?: undefined }

/** One key and who it belongs to. */
export type ApiKeyEntry<Claims = unknown> = KeyOrHash & IdentityInput<Claims>

/** Options of {@link apiKey}: exactly one of `keys` and `lookup`. */
export interface ApiKeyOptions<Claims = unknown> {
  /** Issuer of the identities. Default `apiKey`. */
  readonly name?: string
  /** Name of the header field. Default `x-api-key`. `authorization`, `cookie` and framing fields are not allowed. */
  readonly header?: string
  /** Shown in `WWW-Authenticate`. Printable ASCII. Default `gate101`. */
  readonly realm?: string
  /** The keys. Plain keys are hashed at once and not kept; a key has 8 to 8192 printable ASCII characters, no space. */
  readonly keys?: ReadonlyArray<ApiKeyEntry<Claims>>
  /** Finds the owner of a key by the key's hash, `sha256:<base64url>`; `null` where there is none. */
  readonly lookup?: (
    hash: string,
    signal: AbortSignal,
  ) => IdentityInput<Claims> | null | Promise<IdentityInput<Claims> | null>
}

interface Owner<Claims> {
  readonly digest: Buffer
  readonly identity: IdentityInput<Claims>
}

const KEY = /^[\x21-\x7e]+$/
const MIN_KEY = 8
const HASH = /^sha256:([A-Za-z0-9_-]{43})$/
const FIELD_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const NOT_FOR_KEYS = new Set([
  'authorization',
  'connection',
  'content-length',
  'cookie',
  'forwarded',
  'host',
  'keep-alive',
  'origin',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'x-real-ip',
])

/** The same on all nodes. Of a key that a machine has drawn, its hash says nothing. */
const ID_OF = 'gate101 id of an API key'

/**
 * The text form in which a key is stored: `sha256:` and the unpadded base64url of the SHA-256 of the key. A plain hash
 * suits keys that a machine made at random (128 bits or more); it does not protect a key that a person thought up.
 *
 * @throws Gate101Error `GATE101_CONFIG` when the key is shorter than 8 characters or not printable ASCII.
 * @example
 * ```ts
 * hashApiKey('test_api_key') // 'sha256:Xex-HD…'
 * ```
 */
export function hashApiKey(key: string): string {
  if (typeof key !== 'string' || !KEY.test(key) || key.length < MIN_KEY || key.length > MAX_CREDENTIAL) {
    throw configError(`An API key has ${MIN_KEY} to ${MAX_CREDENTIAL} printable ASCII characters and no space.`)
  }
  return textOf(digestOf(key))
}

/**
 * API keys in a header field of their own.
 *
 * `credential` of an identity is, where none is given, an id that is the same for one key as long as this process
 * lives. It is made with a random secret, so that it tells nothing about the key; give an id of your own where the
 * credential is revoked from another node or named in logs.
 *
 * @throws Gate101Error `GATE101_CONFIG` when the options are wrong, `GATE101_IDENTITY` when an entry's identity is.
 * @example
 * ```ts
 * apiKey({ keys: [{ key: 'test_api_key', subject: 'demo' }] })
 * apiKey({ header: 'x-service-key', lookup: (hash) => db.keys.findOwner(hash) })
 * ```
 */
export function apiKey<Claims = unknown>(options: ApiKeyOptions<Claims>): Scheme<Claims> {
  checkOptions('apiKey()', options, ['name', 'header', 'realm', 'keys', 'lookup'])
  checkOneOf('apiKey()', options, ['keys', 'lookup'])
  const name = checkName('apiKey()', options.name, 'apiKey')
  const field = checkHeader(options.header ?? 'x-api-key')
  const header = field.toLowerCase()
  const find = options.lookup === undefined ? fromKeys(name, options.keys ?? []) : fromLookup(options.lookup)
  const realm = quoted(checkRealm('apiKey()', options.realm) ?? 'gate101')
  const challenge = `ApiKey realm=${realm}, header=${quoted(field)}`
  return {
    name,
    headers: [header],
    present: (request) => valueOf(request, header) !== undefined,
    challenge: () => challenge,
    verify(request, waiting) {
      const key = valueOf(request, header)
      if (key === undefined) return { type: 'absent' }
      if (key.length > MAX_CREDENTIAL || !KEY.test(key)) return invalid('apiKey: not a possible key')
      return find(digestOf(key), waiting)
    },
  }
}

type Find<Claims> = (digest: Buffer, waiting: Waiting) => SchemeResult<Claims> | Promise<SchemeResult<Claims>>

function fromKeys<Claims>(name: string, entries: ReadonlyArray<ApiKeyEntry<Claims>>): Find<Claims> {
  if (!isList(entries) || entries.length === 0) throw configError('apiKey(): keys must be a non-empty array.')
  const owners = new Map<string, Owner<Claims>>()
  for (const entry of entries) {
    const owner = ownerOf(name, entry)
    const hash = textOf(owner.digest)
    if (owners.has(hash)) throw configError(`apiKey(): keys has the same key twice (subject "${entry.subject}").`)
    owners.set(hash, owner)
  }
  const nobody = randomBytes(32)
  return (digest) => {
    const owner = owners.get(textOf(digest))
    const same = timingSafeEqual(owner?.digest ?? nobody, digest)
    return owner !== undefined && same ? { type: 'identity', identity: owner.identity } : invalid('apiKey: unknown key')
  }
}

function fromLookup<Claims>(lookup: NonNullable<ApiKeyOptions<Claims>['lookup']>): Find<Claims> {
  checkFunction('apiKey(): lookup', lookup)
  return async (digest, waiting) => {
    const found = await lookup(textOf(digest), waiting.signal)
    const result = fromCallback(found, 'apiKey: unknown key')
    if (result.type !== 'identity') return result
    return { type: 'identity', identity: withCredential(result.identity, digest) }
  }
}

function ownerOf<Claims>(name: string, entry: ApiKeyEntry<Claims>): Owner<Claims> {
  const { key, hash, ...identity } = entry
  if ((key === undefined) === (hash === undefined)) {
    throw configError('apiKey(): each entry of keys needs exactly one of key and hash.')
  }
  const digest = parseHash(hash ?? hashApiKey(key))
  return { digest, identity: toIdentity(withCredential(identity, digest), name) }
}

function withCredential<Claims>(identity: IdentityInput<Claims>, digest: Buffer): IdentityInput<Claims> {
  if (identity.credential !== undefined && identity.credential !== null) return identity
  const id = createHmac('sha256', ID_OF).update(digest).digest('base64url').slice(0, 16)
  return withFields(identity, { credential: `key_${id}` })
}

function parseHash(hash: string): Buffer {
  const digest = Buffer.from(HASH.exec(hash)?.[1] ?? '', 'base64url')
  if (digest.length !== 32 || textOf(digest) !== hash) {
    throw configError('apiKey(): hash must be "sha256:" and 43 base64url characters, as hashApiKey() writes it.')
  }
  return digest
}

function digestOf(key: string): Buffer {
  return sha('sha256', key, 'buffer')
}

function textOf(digest: Buffer): string {
  return `sha256:${digest.toString('base64url')}`
}

function checkHeader(header: string): string {
  const lower = typeof header === 'string' ? header.toLowerCase() : ''
  const framing = /^(?:sec-|x-forwarded-|content-)/.test(lower) || NOT_FOR_KEYS.has(lower)
  if (FIELD_NAME.test(lower) && lower.length <= 64 && !framing) return header
  throw configError(
    'apiKey(): header must be a field name of its own, such as x-api-key; for Authorization use bearer().',
  )
}
