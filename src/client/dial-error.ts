/**
 * Why {@link dial} failed, or why an open WebSocket ended.
 *
 * | code | meaning |
 * |---|---|
 * | `refused` | the server said no: see `status`, `phase`, `advice`, `headers`, `body` |
 * | `unreachable` | no answer: DNS, TCP or TLS failed, or the connection was lost |
 * | `timeout` | no answer within `timeout` |
 * | `aborted` | the caller's signal; its reason is the `cause` |
 * | `bad_response` | what came back is not HTTP, not a valid handshake, no ticket, or breaks the protocol |
 * | `bad_request` | the URL, a header, a protocol or an option is not valid; nothing was sent |
 * | `no_credentials` | `credentials()` threw (then that is the `cause`), or gave none for a connection that had some |
 * | `unknown` | a browser could not open the WebSocket and does not say why, nor could it be asked for |
 */
export type DialErrorCode =
  | 'refused'
  | 'unreachable'
  | 'timeout'
  | 'aborted'
  | 'bad_response'
  | 'bad_request'
  | 'no_credentials'
  | 'unknown'

/**
 * How far it got: `ticket` asking for a ticket, `handshake` the WebSocket handshake, `message` the answer to the first
 * message, `session` after the WebSocket was open, `renewal` asking for more time.
 */
export type DialPhase = 'ticket' | 'handshake' | 'message' | 'session' | 'renewal'

/** Header fields of an answer. Names are in lower case; only `set-cookie` is a list. */
export type DialHeaders = Readonly<Record<string, string | readonly string[] | undefined>>

/**
 * What gate101 says about a refusal, in its JSON body. The texts are those of the server: escape them where you show them.
 * Where the server sent the code alone (in a Close or an `auth_error`), the texts are empty in browsers.
 */
export interface DialAdvice {
  /** A code of `docs/errors.md`, or the app's own. */
  readonly error: string
  readonly message: string
  readonly fix: string
}

/** What a server answered that did not open the WebSocket. */
export interface DialAnswer {
  /** Undefined for a close code that stands for no status. */
  readonly status: number | undefined
  readonly headers?: DialHeaders | undefined
  readonly body?: string | undefined
  readonly advice?: DialAdvice | undefined
}

/** What is known of a failure. */
export interface DialFacts {
  readonly code: DialErrorCode
  /** Without user name, password and query. */
  readonly url: string
  /** Of `bad_request`: the option or rule at fault. */
  readonly what?: string
  readonly reason?: string | undefined
  /** @defaultValue 'handshake' */
  readonly phase?: DialPhase
  /** Where the code and the status do not say it. */
  readonly retryable?: boolean
  readonly retryAfter?: number | undefined
  readonly closeCode?: number | undefined
  readonly answer?: DialAnswer
}

/** Makes the error of a failure of one request. */
export type Fail = (code: DialErrorCode, facts?: Omit<DialFacts, 'code' | 'url'>, options?: ErrorOptions) => DialError

/**
 * {@link dial} could not open the WebSocket, or the WebSocket ended by more than a normal close.
 *
 * `message`, `inspect` and JSON hold nothing that may be a credential: not the headers, tickets and messages that were
 * sent, not the user name, password and query of the URL, and nothing that the server wrote (it may repeat what it got).
 * What the server wrote is there to be read by name.
 *
 * @example
 * ```ts
 * try {
 *   await dial('wss://api.example.com/live', { headers: { 'x-api-key': key } })
 * } catch (error) {
 *   if (error instanceof DialError && error.status === 401) console.error(error.advice?.fix)
 * }
 * ```
 */
export class DialError extends Error {
  override readonly name = 'DialError'
  declare readonly code: DialErrorCode
  /** The URL without user name, password and query; empty where it was not valid. */
  declare readonly url: string
  declare readonly phase: DialPhase
  /** The HTTP status of a refusal; also of one that came as a close code (4401 is 401) or in an `auth_error`. */
  declare readonly status: number | undefined
  /** The system's own code where there is one, such as `ECONNREFUSED` or `CERT_HAS_EXPIRED`. */
  declare readonly reason: string | undefined
  /** Whether the same attempt may succeed later. Not so for 401: that needs another credential. */
  declare readonly retryable: boolean
  /** Seconds to wait before the next attempt, where the server says so. */
  declare readonly retryAfter: number | undefined
  /** The close code, where the WebSocket was open already (or seemed so). */
  declare readonly closeCode: number | undefined
  readonly #answer: DialAnswer | undefined

  constructor(message: string, facts: DialFacts, options?: ErrorOptions) {
    super(message, options)
    const { code, url, phase = 'handshake', reason, closeCode, answer } = facts
    const status = answer?.status
    const { retryable = isRetryable(code, status), retryAfter = secondsOf(answer?.headers?.['retry-after']) } = facts
    Object.assign(this, { code, url, phase, status, reason, retryable, retryAfter, closeCode })
    this.#answer = answer
  }

  /** The header fields of a refusal. */
  get headers(): DialHeaders | undefined {
    return this.#answer?.headers
  }

  /** The first 64 KiB of a refusal's body, as text. */
  get body(): string | undefined {
    return this.#answer?.body
  }

  /** The body, where it is gate101's JSON; or its code, where the server sent that alone. */
  get advice(): DialAdvice | undefined {
    return this.#answer?.advice
  }

  toJSON(): object {
    return Object.assign({}, this, { message: this.message })
  }
}

function isRetryable(code: DialErrorCode, status = 0): boolean {
  if (code === 'refused') return status >= 500 || [408, 425, 429].includes(status)
  return ['unreachable', 'timeout', 'unknown'].includes(code)
}

/** Retry-After in seconds (RFC 9110 section 10.2.3); a date is as good as none, for clocks differ. */
function secondsOf(value: unknown): number | undefined {
  return typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : undefined
}
