import type { Refuse } from '../core/decision.ts'
import type { Handshake } from '../core/handshake.ts'

/** What one road found in a handshake. Nothing is verified or consumed yet. */
export type RoadResult =
  | { readonly type: 'absent' }
  | {
      readonly type: 'found'
      /** The token or the ticket. */
      readonly credential: string
      /** The same handshake without it. */
      readonly handshake: Handshake
    }
  | Refuse
