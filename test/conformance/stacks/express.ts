import { createServer, type IncomingMessage } from 'node:http'
import compression from 'compression'
import cookieParser from 'cookie-parser'
import cors from 'cors'
import express, { type RequestHandler } from 'express'
import express4 from 'express4'
import { rateLimit } from 'express-rate-limit'
import session from 'express-session'
import helmet from 'helmet'
import morgan from 'morgan'
import passport from 'passport'
import { BasicStrategy } from 'passport-http'
import { ExtractJwt, Strategy as JwtStrategy } from 'passport-jwt'
import { Strategy as LocalStrategy } from 'passport-local'
import { createGate, type Gate } from '../../../src/index.ts'
import { ALLOWED_ORIGIN, API_KEY, COOKIE_KEY, isUser, LONG_REFUSAL, SIGNING_KEY, USER, type Stack } from './shared.ts'

export function makePassport(): passport.PassportStatic {
  const made = new passport.Passport() as unknown as passport.PassportStatic
  made.use(
    new LocalStrategy((name, password, done) => {
      done(null, isUser(name, password) ? USER : false)
    }),
  )
  made.use(
    new BasicStrategy((name, password, done) => {
      done(null, isUser(name, password) ? USER : false)
    }),
  )
  const jwt = {
    jwtFromRequest: ExtractJwt.fromAuthHeaderAsBearerToken(),
    secretOrKey: SIGNING_KEY,
    algorithms: ['HS256' as const],
  }
  made.use(
    new JwtStrategy(jwt, (payload: { sub: string }, done) => {
      done(null, payload.sub === USER.id ? USER : false)
    }),
  )
  made.serializeUser((user, done) => {
    done(null, (user as typeof USER).id)
  })
  made.deserializeUser((id, done) => {
    setImmediate(done, null, id === USER.id ? USER : false)
  })
  return made
}

export const requireLogin: RequestHandler = (req, res, next) => {
  if (req.user === undefined) res.status(401).json({ app: 'log in first' })
  else next()
}

export const requireKey: RequestHandler = (req, res, next) => {
  if (req.get('X-Api-Key') === API_KEY) next()
  else res.set('WWW-Authenticate', 'ApiKey').sendStatus(401)
}

export const identify = (req: IncomingMessage): { subject: string } => ({
  subject: (req as IncomingMessage & { user?: { id: string } }).user?.id ?? 'somebody',
})

/** The middlewares that stand before every route, with the ones of a login session last. */
export function commonMiddlewares(auth: passport.PassportStatic, log: string[]): RequestHandler[] {
  return [
    morgan('tiny', { stream: { write: (line) => log.push(line) } }) as RequestHandler,
    helmet() as RequestHandler,
    cors({ origin: [ALLOWED_ORIGIN], credentials: true }) as RequestHandler,
    compression(),
    cookieParser(COOKIE_KEY),
    session({ name: 'sid', secret: COOKIE_KEY, resave: false, saveUninitialized: false, rolling: true }),
    auth.initialize() as RequestHandler,
    auth.session() as RequestHandler,
  ]
}

export function addLogin(app: express.Express, auth: passport.PassportStatic): void {
  app.post(
    '/login',
    express.urlencoded(),
    auth.authenticate('local') as RequestHandler,
    (_req, res) => void res.send('welcome'),
  )
  app.post('/logout', (req, res) => {
    req.session.destroy(() => void res.send('bye'))
  })
}

function addRoutes(app: express.Express, gate: Gate, auth: passport.PassportStatic): void {
  const live = gate.websocket((socket) => {
    socket.send('open')
  }) as RequestHandler
  const limiter = rateLimit({
    windowMs: 60_000,
    limit: (req) => (req.get('X-Tier') === 'none' ? 0 : 1_000_000),
    legacyHeaders: false,
    // It warns of a limit of 0, which is meant here.
    validate: false,
  })
  addLogin(app, auth)
  app.get('/ws', requireLogin, live)
  app.get('/basic', auth.authenticate('basic', { session: false }) as RequestHandler, live)
  app.get('/bearer', auth.authenticate('jwt', { session: false }) as RequestHandler, live)
  app.get('/key', requireKey, live)
  app.get('/open', live)
  app.get(
    '/redirect',
    auth.authenticate('session', { failureRedirect: '/login' }) as RequestHandler,
    requireLoginOrRedirect,
    live,
  )
  app.get('/cookies', requireLogin, setsCookies, live)
  app.get('/limited', limiter, requireKey, live)
  app.get('/long', (_req, res) => void res.status(403).type('text').send(LONG_REFUSAL))
  app.get('/page', (_req, res) => void res.send('a page'))
  app.get('/rooms/:room/ws', requireLogin, live)
}

const requireLoginOrRedirect: RequestHandler = (req, res, next) => {
  if (req.user === undefined) res.redirect('/login')
  else next()
}

const setsCookies: RequestHandler = (req, res, next) => {
  Object.assign(req.session, { seen: true })
  res.cookie('theme', 'dark').cookie('signed', 'yes', { signed: true, httpOnly: true })
  next()
}

function expressStack(name: string, make: () => express.Express): Stack {
  return {
    name,
    async build() {
      const gate = createGate({ identify })
      const auth = makePassport()
      const log: string[] = []
      const app = make()
      app.set('env', 'test')
      app.use(...commonMiddlewares(auth, log))
      addRoutes(app, gate, auth)
      const server = createServer(app)
      gate.attach(server)
      return { server, gate, log }
    },
  }
}

export const express5Stack = expressStack('Express 5', () => express())
export const express4Stack = expressStack('Express 4', () => express4() as unknown as express.Express)
