import type { SelectorInput } from '../../src/index.ts'

// What the gate must be like, said as plainly as it can be: lists, and loops over them.

/** A login of the app, with the identity that it gives. */
export interface Login {
  /** Its cookie, and its session id. */
  readonly name: string
  readonly issuer: string
  readonly subject: string
  readonly credential: string | undefined
  readonly tags: readonly string[]
  readonly issuedAt: number | null
  expiresAt: number | null
  /** Logged out. */
  isGone: boolean
}

export interface Closing {
  readonly code: number
  readonly reason: string
}

/** A connection as it should be. */
export interface Conn {
  readonly number: number
  readonly openedAt: number
  login: Login
  /** Every session that it lived by, and since when, as a place in an order. */
  readonly sessions: Map<string, number>
  readonly credentials: Set<string>
  isOpen: boolean
  /** How it may have been closed; empty where it went by itself. */
  closings: readonly Closing[]
}

interface Revoked {
  readonly selector: SelectorInput
  readonly at: number
  readonly sessions: readonly string[]
  readonly credentials: readonly string[]
  readonly connections: readonly number[]
}

export type Except = { readonly session: string } | { readonly connection: number } | undefined

export interface ModelLimits {
  readonly connections: number
  readonly perSession: number
  readonly perSubject: number
  readonly replaces: boolean
}

const isSamePerson = (one: Login, other: Login): boolean => one.issuer === other.issuer && one.subject === other.subject

export class Model {
  now: number
  readonly maxAge: number
  readonly limits: ModelLimits
  readonly logins: Login[]
  readonly conns: Conn[] = []
  readonly #revoked: Revoked[] = []
  #order = 0

  constructor(now: number, maxAge: number, limits: ModelLimits, logins: Login[]) {
    this.now = now
    this.maxAge = maxAge
    this.limits = limits
    this.logins = logins
  }

  get open(): Conn[] {
    return this.conns.filter(({ isOpen }) => isOpen)
  }

  close(conn: Conn, ...closings: Closing[]): void {
    conn.isOpen = false
    conn.closings = closings
  }

  isRefused(login: Login): boolean {
    return this.isOut(login) || this.isRevoked(login)
  }

  /** Whether the app itself refuses it. */
  isOut({ isGone, expiresAt }: Login): boolean {
    return isGone || (expiresAt !== null && expiresAt <= this.now)
  }

