import type { Identity } from './identity.ts'
import { REFUSALS, type RefusalCode } from './refusals.ts'

/** Header fields in the order and spelling in which they are written. */
export type HeaderPairs = ReadonlyArray<readonly [name: string, value: string]>

/** The handshake may upgrade. Only {@link accept} makes one: the private field cannot be forged by a look-alike. */
class Accept {
  readonly #brand = true
  readonly type = 'accept'
  readonly identity: Identity
  /** Headers that the middleware set, for the 101. */
  readonly headers: HeaderPairs

  constructor(identity: Identity, headers: HeaderPairs) {
    this.identity = identity
    this.headers = headers
    Object.freeze(this)
  }

  static made(value: object): boolean {
    return #brand in value && value.#brand
  }
}

/** The handshake is refused by gate101 itself. */
export interface Refuse {
  readonly type: 'refuse'
  readonly code: RefusalCode
  readonly status: number
  /** Header fields beyond those that every refusal has. */
  readonly headers: HeaderPairs
  /** For events only; never sent to the client. */
  readonly cause?: unknown
}

export type { Accept }

export function accept(identity: Identity, headers: HeaderPairs = []): Accept {
  return new Accept(identity, headers)
}

export function isAccept(decision: object): decision is Accept {
  return Accept.made(decision)
}

export function refuse(code: RefusalCode, headers: HeaderPairs = [], cause?: unknown): Refuse {
  return { type: 'refuse', code, status: REFUSALS[code].status, headers, cause }
}
