import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import compression from 'compression'
import connect from 'connect'
import cookieSession from 'cookie-session'
import helmet from 'helmet'
import morgan from 'morgan'
import { createGate, type Gate, type RouteListener } from '../../../src/index.ts'
import { API_KEY, COOKIE_KEY, isUser, LONG_REFUSAL, USER, userOfBasic, userOfBearer, type Stack } from './shared.ts'

interface AppRequest extends IncomingMessage {
  session?: { user?: string; seen?: number } | null
  user?: string
}

type Middleware = (req: AppRequest, res: ServerResponse, next: (error?: unknown) => void) => void

function answer(
  res: ServerResponse,
  status: number,
  body: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  res.writeHead(status, headers)
  res.end(body)
}

/** A page that nobody guards. */
const says =
  (status: number, body: string): Middleware =>
  (_req, res) =>
    answer(res, status, body)

const requireLogin: Middleware = (req, res, next) => {
  const user = req.session?.user
  if (user === undefined) return answer(res, 401, 'log in first')
  req.user = user
  return next()
}

const requireLoginOrRedirect: Middleware = (req, res, next) => {
  if (req.session?.user === undefined) answer(res, 302, '', { Location: '/login' })
  else requireLogin(req, res, next)
}

const requireBasic: Middleware = (req, res, next) => {
  if (userOfBasic(req.headers.authorization) === undefined)
    answer(res, 401, 'who?', { 'WWW-Authenticate': 'Basic realm="app"' })
  else next()
}

const requireBearer: Middleware = (req, res, next) => {
  if (userOfBearer(req.headers.authorization) === undefined)
    answer(res, 401, 'which token?', { 'WWW-Authenticate': 'Bearer' })
  else next()
}

const requireKey: Middleware = (req, res, next) => {
  if (req.headers['x-api-key'] === API_KEY) next()
  else answer(res, 401, 'which key?', { 'WWW-Authenticate': 'ApiKey' })
}

const limit: Middleware = (req, res, next) => {
  if (req.headers['x-tier'] === 'none') answer(res, 429, 'slow down', { 'Retry-After': '60' })
  else next()
}

const setsCookies: Middleware = (req, res, next) => {
  if (req.session) req.session.seen = Date.now()
  res.appendHeader('Set-Cookie', 'theme=dark')
  next()
}

const login: Middleware = (req, res) => {
  const chunks: Buffer[] = []
  req.on('data', (chunk: Buffer) => chunks.push(chunk))
  req.on('end', () => {
    const form = new URLSearchParams(Buffer.concat(chunks).toString())
    if (!isUser(form.get('username'), form.get('password'))) return answer(res, 401, 'no')
    req.session = { user: USER.id }
    return answer(res, 200, 'welcome')
  })
}

const logout: Middleware = (req, res) => {
  req.session = null
  answer(res, 200, 'bye')
}

/** The guards of each path, the same for both. */
function routesOf(gate: Gate): Readonly<Record<string, ReadonlyArray<Middleware | RouteListener>>> {
  const live = gate.websocket((socket) => {
    socket.send('open')
  })
  return {
    '/login': [login],
    '/logout': [logout],
    '/ws/missing': [says(404, 'nothing here')],
    '/ws': [requireLogin, live],
    '/basic': [requireBasic, live],
    '/bearer': [requireBearer, live],
    '/key': [requireKey, live],
    '/open': [live],
    '/redirect': [requireLoginOrRedirect, live],
    '/cookies': [requireLogin, setsCookies, live],
    '/limited': [limit, requireKey, live],
    '/long': [says(403, LONG_REFUSAL)],
    '/page': [says(200, 'a page')],
    '/rooms': [requireLogin, live],
  }
}

/**
 * Reads what the guard has found. The session itself is not asked here: cookie-session reads a cookie at the first look,
 * and takes a forged one back by a header, for which it is too late once the app has ended its response.
 */
const identify = (req: AppRequest): { subject: string } => ({ subject: req.user ?? 'somebody' })

export const connectStack: Stack = {
  name: 'Connect',
  async build() {
    const gate = createGate({ identify })
    const log: string[] = []
    const app = connect()
    app.use(morgan('tiny', { stream: { write: (line) => log.push(line) } }))
    app.use(helmet())
    app.use(compression() as unknown as Middleware)
    app.use(cookieSession({ name: 'sid', keys: [COOKIE_KEY] }) as unknown as Middleware)
    for (const [path, chain] of Object.entries(routesOf(gate))) {
      for (const middleware of chain) app.use(path, middleware)
    }
    const server = createServer(app)
    gate.attach(server)
    return { server, gate, log }
  },
}

/** No framework: a listener with a table. Its sessions are cookies of one value. */
export const nodeStack: Stack = {
  name: 'node:http',
  async build() {
    const gate = createGate({ identify })
    const routes = routesOf(gate)
    const session = cookieSession({ name: 'sid', keys: [COOKIE_KEY] }) as unknown as Middleware
    const server = createServer((req, res) => {
      const chain = routes[(req.url ?? '').split('?')[0] ?? ''] ?? [says(404, 'nothing here')]
      const run = (index: number): void => {
        chain[index]?.(req, res, () => {
          run(index + 1)
        })
      }
      session(req, res, () => {
        run(0)
      })
    })
    gate.attach(server)
    return { server, gate }
  },
}
