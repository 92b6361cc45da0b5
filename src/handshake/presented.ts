import type { Handshake } from '../core/handshake.ts'

/** Which kinds of credential a handshake carries. Not whether they are good. */
export interface Presented {
  readonly cookie: boolean
  /** A verified TLS client certificate. */
  readonly certificate: boolean
  /** Lower-case names of the other credential headers that are there and not empty. */
  readonly explicit: readonly string[]
}

/** @param credentialHeaders - lower-case names. */
export function presentedCredentials(handshake: Handshake, credentialHeaders: readonly string[]): Presented {
  let cookie = false
  const explicit: string[] = []
  for (const [name, value] of handshake.headers) {
    if (value === '' || !credentialHeaders.includes(name)) continue
    if (name === 'cookie') cookie = true
    else explicit.push(name)
  }
  return { cookie, certificate: handshake.peer.certified, explicit }
}

/** Only what a browser adds by itself, for whatever page asks. */
export function isAmbientOnly(presented: Presented): boolean {
  return presented.explicit.length === 0 && (presented.cookie || presented.certificate)
}
