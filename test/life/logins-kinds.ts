import { createServer, type IncomingMessage, type Server } from 'node:http'
import cookieSession from 'cookie-session'
import express, { type Request, type RequestHandler } from 'express'
import session from 'express-session'
import { jwtVerify, SignJWT } from 'jose'
import { createGate, type Gate, type IdentityInput } from '../../src/index.ts'
import { jwt as jwtScheme, type JwtPayload, type Scheme } from '../../src/schemes.ts'
import { listen } from '../support/servers.ts'
import { HOUR, type Wall } from './recheck-world.ts'

/** How long a login lasts, of those that end by themselves. */
const LASTS = HOUR
const SECRET = new TextEncoder().encode('a secret that is only for tests, and 32 bytes long at least')

/** The rows of an app's database. */
export interface People {
  readonly banned: Set<string>
  readonly keys: Map<string, string>
  readonly passwords: Map<string, string>
}

/** What an app does when something happens to a login. */
export type Happening = 'logout' | 'ban' | 'password' | 'expiry'

export interface Login {
  readonly server: Server
  readonly gate: Gate
  /** Of the login of ann. */
  readonly headers: Readonly<Record<string, string>>
  /** Makes it happen, with the one line or without. */
  readonly happen: (what: Happening, oneLine: boolean) => Promise<void>
  /** Another login of ann, from where the password is changed: it stays. */
  readonly stays?: Readonly<Record<string, string>>
  /** Questions to whoever verifies tokens, which take a thread of their own. */
  readonly verifying?: { count: number }
}

/** A kind of login, as an Express app has it. */
export interface Kind {
  readonly name: string
  /** What is done about each happening; the code of one line in the place of nothing. */
  readonly lines: Readonly<Partial<Record<Happening, string>>>
  /** Why something cannot happen to it. */
  readonly never?: Readonly<Partial<Record<Happening, string>>>
  readonly make: (clock: Wall, oneLine: boolean) => Promise<Login>
}

type Named = Request & { user?: string; identity?: IdentityInput }

const REVOKE_USER = '`gate.revoke({ subject })`'
const EXCEPT = '`gate.revoke({ subject }, { except: { session } })`'

interface App {
  readonly people: People
  readonly login: RequestHandler[]
  readonly gate: Gate
}

/** The same app for all: who is known and not banned may connect. */
function serve({ people, login, gate }: App): Server {
  const app = express()
  const guard: RequestHandler = (req, res, next) => {
    const { user } = req as Named
    if (user === undefined) return void res.sendStatus(401)
    if (people.banned.has(user)) return void res.sendStatus(403)
    next()
  }
  app.use(...login)
  app.get('/live', guard, gate.websocket(() => undefined) as RequestHandler)
  return createServer(app)
}

const peopleOf = (): People => ({
  banned: new Set(),
  keys: new Map([['key-of-ann', 'ann']]),
  passwords: new Map([['ann', 'secret']]),
})

const identify = (req: IncomingMessage): IdentityInput | undefined => (req as Named).identity

async function run(gate: Gate, people: People, login: RequestHandler[]): Promise<Server> {
  const server = serve({ people, login, gate })
  gate.attach(server)
  return server
}

const revokeAll = async (gate: Gate): Promise<void> => void (await gate.revoke({ subject: 'ann' }))

const revokeOthers = async (gate: Gate, { session: kept }: LoggedIn): Promise<void> =>
  void (await gate.revoke({ subject: 'ann' }, { except: { session: kept } }))

