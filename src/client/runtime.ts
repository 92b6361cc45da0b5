import type { DialError, DialFacts } from './dial-error.ts'
import type { HeaderMap } from './headers.ts'
import type { Link } from './link.ts'
import type { DialOptions, DialRequest, DialRoad } from './request.ts'
import type { Plan } from './road.ts'

/** What differs between Node and browsers. */
export interface Runtime {
  readonly canSendHeaders: boolean
  /** By preference. */
  readonly roads: readonly DialRoad[]
  /** Makes the error with the words that there are: texts are too large for the bundle of a browser. */
  fail(facts: DialFacts, options?: ErrorOptions): DialError
  /** What a relative URL is relative to. */
  readonly base: string | undefined
  /**
   * Looks closer at the options, and parts the headers that may be credentials from those that are surely none.
   * @throws DialError `bad_request`
   */
  check(shown: string, url: URL, options: DialOptions): { readonly headers: HeaderMap; readonly plain: HeaderMap }
  /** @throws DialError `bad_request` where HTTP cannot carry these */
  readonly checkHeaders?: (shown: string, headers: HeaderMap) => void
  /**
   * Opens one WebSocket.
   * @throws DialError; the code `unknown` asks for an explanation
   */
  connect(request: DialRequest, plan: Plan, credential: HeaderMap, signal: AbortSignal): Promise<Link>
  /** Finds out why a handshake failed, where `connect` cannot say it. */
  explain?(
    request: DialRequest,
    road: DialRoad,
    credential: HeaderMap | undefined,
    signal: AbortSignal,
  ): Promise<DialError>
}
