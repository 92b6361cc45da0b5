// One middleware, `authenticate`, guards plain HTTP and the WebSocket, whatever way the credential takes, for as long as the
// WebSocket is open. `npm start` runs this file.
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import express, { type NextFunction, type Request, type Response } from 'express'
import session from 'express-session'
import { createGate } from 'gate101'
import { startNodes } from './nodes.ts'

// Several processes, where `--nodes` asks for them: only those come past this line.
const node = await startNodes()

const API_KEY = 'test_api_key'
const USER = 'demo'
/** `changes` tells the sessions of this password from those of an earlier one. */
const account = { password: 'demo', changes: 0 }
/** A session that is not used over HTTP for so long is over. */
const SESSION_MS = Number(process.env['SESSION_SECONDS'] || 60 * 60) * 1000

declare module 'express-session' {
  interface SessionData {
    user: string
    changes: number
  }
}

/** Who a request is from, as `authenticate` found out. */
interface Caller {
  readonly subject: string
  readonly expiresAt?: Date
  readonly by: 'api key' | 'password' | 'token' | 'session'
}

declare global {
  namespace Express {
    interface Request {
      caller?: Caller
    }
  }
}

// ---------------------------------------------------------------- the code that decides: ordinary Express middleware

/** undefined: no such credential was sent. null: a wrong one was. */
type Found = Caller | null | undefined

function byApiKey(req: Request): Found {
  const key = req.get('x-api-key')
  if (key === undefined) return undefined
  return isSame(key, API_KEY) ? { subject: 'robot', by: 'api key' } : null
}

/** Tokens that `/token` has given out, by their hash. */
const tokens = new Map<string, { readonly subject: string; readonly expiresAt: Date }>()

function byAuthorization(req: Request): Found {
  const authorization = req.get('authorization')
  if (authorization === undefined) return undefined
  const [, scheme = '', credential = ''] = /^(basic|bearer) +([a-z0-9+/=_-]+)$/i.exec(authorization) ?? []
  if (scheme.toLowerCase() === 'bearer') return byToken(credential)
  const given = Buffer.from(credential, 'base64').toString()
  return isSame(given, `${USER}:${account.password}`) ? { subject: USER, by: 'password' } : null
}

function byToken(token: string): Found {
  const known = tokens.get(digest(token).toString('hex'))
  if (known === undefined || known.expiresAt.getTime() <= Date.now()) return null
  return { subject: known.subject, by: 'token', expiresAt: known.expiresAt }
}

function bySession(req: Request): Found {
  const { user, changes } = req.session
  return user === undefined || changes !== account.changes ? undefined : { subject: user, by: 'session' }
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()

/** Takes as long for a wrong text as for the right one. */
function isSame(given: string, expected: string): boolean {
  return timingSafeEqual(digest(given), digest(expected))
}

function authenticate(req: Request, res: Response, next: NextFunction): void {
  const found = [byApiKey, byAuthorization, bySession].map((by) => by(req)).find((result) => result !== undefined)
  if (found) {
    req.caller = found
    return next()
  }
  // To a page's own request a browser would answer Basic with a password window of its own.
  if (req.get('sec-fetch-mode') === undefined)
    res.append('WWW-Authenticate', 'Basic realm="gate101 demo", charset="UTF-8"')
  res.append('WWW-Authenticate', 'ApiKey realm="gate101 demo", header="X-Api-Key"')
  res.status(401).json({
    error: found === null ? 'invalid_credential' : 'missing_credential',
    message:
      found === null ? 'The API key, password or token was not accepted.' : 'This request carries no credential.',
    fix: `Send the header "X-Api-Key: ${API_KEY}", or Basic credentials (${USER} and the password), or the cookie of a login: on a WebSocket, with the handshake itself.`,
  })
}

// ------------------------------------------------------------------------------------------------------ the app

const app = express()
app.disable('x-powered-by')
const sessionStore = node?.sessionStore ?? new session.MemoryStore()
app.use(
  session({
    name: 'gate101.demo',
    secret: node?.secret ?? randomBytes(32).toString('base64url'),
    store: sessionStore,
    resave: false,
    saveUninitialized: false,
    rolling: true,
    cookie: { httpOnly: true, sameSite: 'strict', maxAge: SESSION_MS },
  }),
)

const gate = createGate({
  identify(req: Request) {
    const { caller } = req
    if (caller === undefined) return null
    const identity = { subject: caller.subject, claims: caller, expiresAt: caller.expiresAt ?? null }
    if (caller.by !== 'session') return identity
    return { ...identity, session: req.sessionID, expiresAt: req.session.cookie.expires ?? null }
  },
  subprotocolTokens: true,
  firstMessage: { paths: ['/ws/login'] },
  refuse: 'auto', // a page can read why it was refused
  sessionCookies: ['gate101.demo'],
  sessionStore, // a session that is destroyed takes its WebSockets with it, at once
  ...(node === undefined ? {} : { cluster: node.engine, secret: node.secret }), // and on every node
})

// Header, cookie, ticket and subprotocol token come to /ws. On /ws/login a credential may also come in the first message:
// there a client without any gets a WebSocket that waits, and on /ws an answer that says what to send.
app.get(
  ['/ws', '/ws/login'],
  authenticate,
  gate.websocket((socket) => {
    socket.on('error', () => socket.terminate())
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }))
  }),
)

