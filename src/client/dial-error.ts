/**
 * Why {@link dial} failed.
 *
 * | code | meaning |
 * |---|---|
 * | `refused` | the server answered with HTTP instead of opening the WebSocket: see `status`, `advice`, `headers`, `body` |
 * | `unreachable` | no answer: DNS, TCP or TLS failed, or the connection was lost before an answer |
 * | `timeout` | no answer within `timeout` |
 * | `aborted` | the caller's signal; its reason is the `cause` |
 * | `bad_response` | what came back is not HTTP, or not a valid WebSocket handshake |
 * | `bad_request` | the URL, a header, a protocol or an option is not valid; nothing was sent |
 */
export type DialErrorCode = 'refused' | 'unreachable' | 'timeout' | 'aborted' | 'bad_response' | 'bad_request'

/** Header fields of an answer. Names are in lower case; only `set-cookie` is a list. */
export type DialHeaders = Readonly<Record<string, string | readonly string[] | undefined>>

/** What gate101 says about a refusal, in its JSON body. The texts are those of the server: escape them where you show them. */
export interface DialAdvice {
  /** A code of `docs/errors.md`, or the app's own. */
  readonly error: string
  readonly message: string
  readonly fix: string
}

/** The HTTP answer of a server that did not open the WebSocket. */
export interface DialAnswer {
  readonly status: number
  readonly headers: DialHeaders
  readonly body: string
  readonly advice: DialAdvice | undefined
}

interface DialErrorFacts {
  readonly code: DialErrorCode
  readonly message: string
  /** Without user name, password and query. */
  readonly url: string
  readonly reason?: string | undefined
  readonly answer?: DialAnswer | undefined
}

/**
 * {@link dial} could not open the WebSocket.
 *
 * `message`, `inspect` and JSON hold nothing that may be a credential: not the headers that were sent, not the user name,
 * password and query of the URL, and nothing that the server wrote (it may repeat what it got). What the server wrote is
 * there to be read by name.
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
  readonly code: DialErrorCode
  /** The URL without user name, password and query; empty where it was not valid. */
  readonly url: string
  /** The HTTP status of a refusal. */
  readonly status: number | undefined
  /** The system's own code where there is one, such as `ECONNREFUSED` or `CERT_HAS_EXPIRED`. */
  readonly reason: string | undefined
  readonly #answer: DialAnswer | undefined

  constructor(facts: DialErrorFacts, options?: ErrorOptions) {
    super(facts.message, options)
    this.code = facts.code
    this.url = facts.url
    this.status = facts.answer?.status
    this.reason = facts.reason
    this.#answer = facts.answer
  }

  /** The header fields of a refusal. */
  get headers(): DialHeaders | undefined {
    return this.#answer?.headers
  }

  /** The first 64 KiB of a refusal's body, as text. */
  get body(): string | undefined {
    return this.#answer?.body
  }

  /** The body, where it is gate101's JSON. */
  get advice(): DialAdvice | undefined {
    return this.#answer?.advice
  }

  toJSON(): object {
    const { name, code, message, url, status, reason } = this
    return { name, code, message, url, status, reason }
  }
}