  /** Rule V1, for one who is asked about now. */
  isRevoked(login: Login, conn?: Conn): boolean {
    return this.#revoked.some(({ selector, at, sessions, credentials, connections }) => {
      if (!matches(selector, login) || 'connection' in selector) return false
      if (sessions.includes(login.name) || (conn !== undefined && connections.includes(conn.number))) return false
      if (login.credential !== undefined && credentials.includes(login.credential)) return false
      if ('session' in selector || 'credential' in selector) return true
      return login.issuedAt !== null && Math.floor(login.issuedAt / 1000) <= Math.floor(at / 1000)
    })
  }

  /** @returns whether it opens. */
  connect(login: Login): boolean {
    if (this.isRefused(login) || !this.#makeRoom(login)) return false
    this.conns.push({
      number: this.conns.length,
      openedAt: this.now,
      login,
      sessions: new Map([[login.name, ++this.#order]]),
      credentials: new Set(login.credential === undefined ? [] : [login.credential]),
      isOpen: true,
      closings: [],
    })
    return true
  }

  #fits(login: Login): 'yes' | 'never' | 'person' {
    const { connections, perSession, perSubject } = this.limits
    const { open } = this
    if (open.length >= connections) return 'never'
    if (open.filter(({ sessions }) => sessions.has(login.name)).length >= perSession) return 'person'
    return open.filter((conn) => isSamePerson(conn.login, login)).length >= perSubject ? 'person' : 'yes'
  }

  #makeRoom(login: Login): boolean {
    const fits = this.#fits(login)
    if (fits !== 'person' || !this.limits.replaces) return fits === 'yes'
    const since = ({ sessions }: Conn): number => sessions.get(login.name) ?? 0
    const own = this.open.filter((conn) => conn.sessions.has(login.name) && isSamePerson(conn.login, login))
    const [oldest] = own.toSorted((a, b) => since(a) - since(b))
    if (oldest === undefined) return false
    this.close(oldest, { code: 4409, reason: 'replaced' })
    return this.#fits(login) === 'yes'
  }

  ofSession(login: Login): Conn[] {
    return this.open.filter(({ sessions }) => sessions.has(login.name))
  }

  /** @returns the status of its answer. */
  renew(conn: Conn, login: Login): number {
    if (!isSamePerson(conn.login, login)) return 403
    if (this.isRevoked(login, conn)) return 401
    const { login: before } = conn
    const isOlder =
      login.issuedAt !== null && before.issuedAt !== null
        ? login.issuedAt < before.issuedAt
        : (login.expiresAt ?? Infinity) < (before.expiresAt ?? Infinity)
    if (isOlder) return 409
    conn.login = login
    if (!conn.sessions.has(login.name)) conn.sessions.set(login.name, ++this.#order)
    if (login.credential !== undefined) conn.credentials.add(login.credential)
    return 200
  }

  /** @returns how many it means and how many it ends. */
  revoke(selector: SelectorInput, except: Except): { readonly matched: number; readonly closed: number } {
    const kept = except !== undefined && 'connection' in except ? this.conns[except.connection] : undefined
    const ownLogin = kept?.isOpen === true && ('subject' in selector || 'tag' in selector) ? kept.login : undefined
    const session = except !== undefined && 'session' in except ? except.session : ownLogin?.name
    this.#revoked.push({
      selector,
      at: this.now,
      sessions: session === undefined ? [] : [session],
      credentials: ownLogin?.credential === undefined ? [] : [ownLogin.credential],
      connections: kept === undefined ? [] : [kept.number],
    })
    const meant = this.open.filter((conn) => isMeant(selector, conn))
    const leaving = meant.filter((conn) => {
      if (except === undefined) return true
      return 'session' in except ? conn.login.name !== except.session : conn.number !== except.connection
    })
    for (const conn of leaving) this.close(conn, { code: 4401, reason: 'revoked' })
    return { matched: meant.length, closed: leaving.length }
  }

  logOut(login: Login): void {
    login.isGone = true
    for (const conn of this.ofSession(login))
      if (conn.login === login) this.close(conn, { code: 4401, reason: 'revoked' })
  }

  endOf({ login, openedAt }: Conn): { readonly at: number; readonly closing: Closing } {
    const limit = openedAt + this.maxAge
    const { expiresAt } = login
    if (expiresAt !== null && expiresAt <= limit) return { at: expiresAt, closing: { code: 4401, reason: 'expired' } }
    return { at: limit, closing: { code: 4401, reason: 'max_age' } }
  }

  /** Time passes; whoever is asked about is let in, but those of `refused`. Who is over by then may be told by `also`. */
  pass(
    ms: number,
    refused?: { readonly login: Login; readonly closing: Closing },
    also: readonly Closing[] = [],
  ): void {
    this.now += ms
    for (const conn of this.open) {
      const { at, closing } = this.endOf(conn)
      const isOver = at <= this.now
      if (refused?.login === conn.login) this.close(conn, refused.closing, ...(isOver ? [closing] : []))
      else if (isOver) this.close(conn, closing, ...also)
    }
  }
}

function matches(selector: SelectorInput, login: Login): boolean {
  if ('session' in selector) return login.name === selector.session
  if ('credential' in selector) return login.credential === selector.credential
  if ('tag' in selector) return login.tags.includes(String(selector.tag))
  if ('connection' in selector) return false
  return login.subject === selector.subject && (selector.issuer === undefined || login.issuer === selector.issuer)
}

/** Rule V3: by every session and credential that it lived by. */
function isMeant(selector: SelectorInput, conn: Conn): boolean {
  if ('session' in selector) return conn.sessions.has(String(selector.session))
  if ('credential' in selector) return conn.credentials.has(String(selector.credential))
  if ('connection' in selector) return selector.connection === `#${conn.number}`
  return matches(selector, conn.login)
}
