import { toIdentity, type IdentityInput } from '../core/identity.ts'
import type { Scheme } from '../core/scheme.ts'
import { untilAborted } from './abort.ts'
import { credentialsOf, MAX_CREDENTIAL, namesScheme } from './authorization.ts'
import { checkRealm, quoted } from './challenge.ts'
import { BUSY, Limiter } from './limiter.ts'
import { checkFunction, checkName, checkNumber, checkOneOf, checkOptions, configError } from './options.ts'
import { ABSENT, fromCallback, invalid } from './results.ts'
import { dummyLike, matchesPassword, parsePasswordHash, type PasswordHash } from './scrypt.ts'

/** One user: the password's hash as `hashPassword()` writes it, and the identity. `subject` is the username by default. */
export type BasicUser<Claims = unknown> = Omit<IdentityInput<Claims>, 'subject'> & {
  readonly hash: string
  readonly subject?: string
}

/** Options of {@link basic}: exactly one of `users` and `verify`. */
export interface BasicOptions<Claims = unknown> {
  /** Issuer of the identities. Default `basic`. */
  readonly name?: string
  /** Shown to the person who logs in. Printable ASCII. Default `gate101`. */
  readonly realm?: string
  /** The users, by name or as a list. Give all hashes the same cost, so that none answers faster than another. */
  readonly users?:
    | Readonly<Record<string, string | BasicUser<Claims>>>
    | ReadonlyArray<BasicUser<Claims> & { readonly username: string }>
  /** Who this is, or `null`. A throw refuses with 503. Let an unknown user cost as much time as a wrong password. */
  readonly verify?: (
    username: string,
    password: string,
    signal: AbortSignal,
  ) => IdentityInput<Claims> | null | Promise<IdentityInput<Claims> | null>
  /**
   * Verifications at the same time, 1 to 10000. Default 64 with `verify`, 2 with `users`: each scrypt holds one of the
   * four threads that Node also needs for files and name look-ups.
   */
  readonly concurrency?: number
  /** Requests that wait for their turn, 0 to 100000; more are refused with `verifier_busy`. Default 256, 32 with `users`. */
  readonly queue?: number
}

type Verify<Claims> = (
  username: string,
  password: string,
  signal: AbortSignal,
) => Promise<IdentityInput<Claims> | null | undefined>

const TOKEN68 = /^[A-Za-z0-9+/]+={0,2}$/
// oxlint-disable-next-line no-control-regex
const CONTROL = /[\x00-\x1f\x7f]/

/**
 * `Authorization: Basic` (RFC 7617) in UTF-8. A password may hold colons, a username may not; control characters, an
 * empty username and anything that is not canonical base64 are refused. Passwords are not kept in any cache.
 *
 * @throws Gate101Error `GATE101_CONFIG` when the options are wrong, `GATE101_IDENTITY` when a user's identity is.
 * @example
 * ```ts
 * basic({ realm: 'Demo', users: { demo: await hashPassword('demo') } })
 * basic({ verify: (username, password) => accounts.check(username, password) })
 * ```
 */
export function basic<Claims = unknown>(options: BasicOptions<Claims>): Scheme<Claims> {
  checkOptions('basic()', options, ['name', 'realm', 'users', 'verify', 'concurrency', 'queue'])
  checkOneOf('basic()', options, ['users', 'verify'])
  const name = checkName('basic()', options.name, 'basic')
  const hashed = options.verify === undefined
  const limiter = limiterOf(options, hashed)
  const verify: Verify<Claims> = hashed ? fromUsers(name, options.users ?? {}) : fromVerify(options.verify)
  const challenge = `Basic realm=${quoted(checkRealm('basic()', options.realm) ?? 'gate101')}, charset="UTF-8"`
  return {
    name,
    headers: ['authorization'],
    present: (request) => namesScheme(request, 'basic'),
    challenge: () => challenge,
    async verify(request, { signal }) {
      const text = credentialsOf(request, 'basic')
      if (text === undefined) return ABSENT
      const pair = decode(text)
      if (pair === undefined) return invalid('basic: not user-pass of RFC 7617')
      const found = await limiter.run(() => verify(pair.username, pair.password, signal), signal)
      if (found === BUSY) return { type: 'refused', code: 'verifier_busy' }
      return fromCallback(found, 'basic: unknown user or wrong password')
    },
  }
}

