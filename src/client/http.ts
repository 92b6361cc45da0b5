import type { DialError, DialPhase, Fail } from './dial-error.ts'
import { mergeHeaders, type HeaderMap } from './headers.ts'
import { MAX_BODY, parseObject, readAdvice, type Said } from './refusal.ts'
import type { DialRequest, DialRoute } from './request.ts'
import { isPrivate } from './road.ts'

/** The same place for `fetch`. */
export function httpUrl(url: URL, path = ''): URL {
  return new URL(path, url.href.replace('ws', 'http'))
}

/** What `fetch` sends: the credential, or else the cookies. Redirects are not followed: they may lead elsewhere. */
export function fetchOptions(signal: AbortSignal, credential: HeaderMap | undefined, headers = credential) {
  return {
    credentials: credential ? ('same-origin' as const) : ('include' as const),
    redirect: 'manual' as const,
    cache: 'no-store',
    signal,
    headers: Object.entries(headers ?? {}).flatMap(([name, value]) =>
      [value].flat().map((one): [string, string] => [name, one]),
    ),
  }
}

/** The error of an answer that is a refusal. Browsers hide the status of a redirect: it stands as 302. */
export async function answerError(response: Response, fail: Fail, phase: DialPhase): Promise<DialError> {
  const body = (await response.text()).slice(0, MAX_BODY)
  const answer = {
    status: response.status || 302,
    headers: Object.fromEntries(response.headers),
    body,
    advice: readAdvice(body),
  }
  return fail('refused', { phase, answer })
}

/** @throws DialError `bad_request` where a credential would travel unencrypted */
export function mustBePrivate(request: DialRequest, url: URL, credential: unknown): void {
  if (credential !== undefined && !isPrivate(url) && request.dangerouslyAllowPlaintext !== true)
    throw request.fail('bad_request', { what: 'plaintext' })
}

/** What is sent to a route of the server, beside what the options say of it. */
export interface Post {
  readonly phase: DialPhase
  readonly credential: HeaderMap | undefined
  readonly headers?: HeaderMap | undefined
  readonly signal: AbortSignal
}

/** Asks a route of the server that answers with JSON. */
export async function post(
  request: DialRequest,
  { url: path, headers, fetch = globalThis.fetch }: DialRoute,
  { phase, credential, headers: more, signal }: Post,
): Promise<Said> {
  const { fail, allowedHosts } = request
  const url = httpUrl(request.url, path)
  if (allowedHosts?.includes(url.host) === false) throw fail('bad_request', { phase, what: 'allowedHosts' })
  // Cookies and tickets are credentials, too.
  for (const one of [url, request.url]) mustBePrivate(request, one, true)
  const sent = mergeHeaders(request.plain, headers, credential, more, { 'content-type': 'application/json' })
  const init = { ...fetchOptions(signal, credential, sent), method: 'POST', body: '{}' }
  // What is thrown may name what was sent.
  const response = await fetch(url.href, init).catch(() => {
    signal.throwIfAborted()
    throw fail('unreachable', { phase })
  })
  if (!response.ok) throw await answerError(response, fail, phase)
  return parseObject(await response.text())
}
