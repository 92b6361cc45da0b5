import type { DialError, Fail } from './dial-error.ts'
import type { HeaderMap } from './headers.ts'
import type { Runtime } from './runtime.ts'

/** Header fields to send: a list is sent as several fields of one name. */
export type DialRequestHeaders = HeaderMap

/** How a credential travels: see `docs/client.md`. */
export type DialRoad = 'headers' | 'cookie' | 'ticket' | 'subprotocol' | 'message'

/** What to send now: some headers, a token, or a user name and password. */
export interface DialCredentials {
  readonly headers?: DialRequestHeaders | undefined
  /** For `Authorization: Bearer` (RFC 6750). */
  readonly token?: string | undefined
  /** For `Authorization: Basic` (RFC 7617), with `password`. */
  readonly username?: string | undefined
  readonly password?: string | undefined
}

/**
 * Why a credential is asked for: for the `first` attempt; to `reconnect` after a loss; because the server did not take the
 * last one any more (`expired`: 401, 4401; once); because it `refused` for another reason, which may pass (408, 429, 503); to `renew` an open
 * connection before its time is over.
 */
export type DialReason = 'first' | 'reconnect' | 'expired' | 'refused' | 'renew'

export interface DialWhy {
  /** From 1; from 1 again after a connection that lasted. */
  readonly attempt: number
  readonly reason: DialReason
}

export type DialCredentialsCallback = (
  why: DialWhy,
) => DialCredentials | null | undefined | Promise<DialCredentials | null | undefined>

/** A route of the server, behind the app's login. */
export interface DialRoute {
  /** Relative to the URL that is dialled. */
  readonly url: string
  /** Sent with the request, beside the credential. */
  readonly headers?: DialRequestHeaders | undefined
  /** In place of the global `fetch`. */
  readonly fetch?: typeof globalThis.fetch | undefined
}

export interface DialReconnect {
  /** Milliseconds: the first wait is random between 0 and this, each further one up to twice as long. @defaultValue 1000 */
  readonly minDelay?: number | undefined
  /** Milliseconds that no wait exceeds, unless the server asks for more with Retry-After. @defaultValue 30000 */
  readonly maxDelay?: number | undefined
  /** Attempts in a row until it gives up. @defaultValue no bound */
  readonly attempts?: number | undefined
}

export interface DialOptions {
  /** Sent with the handshake where the runtime can, else they travel as {@link DialOptions.credentials | credentials} do. */
  readonly headers?: DialRequestHeaders | undefined
  /** Subprotocols to offer (RFC 6455 section 1.9). A server that selects none of them fails the dial. */
  readonly protocols?: string | readonly string[] | undefined
  /** Gives up dialling. Once the WebSocket is open the signal has no meaning any more. */
  readonly signal?: AbortSignal | undefined
  /** Milliseconds until the WebSocket is open, or a refusal was read; for each reconnection as well. @defaultValue 10000 */
  readonly timeout?: number | undefined
  /** Called before every attempt; says what to send now. Null stops a connection that had a credential. */
  readonly credentials?: DialCredentialsCallback | undefined
  /**
   * Roads in order of preference: the first one that can carry the credential is taken.
   * @defaultValue `['headers']` in Node, Deno and Bun; `['ticket', 'cookie', 'subprotocol', 'message']` in browsers
   */
  readonly roads?: readonly DialRoad[] | undefined
  /** Where tickets are made: switches the road `ticket` on. */
  readonly ticket?: string | DialRoute | undefined
  /**
   * Where connections are renewed: asked when 80 to 90 % of the time are over, and, where nothing else says how long the
   * connection lasts, when it is open. Without it, a connection that a message has opened is renewed by messages, where the
   * server takes them.
   */
  readonly renew?: string | DialRoute | undefined
  /** How to come back after the connection was lost. `false`: not at all. @defaultValue `{}` */
  readonly reconnect?: false | DialReconnect | undefined
  /** The only hosts (with `:port` where it is not the default one) that may be dialled, for URLs that others can influence. */
  readonly allowedHosts?: readonly string[] | undefined
  /** Lets credentials travel unencrypted (`ws:`) to another machine. @defaultValue false */
  readonly dangerouslyAllowPlaintext?: boolean | undefined
}

export interface Login {
  readonly username: string
  readonly password: string
}

/** A request to dial, checked. */
export interface DialRequest extends Omit<DialOptions, 'protocols'> {
  /** Without user name and password. */
  readonly url: URL
  /** The URL as errors may show it. */
  readonly shown: string
  /** Those that may be credentials. */
  readonly headers: HeaderMap
  /** The others. */
  readonly plain: HeaderMap
  /** From the URL. */
  readonly login: Login | undefined
  readonly protocols: readonly string[]
  readonly timeout: number
  readonly ticket: DialRoute | undefined
  readonly renew: DialRoute | undefined
  readonly reconnect: false | DialReconnect
  readonly fail: Fail
}

/** Every option that there is; Node looks at the values, too. */
export const OPTIONS: readonly string[] = [
  'headers',
  'protocols',
  'signal',
  'timeout',
  'credentials',
  'roads',
  'ticket',
  'renew',
  'reconnect',
  'allowedHosts',
  'dangerouslyAllowPlaintext',
] satisfies ReadonlyArray<keyof DialOptions>

/** @throws DialError `bad_request`; the texts hold neither values of headers nor protocols: both may be credentials. */
export function readRequest(
  given: string | URL,
  options: DialOptions,
  { base, fail, check }: Pick<Runtime, 'base' | 'fail' | 'check'>,
): DialRequest {
  const wrong = (what: string, place = ''): DialError => fail({ code: 'bad_request', url: place, what })
  let url
  let login
  try {
    url = new URL(given, base)
    url.protocol = url.protocol.replace('http', 'ws')
    login = takeLogin(url)
  } catch {
    // What was thrown may repeat the URL, password included.
    throw wrong('url')
  }
  if (!/^wss?:$/.test(url.protocol)) throw wrong('scheme')
  const shown = `${url.protocol}//${url.host}${url.pathname}${url.search && '?...'}`
  const { protocols = [], timeout = 10_000, allowedHosts } = options
  if (!Object.keys(options).every((name) => OPTIONS.includes(name))) throw wrong('options', shown)
  if (allowedHosts !== undefined && ![...allowedHosts].includes(url.host)) throw wrong('allowedHosts', shown)
  return {
    ...options,
    ...check(shown, url, options),
    fail: (code, facts, cause) => fail({ code, url: shown, ...facts }, cause),
    url,
    shown,
    login,
    protocols: [protocols].flat(),
    timeout,
    ticket: routeOf(options.ticket),
    renew: routeOf(options.renew),
    reconnect: options.reconnect ?? {},
  }
}

function routeOf(given: string | DialRoute | undefined): DialRoute | undefined {
  return typeof given === 'string' ? { url: given } : given
}

/** Takes user name and password out of the URL: no WebSocket of a browser takes them there. */
function takeLogin(url: URL): Login | undefined {
  const { username, password } = url
  if (username + password === '') return undefined
  url.username = url.password = ''
  return { username: decodeURIComponent(username), password: decodeURIComponent(password) }
}
