import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'
import Router from '@koa/router'
import Koa, { type Middleware, type ParameterizedContext } from 'koa'
import { KoaPassport } from 'koa-passport'
import koaSession from 'koa-session'
import { BasicStrategy } from 'passport-http'
import { ExtractJwt, Strategy as JwtStrategy } from 'passport-jwt'
import { Strategy as LocalStrategy } from 'passport-local'
import { createGate, type Gate } from '../../../src/index.ts'
import { websocket } from '../../../src/koa.ts'
import { API_KEY, COOKIE_KEY, isUser, LONG_REFUSAL, SIGNING_KEY, USER, type Stack } from './shared.ts'

type Context = ParameterizedContext

function makePassport(): InstanceType<typeof KoaPassport> {
  const passport = new KoaPassport()
  passport.use(new LocalStrategy((name, password, done) => done(null, isUser(name, password) ? USER : false)))
  passport.use(new BasicStrategy((name, password, done) => done(null, isUser(name, password) ? USER : false)))
  const jwt = {
    jwtFromRequest: ExtractJwt.fromAuthHeaderAsBearerToken(),
    secretOrKey: SIGNING_KEY,
    algorithms: ['HS256' as const],
  }
  passport.use(
    new JwtStrategy(jwt, (payload: { sub: string }, done) => done(null, payload.sub === USER.id ? USER : false)),
  )
  passport.serializeUser((user, done) => done(null, (user as typeof USER).id))
  passport.deserializeUser((id, done) => void setImmediate(done, null, id === USER.id ? USER : false))
  return passport
}

const requireLogin: Middleware = async (ctx, next) => {
  if (!ctx.isAuthenticated()) ctx.throw(401, 'log in first')
  await next()
}

const requireLoginOrRedirect: Middleware = async (ctx, next) => {
  if (ctx.isAuthenticated()) await next()
  else ctx.redirect('/login')
}

const requireKey: Middleware = async (ctx, next) => {
  if (ctx.get('X-Api-Key') === API_KEY) return next()
  ctx.set('WWW-Authenticate', 'ApiKey')
  ctx.status = 401
  ctx.body = { app: 'which key?' }
  return undefined
}

const limit: Middleware = async (ctx, next) => {
  if (ctx.get('X-Tier') === 'none') ctx.throw(429, 'slow down', { headers: { 'Retry-After': '60' } })
  await next()
}

const setsCookies: Middleware = async (ctx, next) => {
  await next()
  if (ctx['session']) ctx['session'].seen = Date.now()
  ctx.cookies.set('theme', 'dark')
  ctx.cookies.set('signed', 'yes', { signed: true })
}

function makeRouter(gate: Gate<Context>, passport: InstanceType<typeof KoaPassport>): Router {
  const live = websocket(gate, (socket) => {
    socket.send('open')
  }) as Middleware
  const router = new Router()
  const login: Middleware = async (ctx, next) => {
    const form = new URLSearchParams(await text(ctx.req))
    Object.assign(ctx.request, { body: Object.fromEntries(form) })
    await next()
  }
  router.post('/login', login, passport.authenticate('local'), (ctx) => {
    ctx.body = 'welcome'
  })
  router.post('/logout', (ctx) => {
    ctx['session'] = null
    ctx.body = 'bye'
  })
  router.get('/ws', requireLogin, live)
  router.get('/basic', passport.authenticate('basic', { session: false }), live)
  router.get('/bearer', passport.authenticate('jwt', { session: false }), live)
  router.get('/key', requireKey, live)
  router.get('/open', live)
  router.get('/redirect', requireLoginOrRedirect, live)
  router.get('/cookies', requireLogin, setsCookies, live)
  router.get('/limited', limit, requireKey, live)
  router.get('/long', (ctx) => {
    ctx.status = 403
    ctx.body = LONG_REFUSAL
  })
  router.get('/page', (ctx) => {
    ctx.body = 'a page'
  })
  router.get('/rooms/:room/ws', requireLogin, live)
  return router
}

export const koaStack: Stack = {
  name: 'Koa',
  async build() {
    const gate = createGate({ identify: (ctx: Context) => ({ subject: ctx.state['user']?.id ?? 'somebody' }) })
    const passport = makePassport()
    const app = new Koa()
    app.silent = true
    app.keys = [COOKIE_KEY]
    const log: string[] = []
    app.use(async (ctx, next) => {
      try {
        await next()
      } finally {
        ctx.set('X-Response-Time', 'measured')
        log.push(`${ctx.method} ${ctx.url}`)
      }
    })
    app.use(koaSession({ key: 'sid', rolling: true }, app))
    app.use(passport.initialize())
    app.use(passport.session())
    const router = makeRouter(gate, passport)
    app.use(router.routes()).use(router.allowedMethods())
    const listener = app.callback()
    const server = createServer((req, res) => void listener(req, res))
    gate.attach(server)
    return { server, gate, log }
  },
}
