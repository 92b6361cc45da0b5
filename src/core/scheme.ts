import type { Handshake } from './handshake.ts'
import type { IdentityInput } from './identity.ts'
import type { Waiting } from './waiting.ts'
import type { RefusalCode } from './refusals.ts'

/** What a scheme found. *Absent* (no credential of this kind was sent) and *refused* (a wrong one was) never mix. */
export type SchemeResult<Claims = unknown> =
  | { readonly type: 'absent' }
  | {
      readonly type: 'refused'
      readonly code: Extract<
        RefusalCode,
        'invalid_credential' | 'expired_credential' | 'verifier_busy' | 'verifier_unavailable'
      >
      /** For events only. */
      readonly cause?: unknown
    }
  | { readonly type: 'identity'; readonly identity: IdentityInput<Claims> }

/** What a scheme may read: header fields and the peer. The same on a handshake and on plain HTTP. */
export type SchemeRequest = Pick<Handshake, 'headers' | 'peer'>

/** Built-in verification of one kind of credential. Made by the functions of `gate101/schemes`. */
export interface Scheme<Claims = unknown> {
  /** Also the `issuer` of its identities, where the credential itself names none. */
  readonly name: string
  /** Lower-case names of the header fields that carry its credential. */
  readonly headers: readonly string[]
  /**
   * Whether the request carries a credential of this scheme's kind, good or bad. Reads headers only and consumes nothing:
   * all schemes are asked before the first one verifies.
   */
  present(request: SchemeRequest): boolean
  /** Value of `WWW-Authenticate` (RFC 9110 section 11.6.1) for a refusal with this code. */
  challenge(code: RefusalCode): string
  /** Never throws for a bad credential; a throw means that the scheme itself failed and refuses with 503. */
  verify(request: SchemeRequest, waiting: Waiting): SchemeResult<Claims> | Promise<SchemeResult<Claims>>
}