function limiterOf(options: BasicOptions, hashed: boolean): Limiter {
  const { concurrency, queue } = options
  return new Limiter(
    checkNumber('basic(): concurrency', concurrency, { min: 1, max: 10_000, fallback: hashed ? 2 : 64, whole: true }),
    checkNumber('basic(): queue', queue, { min: 0, max: 100_000, fallback: hashed ? 32 : 256, whole: true }),
  )
}

/** `user-id ":" password` (RFC 7617 section 2); undefined where it is not that. */
function decode(text: string): { readonly username: string; readonly password: string } | undefined {
  if (text.length > MAX_CREDENTIAL || !TOKEN68.test(text)) return undefined
  const bytes = Buffer.from(text, 'base64')
  if (bytes.toString('base64') !== text) return undefined
  let pair: string
  try {
    pair = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return undefined
  } finally {
    bytes.fill(0)
  }
  const colon = pair.indexOf(':')
  if (colon < 1 || CONTROL.test(pair)) return undefined
  return { username: pair.slice(0, colon), password: pair.slice(colon + 1) }
}

/** A callback that never settles gives its slot back when the signal aborts. */
function fromVerify<Claims>(verify: BasicOptions<Claims>['verify']): Verify<Claims> {
  checkFunction('basic(): verify', verify)
  return async (username, password, signal) => untilAborted(verify?.(username, password, signal), signal)
}

interface KnownUser<Claims> {
  readonly stored: PasswordHash
  readonly identity: IdentityInput<Claims>
}

function fromUsers<Claims>(name: string, users: Users<Claims>): Verify<Claims> {
  const known = new Map<string, KnownUser<Claims>>()
  for (const [username, user] of entriesOf(users)) {
    const id = checkUsername(username)
    if (known.has(id)) throw configError(`basic(): user "${id}" is there twice.`)
    known.set(id, knownUser(name, id, user))
  }
  const [first] = known.values()
  if (first === undefined) throw configError('basic(): users must hold at least one user.')
  const dummy = dummyLike(first.stored)
  return async (username, password) => {
    const user = known.get(username.normalize('NFC'))
    const same = await matchesPassword(password, user?.stored ?? dummy)
    return user !== undefined && same ? user.identity : null
  }
}

type Users<Claims> = NonNullable<BasicOptions<Claims>['users']>
type NamedUser<Claims> = BasicUser<Claims> & { readonly username: string }

function isNamed<Claims>(users: Users<Claims>): users is ReadonlyArray<NamedUser<Claims>> {
  return Array.isArray(users)
}

function entriesOf<Claims>(users: Users<Claims>): ReadonlyArray<readonly [string, string | BasicUser<Claims>]> {
  if (typeof users !== 'object') throw configError('basic(): users must be a record or an array.')
  return isNamed(users) ? users.map(({ username, ...user }) => [username, user]) : Object.entries(users)
}

function knownUser<Claims>(name: string, username: string, user: string | BasicUser<Claims>): KnownUser<Claims> {
  const { hash, ...identity }: Partial<BasicUser<Claims>> = typeof user === 'string' ? { hash: user } : user
  const stored = parsePasswordHash(hash)
  if (stored === undefined) {
    throw configError(`basic(): the hash of user "${username}" is not what hashPassword() writes.`)
  }
  const input: IdentityInput<Claims> = { ...identity, subject: identity.subject ?? username }
  return { stored, identity: toIdentity(input, name) }
}

function checkUsername(username: unknown): string {
  if (typeof username === 'string' && username !== '' && !username.includes(':') && !CONTROL.test(username)) {
    return username.normalize('NFC')
  }
  throw configError('basic(): a username is not empty and has no colon and no control character.')
}
