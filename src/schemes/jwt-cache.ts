import { hash } from 'node:crypto'
import type { JwtPayload } from './jwt-options.ts'

interface Entry {
  readonly payload: JwtPayload
  readonly generation: number
  /** Milliseconds since the epoch. */
  readonly until: number
}

/**
 * Tokens that were verified, by the SHA-256 of the whole token: two different tokens never meet, and no token is kept.
 * Tokens that were refused are not remembered.
 */
export class VerifiedTokens {
  readonly #size: number
  readonly #maxAge: number
  readonly #entries = new Map<string, Entry>()

  constructor(size: number, maxAge: number) {
    this.#size = size
    this.#maxAge = maxAge
  }

  get size(): number {
    return this.#entries.size
  }

  get(id: string, generation: number, now: number): JwtPayload | undefined {
    const entry = this.#entries.get(id)
    if (entry === undefined) return undefined
    if (entry.generation === generation && now < entry.until) return entry.payload
    this.#entries.delete(id)
    return undefined
  }

  set(id: string, payload: JwtPayload, generation: number, limit: number, now: number): void {
    this.#makeRoom(now)
    this.#entries.set(id, { payload, generation, until: Math.min(now + this.#maxAge, limit) })
  }

  /** The oldest are first in the map and, but for short-lived tokens, the first to lapse. */
  #makeRoom(now: number): void {
    for (const [id, entry] of this.#entries) {
      if (this.#entries.size < this.#size && now < entry.until) return
      this.#entries.delete(id)
    }
  }
}

export function tokenId(token: string): string {
  return hash('sha256', token, 'base64')
}
