import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto'
import { configError } from './options.ts'

/** The cost of one password hash (RFC 7914): memory is 128 * N * r bytes, time grows with N * r * p. */
interface Cost {
  readonly N: number
  readonly r: number
  readonly p: number
}

/** A stored password hash. */
export interface PasswordHash extends Cost {
  readonly salt: Buffer
  readonly hash: Buffer
}

/** 32 MiB and about 0.2 s of one core: OWASP's row for 32 MiB. */
const DEFAULT_COST: Cost = { N: 2 ** 15, r: 8, p: 3 }
const FORM = /^scrypt\$(\d{1,7})\$(\d{1,2})\$(\d{1,2})\$([A-Za-z0-9_-]+)\$([A-Za-z0-9_-]+)$/
const MAX_MEMORY = 256 * 2 ** 20
const MAX_PASSWORD = 4096

/**
 * Hashes a password for the option `users` of `basic()`: `scrypt$N$r$p$salt$hash` (RFC 7914), N = 32768, r = 8, p = 3,
 * a random salt of 16 bytes and a hash of 32 bytes, both in base64url. The password is normalised to NFC (RFC 7617
 * section 2.1) and has 1 to 4096 characters.
 *
 * @throws Gate101Error `GATE101_CONFIG` when the password is empty or too long.
 * @example
 * ```ts
 * basic({ users: { demo: await hashPassword('demo') } })
 * ```
 */
export async function hashPassword(password: string): Promise<string> {
  if (typeof password !== 'string' || password === '' || password.length > MAX_PASSWORD) {
    throw configError(`A password has 1 to ${MAX_PASSWORD} characters.`)
  }
  const salt = randomBytes(16)
  const hash = await derive(password, { ...DEFAULT_COST, salt, hash: Buffer.alloc(32) })
  const { N, r, p } = DEFAULT_COST
  return ['scrypt', N, r, p, salt.toString('base64url'), hash.toString('base64url')].join('$')
}

/**
 * Reads the text form. Bounds: N a power of two from 2^14, r 8 to 32, p 1 to 16, at most 256 MiB; salt 16 to 64 bytes,
 * hash 32 to 64 bytes. The text itself is never part of an error.
 */
export function parsePasswordHash(text: unknown): PasswordHash | undefined {
  const parts = typeof text === 'string' ? FORM.exec(text) : null
  if (parts === null) return undefined
  const [N, r, p] = [Number(parts[1]), Number(parts[2]), Number(parts[3])]
  const salt = Buffer.from(parts[4] ?? '', 'base64url')
  const hash = Buffer.from(parts[5] ?? '', 'base64url')
  const shaped = within(salt.length, 16, 64) && within(hash.length, 32, 64) && Number.isInteger(Math.log2(N))
  const bounded = N >= 2 ** 14 && within(r, 8, 32) && within(p, 1, 16) && 128 * N * r <= MAX_MEMORY
  return shaped && bounded ? { N, r, p, salt, hash } : undefined
}

/** A hash that no password has, at the same cost: what an unknown user is compared with. */
export function dummyLike(cost: Cost): PasswordHash {
  return { N: cost.N, r: cost.r, p: cost.p, salt: randomBytes(16), hash: randomBytes(32) }
}

/** Whether the password has this hash; the comparison takes constant time. */
export async function matchesPassword(password: string, stored: PasswordHash): Promise<boolean> {
  return timingSafeEqual(await derive(password, stored), stored.hash)
}

function derive(password: string, { N, r, p, salt, hash }: PasswordHash): Promise<Buffer> {
  const maxmem = 128 * r * (N + p + 2) + 2 ** 20
  const secret = Buffer.from(password.normalize('NFC'))
  return new Promise<Buffer>((resolve, reject) => {
    scrypt(secret, salt, hash.length, { N, r, p, maxmem }, (error, derived) => {
      secret.fill(0)
      if (error === null) resolve(derived)
      else reject(error)
    })
  })
}

function within(value: number, min: number, max: number): boolean {
  return value >= min && value <= max
}