const serverSession = (watched: boolean): Kind => ({
  name: watched ? 'server session, with `sessionStore`' : 'server session',
  lines: {
    logout: watched ? 'nothing more' : '`gate.revoke({ session })`',
    ban: REVOKE_USER,
    password: EXCEPT,
  },
  async make(clock) {
    const people = peopleOf()
    const store = new session.MemoryStore()
    const gate = createGate({ clock, identify, ...(watched ? { sessionStore: store } : {}) })
    const sessions = session({ secret: 'x', store, resave: false, saveUninitialized: false, cookie: { maxAge: LASTS } })
    const who: RequestHandler = (req, _res, next) => {
      const { user } = req.session as { user?: string }
      const { expires } = req.session.cookie
      const identity = { subject: user ?? '', session: req.sessionID, expiresAt: expires ?? null }
      if (user !== undefined) Object.assign(req, { user, identity })
      next()
    }
    const logIn: RequestHandler = (req, res, next) => {
      if (req.path !== '/login') return next()
      Object.assign(req.session, { user: 'ann' })
      res.send(req.sessionID)
    }
    const server = await run(gate, people, [sessions, logIn, who])
    const [own, other] = await logInTwice(server)
    return {
      server,
      gate,
      headers: own.headers,
      stays: other.headers,
      async happen(what, oneLine) {
        if (what === 'logout') await new Promise((resolve) => store.destroy(own.session, resolve))
        if (what === 'logout' && oneLine && !watched) await gate.revoke({ session: own.session })
        if (what === 'ban') people.banned.add('ann')
        if (what === 'ban' && oneLine) await revokeAll(gate)
        if (what === 'password' && oneLine) await revokeOthers(gate, other)
      },
    }
  },
})

const sessionInCookie: Kind = {
  name: 'session in the cookie (`cookie-session`)',
  lines: { logout: '`gate.revoke({ session })`, where the app gives it an id', ban: REVOKE_USER, password: EXCEPT },
  async make(clock) {
    const people = peopleOf()
    const gate = createGate({ clock, identify })
    const sessions = cookieSession({ secret: 'x', maxAge: LASTS }) as unknown as RequestHandler
    const who: RequestHandler = (req, _res, next) => {
      const { user, id, until } = (req.session ?? {}) as { user?: string; id?: string; until?: number }
      if (user !== undefined && Date.now() < (until ?? 0)) {
        const identity = { subject: user, session: id, expiresAt: new Date(until ?? 0) }
        Object.assign(req, { user, identity })
      }
      next()
    }
    let logins = 0
    const logIn: RequestHandler = (req, res, next) => {
      if (req.path !== '/login') return next()
      const id = `s${++logins}`
      Object.assign(req, { session: { user: 'ann', id, until: clock.now() + LASTS } })
      res.send(id)
    }
    const server = await run(gate, people, [sessions, logIn, who])
    const [own, other] = await logInTwice(server)
    return {
      server,
      gate,
      headers: own.headers,
      stays: other.headers,
      async happen(what, oneLine) {
        // A logout takes the cookie from the browser; nothing on the server knows of it.
        if (what === 'logout' && oneLine) await gate.revoke({ session: own.session })
        if (what === 'ban') people.banned.add('ann')
        if (what === 'ban' && oneLine) await revokeAll(gate)
        if (what === 'password' && oneLine) await revokeOthers(gate, other)
      },
    }
  },
}

const JWT_LINES = { logout: '`gate.revoke({ credential: jti })`', ban: REVOKE_USER, password: REVOKE_USER }
const ISSUER = 'https://login.example.com/'

async function tokenAt(clock: Wall): Promise<string> {
  const seconds = Math.floor(clock.now() / 1000)
  const times = { iat: seconds, exp: seconds + LASTS / 1000 }
  const claims = new SignJWT({ iss: ISSUER, aud: 'live', sub: 'ann', jti: 'j1', ...times })
  return await claims.setProtectedHeader({ alg: 'HS256' }).sign(SECRET)
}

function withToken(login: Pick<Login, 'server' | 'gate' | 'verifying'>, token: string, { banned }: People): Login {
  const { gate } = login
  return {
    ...login,
    headers: { Authorization: `Bearer ${token}` },
    async happen(what, oneLine) {
      if (what === 'logout' && oneLine) await gate.revoke({ credential: 'j1' })
      if (what === 'ban') banned.add('ann')
      if ((what === 'ban' || what === 'password') && oneLine) await revokeAll(gate)
    },
  }
}

const jwt: Kind = {
  name: 'JWT, in an app that reads the user',
  lines: JWT_LINES,
  async make(clock) {
    const people = peopleOf()
    const gate = createGate({ clock, identify })
    const verifying = { count: 0 }
    const who: RequestHandler = async (req, _res, next) => {
      verifying.count += 1
      const token = /^Bearer (.+)$/.exec(req.get('authorization') ?? '')?.[1] ?? ''
      const verified = await jwtVerify(token, SECRET, { currentDate: new Date(clock.now()) }).catch(() => undefined)
      verifying.count -= 1
      if (verified !== undefined) {
        const { sub = '', jti, exp = 0, iat = 0 } = verified.payload
        const times = { issuedAt: new Date(iat * 1000), expiresAt: new Date(exp * 1000) }
        Object.assign(req, { user: sub, identity: { subject: sub, credential: jti, ...times } })
      }
      next()
    }
    const server = await run(gate, people, [who])
    return withToken({ server, gate, verifying }, await tokenAt(clock), people)
  },
}

