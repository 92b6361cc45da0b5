import { refuse, type HeaderPairs, type Refuse } from '../core/decision.ts'
import { entriesOf, readJsonObject } from './json.ts'
import { basicAccount, basicValue, isB64token, isFieldValue } from './values.ts'

/** What a first message stands for. */
export type AuthMessage =
  | {
      readonly type: 'credential'
      /** Names in lower case. */
      readonly headers: HeaderPairs
      /** Whose password is in it; undefined where none is. */
      readonly account: string | undefined
    }
  | Refuse

const MAX_TOKEN = 4096
const MAX_VALUE = 8192

/**
 * Reads an auth message: `{"type":"auth",…}` with a token, a username and password, or headers. Members of other names
 * are ignored.
 *
 * @param text - at most as long as a first message may be.
 * @param allowed - lower-case names of the headers that a message may set.
 */
export function readAuthMessage(text: string, allowed: readonly string[]): AuthMessage {
  const message = readJsonObject(text)
  if (message?.get('type') !== 'auth') return bad('It is no JSON object whose type is "auth".')
  const forms = [message.has('token'), message.has('username') || message.has('password'), message.has('headers')]
  if (forms.filter(Boolean).length !== 1) return bad('It must hold a token, or a username and password, or headers.')
  if (message.has('headers')) return readHeaders(message.get('headers'), allowed)
  if (!allowed.includes('authorization')) return bad('It may not set the header authorization.')
  return message.has('token')
    ? readToken(message.get('token'))
    : readPassword(message.get('username'), message.get('password'))
}

/**
 * Reads the headers that `toHeaders` has made of a message.
 *
 * @param allowed - lower-case names.
 */
export function readCustomHeaders(given: unknown, allowed: readonly string[]): AuthMessage {
  return readHeaders(given, allowed)
}

/** Whether a text is an auth message, good or bad. */
export function isAuthMessage(text: string): boolean {
  if (!/^[\t\n\r ]*\{/.test(text) || !/"auth"|\\u/.test(text)) return false
  try {
    return entriesOf(JSON.parse(text))?.get('type') === 'auth'
  } catch {
    return false
  }
}

/** The cause is for the operator, and holds nothing of the message. */
function bad(cause: string): Refuse {
  return refuse('bad_auth_message', [], new Error(cause))
}

function readToken(token: unknown): AuthMessage {
  if (typeof token !== 'string' || token.length > MAX_TOKEN || !isB64token(token))
    return bad('The token is no b64token.')
  const value = `Bearer ${token}`
  return { type: 'credential', headers: [['authorization', value]], account: basicAccount(value) }
}

function readPassword(username: unknown, password: unknown): AuthMessage {
  if (typeof username !== 'string' || typeof password !== 'string') return bad('Username and password must be strings.')
  const value = basicValue(username, password)
  if (value === undefined) return bad('Username or password is not what RFC 7617 allows.')
  return { type: 'credential', headers: [['authorization', value]], account: username }
}

function readHeaders(given: unknown, allowed: readonly string[]): AuthMessage {
  const entries = entriesOf(given)
  if (entries === undefined || entries.size === 0) return bad('The headers must be an object with at least one header.')
  const headers = new Map<string, string>()
  for (const [spelt, value] of entries) {
    const name = spelt.toLowerCase()
    if (!allowed.includes(name)) return bad('A header is not in the list of those that a message may set.')
    if (headers.has(name)) return bad('A header is there twice.')
    if (typeof value !== 'string' || value === '' || value.length > MAX_VALUE || !isFieldValue(value))
      return bad('The value of a header is not one field value.')
    headers.set(name, value)
  }
  // A password that comes as a header is a password all the same, and counts as one.
  const authorization = headers.get('authorization')
  const account = authorization === undefined ? undefined : basicAccount(authorization)
  return { type: 'credential', headers: [...headers], account }
}
