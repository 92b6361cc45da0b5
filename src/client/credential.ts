import { toBase64 } from './base64.ts'
import { locked } from './locks.ts'
import { mergeHeaders, type HeaderMap } from './headers.ts'
import type { DialCredentials, DialRequest, DialWhy, Login } from './request.ts'
import type { Tries } from './reconnect.ts'
import type { Runtime } from './runtime.ts'
import { untilAborted } from './wait.ts'

/** A credential in the forms that roads ask for. */
export interface Credential {
  /** All of it, as HTTP carries it. */
  readonly headers: HeaderMap
  /** Where it is a token and nothing else. */
  readonly token: string | undefined
  /** Where it is a user name and password and nothing else. */
  readonly login: Login | undefined
}

/** The credential of one attempt: what the callback says replaces what the options and the URL hold. */
export async function credentialFor(
  { checkHeaders }: Runtime,
  request: DialRequest,
  why: DialWhy,
  tries: Tries,
  signal: AbortSignal,
): Promise<Credential | undefined> {
  const { shown, fail } = request
  const given = await ask(request, why, signal).catch((cause: unknown) => {
    throw fail('no_credentials', { retryable: true }, { cause })
  })
  if (request.credentials && !given && tries.hadCredential) throw fail('no_credentials')
  const { token, username, password = '', headers } = given ?? {}
  const hasLogin = username !== undefined
  if (token !== undefined && hasLogin) throw fail('bad_request', { what: 'credentials' })
  const login = hasLogin ? { username, password } : request.login
  const authorization =
    token === undefined ? login && `Basic ${toBase64(`${login.username}:${login.password}`)}` : `Bearer ${token}`
  // What the callback names counts for more than its headers, and those for more than what the URL holds.
  const named = authorization === undefined ? undefined : { authorization }
  const all = mergeHeaders(named, request.headers, headers, token !== undefined || hasLogin ? named : undefined)
  checkHeaders?.(shown, all)
  const count = Object.keys(all).length
  const isAlone = count === 1 && all['authorization'] === authorization
  return count === 0
    ? undefined
    : { headers: all, token: isAlone ? token : undefined, login: isAlone && token === undefined ? login : undefined }
}

/** One tab of a browser asks at a time: the others then find what the first one has renewed. */
async function ask({ credentials, shown }: DialRequest, why: DialWhy, signal: AbortSignal) {
  if (credentials === undefined) return undefined
  const call = async (): Promise<DialCredentials | null | undefined> =>
    await untilAborted(Promise.resolve(credentials(why)), signal)
  return await locked(shown, signal, call)
}