const jwtAlone: Kind = {
  name: 'JWT, with the scheme `jwt()` and no app',
  lines: JWT_LINES,
  async make(clock) {
    const scheme = jwtScheme({ issuer: ISSUER, audience: 'live', algorithms: ['HS256'], key: SECRET, clock })
    const verifying = { count: 0 }
    const verify: Scheme<JwtPayload>['verify'] = async (...args) => {
      verifying.count += 1
      return await Promise.resolve(scheme.verify(...args)).finally(() => (verifying.count -= 1))
    }
    const gate = createGate({ clock, authenticate: { ...scheme, verify } })
    const server = createServer(express().get('/live', gate.websocket(() => undefined) as RequestHandler))
    gate.attach(server)
    return withToken({ server, gate, verifying }, await tokenAt(clock), peopleOf())
  },
}

const apiKey: Kind = {
  name: 'API key',
  lines: {
    logout: '`gate.revoke({ credential: keyId })`',
    ban: REVOKE_USER,
    expiry: '`expiresAt` in what `identify` returns',
  },
  never: { password: 'a key has none' },
  async make(clock, oneLine) {
    const people = peopleOf()
    const gate = createGate({ clock, identify })
    const expiresAt = oneLine ? new Date(clock.now() + LASTS) : null
    const who: RequestHandler = (req, _res, next) => {
      const user = people.keys.get(req.get('x-api-key') ?? '')
      if (user !== undefined) Object.assign(req, { user, identity: { subject: user, credential: 'k1', expiresAt } })
      next()
    }
    const server = await run(gate, people, [who])
    return {
      server,
      gate,
      headers: { 'X-Api-Key': 'key-of-ann' },
      async happen(what, oneLine) {
        if (what === 'logout') people.keys.clear()
        if (what === 'logout' && oneLine) await gate.revoke({ credential: 'k1' })
        if (what === 'ban') people.banned.add('ann')
        if (what === 'ban' && oneLine) await revokeAll(gate)
      },
    }
  },
}

const basic: Kind = {
  name: 'user name and password (Basic)',
  lines: { ban: REVOKE_USER, password: REVOKE_USER },
  never: { logout: 'there is none' },
  async make(clock) {
    const people = peopleOf()
    const gate = createGate({ clock, identify })
    const who: RequestHandler = (req, _res, next) => {
      const text = Buffer.from((req.get('authorization') ?? '').replace('Basic ', ''), 'base64').toString()
      const [user = '', password] = text.split(':')
      if (people.passwords.get(user) === password && password !== undefined)
        Object.assign(req, { user, identity: { subject: user } })
      next()
    }
    const server = await run(gate, people, [who])
    return {
      server,
      gate,
      headers: { Authorization: `Basic ${Buffer.from('ann:secret').toString('base64')}` },
      async happen(what, oneLine) {
        if (what === 'ban') people.banned.add('ann')
        if (what === 'password') people.passwords.set('ann', 'another')
        if ((what === 'ban' || what === 'password') && oneLine) await revokeAll(gate)
      },
    }
  },
}

export const KINDS: readonly Kind[] = [
  serverSession(false),
  serverSession(true),
  sessionInCookie,
  jwt,
  jwtAlone,
  apiKey,
  basic,
]

interface LoggedIn {
  readonly headers: Readonly<Record<string, string>>
  readonly session: string
}

/** Logs ann in over plain HTTP, in two browsers. */
async function logInTwice(server: Server): Promise<[LoggedIn, LoggedIn]> {
  await using listening = await listen(server)
  const logIn = async (): Promise<LoggedIn> => {
    const response = await fetch(`http://127.0.0.1:${listening.port}/login`, { headers: { Connection: 'close' } })
    const cookies = response.headers.getSetCookie().map((one) => one.split(';')[0])
    return { headers: { Cookie: cookies.join('; '), Origin: 'http://localhost' }, session: await response.text() }
  }
  return [await logIn(), await logIn()]
}
