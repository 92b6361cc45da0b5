import type { CryptoKey, FlattenedJWSInput, JWSHeaderParameters, KeyObject } from 'jose'

/** Where a `jwt()` gets the key of a token from. */
export interface Keys {
  /** Changes whenever the keys do. */
  readonly generation: number
  /** Milliseconds since the epoch until which the present keys may be used. */
  usableUntil(): number
  /** Rejects with {@link KeysUnavailable}, or with an error of `jose` where no key fits. */
  find(header: JWSHeaderParameters, token: FlattenedJWSInput): Promise<CryptoKey | KeyObject>
}

/** The issuer's keys cannot be had just now; says nothing about the token. */
export class KeysUnavailable extends Error {
  override readonly name = 'KeysUnavailable'
}