// Tells its page how long it has: for as long as its session would be let in.
app.get(
  '/ws/life',
  authenticate,
  gate.websocket((socket, _req, connection) => {
    const tell = (): void => {
      const { identity, expiresAt } = connection
      const expiresIn = expiresAt === null ? null : (expiresAt.getTime() - Date.now()) / 1000
      const on = node === undefined ? {} : { node: node.name }
      socket.send(JSON.stringify({ subject: identity.subject, expiresAt, expiresIn, ...on }))
    }
    socket.on('error', () => socket.terminate())
    connection.on('renewed', tell)
    tell()
  }),
)

app.post('/ws/ticket', authenticate, gate.ticket('/ws'))

app.post('/ws/renew', authenticate, extendSession, gate.renew())

/** express-session counts a request as a use of the session only when the answer goes out: too late for `identify`. */
function extendSession(req: Request, _res: Response, next: NextFunction): void {
  req.session.touch()
  next()
}

app.post('/token', authenticate, (req, res) => {
  const token = randomBytes(24).toString('base64url')
  const expiresAt = new Date(Date.now() + 5 * 60_000)
  for (const [hash, known] of tokens) if (known.expiresAt.getTime() <= Date.now()) tokens.delete(hash)
  keepToken(digest(token).toString('hex'), req.caller?.subject ?? '', expiresAt)
  node?.tell('token', { hash: digest(token).toString('hex'), subject: req.caller?.subject ?? '', expiresAt })
  res.set('Cache-Control', 'no-store').json({ token, expiresAt })
})

function keepToken(hash: string, subject: string, expiresAt: Date): void {
  tokens.set(hash, { subject, expiresAt })
}

function changePassword(changed: typeof account): void {
  Object.assign(account, changed)
  for (const [hash, { subject }] of tokens) if (subject === USER) tokens.delete(hash)
}

// What a database would do for several nodes.
node?.hear('token', ({ hash, subject, expiresAt }: { hash: string; subject: string; expiresAt: string }) =>
  keepToken(hash, subject, new Date(expiresAt)),
)
node?.hear('account', changePassword)

/** The WebSockets of whoever asks, on all nodes. */
app.get('/sockets', authenticate, async (req, res) => {
  const { items } = await gate.connections.list({ subject: req.caller?.subject ?? '' })
  res.json(items)
})

app.get('/ready', (_req, res) => {
  res.sendStatus(gate.ready ? 200 : 503)
})

app.get('/me', authenticate, (req, res) => {
  res.json(req.caller)
})

app.post('/login', express.json(), express.urlencoded({ extended: false }), (req, res, next) => {
  const { user, password }: Readonly<Record<string, unknown>> = req.body ?? {}
  if (!isSame(`${String(user)}:${String(password)}`, `${USER}:${account.password}`)) {
    const fix = `This demo knows one user: ${USER}, whose password was demo when it started.`
    res.status(401).json({ error: 'invalid_credential', message: 'Wrong user name or password.', fix })
    return
  }
  const { changes } = account
  // A new session id: one that somebody else knew before the login must be worth nothing after it.
  req.session.regenerate((error: unknown) => {
    if (error) return next(error)
    Object.assign(req.session, { user: USER, changes })
    res.json({ subject: USER, by: 'session' } satisfies Caller)
  })
})

app.post('/logout', (req, res, next) => {
  req.session.destroy((error: unknown) => {
    if (error) return next(error)
    res.clearCookie('gate101.demo').json({})
  })
})

