import { pathOf, type Kind } from './apps/types.ts'
import { codeOf, converse, dial, mint, ORIGIN, type Headers, type Outcome } from './client.ts'
import { basicOf, jwtOf, keyOf, PASSWORDS, type Person } from './people.ts'

/** One person's login of one kind, in all the forms that a client may give it. */
export interface Credential {
  /** As HTTP has it. */
  readonly header: Readonly<Record<string, string>>
  /** As one word without spaces, for the roads that carry a token. */
  readonly word: string
  readonly username: string
  readonly password: string
}

export function credentialOf(kind: Exclude<Kind, 'session'>, person: Person): Credential {
  if (kind === 'basic') return passwordOf(person, PASSWORDS[person])
  const word = kind === 'jwt' ? jwtOf(person) : keyOf(person)
  return tokenOf(kind, person, word)
}

export function wrongCredentialOf(kind: Exclude<Kind, 'session'>, person: Person): Credential {
  if (kind === 'basic') return passwordOf(person, 'not-the-password')
  const forged = jwtOf(person, 'another signing key of somebody else, 32 bytes')
  return tokenOf(kind, person, kind === 'jwt' ? forged : 'nobodys-key-0000')
}

function passwordOf(username: string, password: string): Credential {
  const header = { authorization: basicOf(username, password) }
  return { header, word: header.authorization.slice('Basic '.length), username, password }
}

function tokenOf(kind: 'jwt' | 'key', username: string, word: string): Credential {
  const header: Record<string, string> = kind === 'jwt' ? { authorization: `Bearer ${word}` } : { 'x-api-key': word }
  return { header, word, username, password: word }
}

/** A login session that the app has made. */
export function sessionOf(person: Person, cookie: string): Credential {
  return { header: { cookie }, word: cookie.replaceAll(/[^A-Za-z0-9]/g, ''), username: person, password: cookie }
}

/** A cookie as apps make them, of a session that never was. */
export const NO_SESSION = sessionOf('bob', 'sid=s%3Anobody.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA')

/** Where and how one attempt is made. */
export interface Trip {
  readonly port: number
  readonly kind: Kind
  readonly credential: Credential
  /** What a browser adds by itself: a cookie that is of somebody else, or of no login. */
  readonly ambient: Headers
}

export interface Road {
  readonly name: string
  /** For the column of a table. */
  readonly short: string
  /** The kinds of login that it can carry. */
  readonly carries: readonly Kind[]
  /** Runs of the guard until the socket is open. */
  readonly runs: number
  /** Whether a refusal is a Close frame. */
  readonly refusesByClose?: true
  /** Whether the gate must have `toHeaders`. */
  readonly custom?: true
  go(trip: Trip): Promise<Outcome>
}

const browser = (ambient: Headers): Headers => ({ Origin: ORIGIN, ...ambient })
const itemOf = (word: string): string =>
  `base64url.bearer.authorization.gate101.${Buffer.from(word).toString('base64url')}`

async function withTicket(
  { port, kind, credential }: Trip,
  go: (ticket: string) => Promise<Outcome>,
): Promise<Outcome> {
  const minted = await mint(port, pathOf(kind, 'ticket'), credential.header)
  if (minted.status === 200) return await go((JSON.parse(minted.text) as { ticket: string }).ticket)
  const { status, body, text: wire } = minted
  return { opened: undefined, status, code: codeOf(body), closeCode: undefined, wire }
}

async function bySaying({ port, kind, ambient }: Trip, message: object): Promise<Outcome> {
  return await converse(port, pathOf(kind, 'talk'), browser(ambient), JSON.stringify(message))
}

const ALL = ['session', 'jwt', 'key', 'basic'] as const

export const ROADS: readonly Road[] = [
  {
    name: 'header',
    short: 'header',
    carries: ['jwt', 'key', 'basic'],
    runs: 1,
    async go({ port, kind, credential: { header, word } }) {
      // There is no header for a session but Cookie, which is the next road.
      const sent = kind === 'session' ? { authorization: `Bearer ${word}` } : header
      return await dial(port, pathOf(kind, 'live'), sent)
    },
  },
  {
    name: 'cookie',
    short: 'cookie',
    carries: ['session'],
    runs: 1,
    async go({ port, kind, credential: { header, word } }) {
      const cookie = kind === 'session' ? header['cookie'] : `token=${word}; authorization=${word}; x-api-key=${word}`
      return await dial(port, pathOf(kind, 'live'), browser({ Cookie: cookie ?? null }))
    },
  },
  {
    name: 'ticket, in the URL',
    short: 'ticket: URL',
    carries: ALL,
    runs: 2,
    async go(trip) {
      return await withTicket(trip, async (ticket) =>
        dial(trip.port, `${pathOf(trip.kind, 'live')}?ticket=${ticket}`, browser(trip.ambient)),
      )
    },
  },
  {
    name: 'ticket, as a subprotocol',
    short: 'ticket: subprotocol',
    carries: ALL,
    runs: 2,
    async go(trip) {
      return await withTicket(trip, async (ticket) => {
        const offered = { 'Sec-WebSocket-Protocol': `gate101, ticket.gate101.${ticket}` }
        return await dial(trip.port, pathOf(trip.kind, 'live'), browser({ ...trip.ambient, ...offered }))
      })
    },
  },
  {
    name: 'subprotocol token',
    short: 'subprotocol',
    carries: ['jwt'],
    runs: 1,
    async go({ port, kind, credential, ambient }) {
      const offered = { 'Sec-WebSocket-Protocol': `gate101, ${itemOf(credential.word)}` }
      return await dial(port, pathOf(kind, 'live'), browser({ ...ambient, ...offered }))
    },
  },
  {
    name: 'query token',
    short: 'query',
    carries: ['jwt'],
    runs: 1,
    async go({ port, kind, credential, ambient }) {
      const target = `${pathOf(kind, 'live')}?access_token=${encodeURIComponent(credential.word)}`
      return await dial(port, target, browser(ambient))
    },
  },
  {
    name: 'first message: `token`',
    short: 'message: token',
    carries: ['jwt'],
    runs: 2,
    refusesByClose: true,
    go: async (trip) => await bySaying(trip, { type: 'auth', token: trip.credential.word }),
  },
  {
    name: 'first message: `username`, `password`',
    short: 'message: password',
    carries: ['basic'],
    runs: 2,
    refusesByClose: true,
    async go(trip) {
      const { username, password } = trip.credential
      return await bySaying(trip, { type: 'auth', username, password })
    },
  },
  {
    name: 'first message: `headers`',
    short: 'message: headers',
    carries: ALL,
    runs: 2,
    refusesByClose: true,
    go: async (trip) => await bySaying(trip, { type: 'auth', headers: trip.credential.header }),
  },
  {
    name: 'first message: `toHeaders`',
    short: 'message: toHeaders',
    carries: ALL,
    runs: 2,
    refusesByClose: true,
    custom: true,
    go: async (trip) => await bySaying(trip, { hello: 'gate', with: Object.entries(trip.credential.header) }),
  },
]

/** Reads the messages of the last road: an app's own format. */
export function toHeaders(message: string | Uint8Array): Record<string, string> | null {
  const { hello, with: pairs } = JSON.parse(String(message)) as { hello?: string; with: Array<[string, string]> }
  return hello === 'gate' ? Object.fromEntries(pairs) : null
}
