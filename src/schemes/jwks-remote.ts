import type { FlattenedJWSInput, JSONWebKeySet, JWSHeaderParameters, LocalJWKSet } from 'jose'
import type { Clock } from '../core/clock.ts'
import { jose } from './jose.ts'
import { KeysUnavailable, type Keys } from './keys.ts'

/** Milliseconds throughout. */
export interface RemoteTimes {
  readonly timeout: number
  readonly maxAge: number
  readonly maxStale: number
  readonly cooldown: number
}

interface Loaded {
  readonly select: LocalJWKSet
  readonly text: string
  readonly fetchedAt: number
}

const MAX_BYTES = 2 ** 20
/** After a failed fetch the endpoint is left alone for this long. */
const RETRY = 5000

/**
 * The keys behind one URL. One instance belongs to one `jwt()`, so keys of two issuers never meet, whatever their `kid`.
 * No more than one fetch is under way at a time, and nothing in a token says where to fetch from.
 */
export class RemoteKeys implements Keys {
  readonly #url: URL
  readonly #times: RemoteTimes
  readonly #clock: Clock
  #loaded: Loaded | undefined
  #loading: Promise<void> | undefined
  #attemptedAt = -Infinity
  #failed: { readonly cause: unknown } | undefined
  generation = 0

  constructor(url: URL, times: RemoteTimes, clock: Clock) {
    this.#url = url
    this.#times = times
    this.#clock = clock
  }

  usableUntil(): number {
    return this.#loaded === undefined ? 0 : this.#loaded.fetchedAt + this.#times.maxStale
  }

  async find(header: JWSHeaderParameters, token: FlattenedJWSInput): ReturnType<LocalJWKSet> {
    const keys = await this.#usable()
    try {
      return await keys.select(header, token)
    } catch (error) {
      if (codeOf(error) !== 'ERR_JWKS_NO_MATCHING_KEY') throw error
      if (this.#mayReload()) await this.#reload()
      else if (this.#failed === undefined) throw error
    }
    if (this.#failed !== undefined) throw this.#unavailable()
    return (this.#loaded ?? keys).select(header, token)
  }

  /** Fresh keys where they can be had; stale ones while the endpoint fails; else a throw. */
  async #usable(): Promise<Loaded> {
    const { maxAge, maxStale } = this.#times
    if (!this.#loaded || this.#clock.now() >= this.#loaded.fetchedAt + maxAge) {
      const resting = this.#failed !== undefined && this.#clock.now() < this.#attemptedAt + RETRY
      if (this.#loading !== undefined || !resting) await this.#reload()
    }
    if (this.#loaded && this.#clock.now() < this.#loaded.fetchedAt + maxStale) return this.#loaded
    throw this.#unavailable()
  }

  #mayReload(): boolean {
    return this.#loading !== undefined || this.#clock.now() >= this.#attemptedAt + this.#times.cooldown
  }

  #unavailable(): KeysUnavailable {
    return new KeysUnavailable('The keys of the issuer could not be fetched.', { cause: this.#failed?.cause })
  }

  /** Settles when an attempt is over, well or not. */
  #reload(): Promise<void> {
    this.#loading ??= this.#attempt().finally(() => {
      this.#loading = undefined
    })
    return this.#loading
  }

  async #attempt(): Promise<void> {
    this.#attemptedAt = this.#clock.now()
    try {
      const text = await fetchText(this.#url, this.#times.timeout)
      const { createLocalJWKSet } = await jose()
      const same = this.#loaded?.text === text
      const select = same && this.#loaded ? this.#loaded.select : createLocalJWKSet(parseKeySet(text))
      if (!same) this.generation++
      this.#loaded = { select, text, fetchedAt: this.#clock.now() }
      this.#failed = undefined
    } catch (cause) {
      this.#failed = { cause }
    }
  }
}

/** The body of a 200, of at most 1 MiB, from this very URL. The time-out covers head and body. */
async function fetchText(url: URL, timeout: number): Promise<string> {
  const signal = AbortSignal.timeout(timeout)
  const headers = { Accept: 'application/jwk-set+json, application/json' }
  const response = await fetch(url, { redirect: 'manual', signal, headers, credentials: 'omit' })
  if (response.status !== 200 || response.body === null) {
    await response.body?.cancel()
    throw new Error(`The key endpoint answered ${response.status}, not 200.`)
  }
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response.body) {
    size += chunk.byteLength
    if (size > MAX_BYTES) throw new Error(`The key endpoint sent more than ${MAX_BYTES} bytes.`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** An error of `JSON.parse` would quote the text; ours does not. */
function parseKeySet(text: string): JSONWebKeySet {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    value = undefined
  }
  if (isKeySet(value)) return value
  throw new Error('The key endpoint sent no JSON Web Key Set.')
}

function isKeySet(value: unknown): value is JSONWebKeySet {
  return typeof value === 'object' && value !== null && 'keys' in value && Array.isArray(value.keys)
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}