app.post('/password', authenticate, express.json(), async (req, res) => {
  const { current, password }: Readonly<Record<string, unknown>> = req.body ?? {}
  const knows = req.caller?.by === 'session' && isSame(String(current), account.password)
  if (!knows || typeof password !== 'string' || password === '') {
    const message = 'The current password is wrong, or there is no new one.'
    const fix = 'Send { "current", "password" } as JSON, with the cookie of a login.'
    res.status(403).json({ error: 'not_changed', message, fix })
    return
  }
  changePassword({ password, changes: account.changes + 1 })
  node?.tell('account', account)
  req.session.changes = account.changes // of all sessions, this one stays
  await promisify((done: (error: unknown) => void) => req.session.save(done))()
  const { closed } = await gate.revoke({ subject: USER }, { except: { session: req.sessionID } })
  res.json({ closed })
})

const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; form-action 'self'"
app.use((_req, res, next) => {
  res.set({
    'Content-Security-Policy': `${POLICY}; base-uri 'none'; frame-ancestors 'none'`,
    'X-Content-Type-Options': 'nosniff',
  })
  next()
})
app.use(express.static(fileURLToPath(new URL('demo/', import.meta.url))))

// ---------------------------------------------------------------------------------------------- start, on loopback

const servers: Server[] = []

/** Some clients take `localhost` for 127.0.0.1, others for ::1: one server on each. */
async function listen(host: string, port: number): Promise<number> {
  const server = createServer(app)
  servers.push(server)
  gate.attach(server) // from here on, handshakes pass through the app
  server.listen(port, host)
  await once(server, 'listening')
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : port
}

function explainStart(error: unknown): never {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code !== 'EADDRINUSE' && code !== 'EACCES') throw error
  console.error(`Port ${wanted} cannot be used (${code}). Choose another: PORT=8081 npm start`)
  process.exit(1)
}

const wanted = Number(process.env['PORT'] || 8080)
const port = await listen('127.0.0.1', wanted).catch(explainStart)
await listen('::1', port).catch((error: unknown) => {
  // No IPv6 here; then nobody takes localhost for ::1.
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code !== 'EADDRNOTAVAIL' && code !== 'EAFNOSUPPORT') explainStart(error)
})

while (!gate.ready) await new Promise<void>((resolve) => gate.on('cluster', () => resolve()))

gate.on('accepted', ({ subject, path }) => console.log(`accepted  ${path}  ${subject}`))
gate.on('refused', ({ status, code, path }) =>
  console.log(`refused   ${path}  ${status}  ${code === 'app' ? 'by the middleware' : code}`),
)
gate.on('renewed', ({ subject, by, expiresAt }) =>
  console.log(`renewed   ${subject}  by ${by}  until ${expiresAt?.toISOString() ?? 'the end'}`),
)
gate.on('ended', ({ subject, reason, code, ms }) =>
  console.log(`ended     ${subject}  ${reason}  ${code ?? '-'}  after ${(ms / 1000).toFixed(1)} s`),
)
gate.on('revoked', ({ by, matched, closed }) => console.log(`revoked   by ${by}  ${closed} of ${matched} closed`))

async function stop(): Promise<void> {
  for (const server of servers) server.close()
  await gate.close({ drain: '2s' }) // each WebSocket gets a Close, 1012, and not all at the same moment
  process.exit(0)
}
process.once('SIGINT', () => void stop()).once('SIGTERM', () => void stop())

const at = `localhost:${port}`
if (node === undefined || node.isLast)
  console.log(`gate101 demo on http://${at}

A page to try it:
  http://${at}/

In another terminal:
  curl -i http://${at}/ws
  curl -i -H 'X-Api-Key: ${API_KEY}' http://${at}/ws
  curl -u ${USER}:${account.password} http://${at}/me
  npx gate101 dial ws://${at}/ws
  npx gate101 dial ws://${at}/ws -H 'X-Api-Key: ${API_KEY}' --send hello

From Go (gorilla/websocket):
  header := http.Header{"X-Api-Key": {"${API_KEY}"}}
  conn, response, err := websocket.DefaultDialer.Dial("ws://${at}/ws", header)

Sessions that expire after 20 seconds, to see it happen:
  SESSION_SECONDS=20 npm start

Ctrl-C stops it.
`)
node?.ready()
