// oxlint-disable-next-line no-control-regex
const CONTROL = /[\x00-\x1f\x7f]/
// Half of a surrogate pair has no UTF-8: two different texts would become the same bytes.
const LONE_SURROGATE = /\p{Cs}/u
const B64TOKEN = /^[A-Za-z0-9\-._~+/]+=*$/
const FIELD_VALUE = /^(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?$/

/** One field value (RFC 9110 section 5.5), each character a byte; no white space around it. May be empty. */
export function isFieldValue(text: string): boolean {
  return FIELD_VALUE.test(text)
}

/** `b64token` (RFC 6750 section 2.1), of any length. */
export function isB64token(text: string): boolean {
  return B64TOKEN.test(text)
}

/**
 * The value of `Authorization` for a password (RFC 7617 section 2), in UTF-8.
 *
 * @returns undefined where the username is empty or holds a colon, or either holds what the RFC does not allow.
 */
export function basicValue(username: string, password: string): string | undefined {
  const pair = `${username}:${password}`
  if (username === '' || username.includes(':') || CONTROL.test(pair) || LONE_SURROGATE.test(pair)) return undefined
  return `Basic ${Buffer.from(pair, 'utf8').toString('base64')}`
}

/**
 * The username in an `Authorization`, read as leniently as any app could read it: whatever the scheme is called, where
 * what follows is `user:password` in base64. `''` for Basic without one; undefined where there is no password.
 */
export function basicAccount(authorization: string): string | undefined {
  const named = /^\S*basic\S*(?:\s+(.*))?$/i.exec(authorization)
  const encoded = named === null ? (authorization.trim().split(/\s+/).at(-1) ?? '') : (named[1] ?? '')
  if (named === null && !/^[A-Za-z0-9+/_-]+=*$/.test(encoded)) return undefined
  const pair = Buffer.from(encoded, 'base64').toString('utf8')
  if (named === null && !USER_PASS.test(pair)) return undefined
  return pair.split(':', 1)[0] ?? ''
}

// Text with a colon that is not JSON, as the first part of a JWT is.
// oxlint-disable-next-line no-control-regex
const USER_PASS = /^[^{:\x00-\x1f\ufffd]+:[^\x00-\x1f\ufffd]*$/
