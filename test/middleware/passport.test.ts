import assert from 'node:assert/strict'
import type { IncomingMessage } from 'node:http'
import { after, test } from 'node:test'
import express, { type RequestHandler } from 'express'
import session from 'express-session'
import jsonwebtoken from 'jsonwebtoken'
import passport from 'passport'
import { BasicStrategy } from 'passport-http'
import { ExtractJwt, Strategy as JwtStrategy } from 'passport-jwt'
import { Strategy as LocalStrategy } from 'passport-local'
import { connectRaw, handshake, handshakeText, rawRequest } from '../support/raw.ts'
import { trapFaults } from '../support/trap.ts'
import { cookiesOf, ORIGIN, PLAIN, SECRET, serve, type Headers, type Served } from './served.ts'

const trap = trapFaults()
after(async () => await trap.assertNone())

const ALICE = { id: 'alice' }

function makePassport(): passport.Authenticator {
  const made = new passport.Passport()
  const user = (name: unknown, password: unknown): typeof ALICE | false =>
    name === 'alice' && password === 'correct horse' ? ALICE : false
  made.use(new LocalStrategy((name, password, done) => done(null, user(name, password))))
  made.use(new BasicStrategy({ realm: 'app' }, (name, password, done) => done(null, user(name, password))))
  const jwt = {
    jwtFromRequest: ExtractJwt.fromAuthHeaderAsBearerToken(),
    secretOrKey: SECRET,
    algorithms: ['HS256' as const],
  }
  made.use(new JwtStrategy(jwt, ({ sub }: { sub: string }, done) => done(null, sub === ALICE.id ? ALICE : false)))
  made.serializeUser((one, done) => done(null, (one as typeof ALICE).id))
  made.deserializeUser((id, done) => {
    if (id === 'gone') return done(new Error('the database is away'))
    return setImmediate(done, null, id === ALICE.id ? ALICE : false)
  })
  return made
}

async function start(): Promise<Served> {
  const auth = makePassport()
  const by = (strategy: string, options: object = {}): RequestHandler =>
    auth.authenticate(strategy, { session: false, ...options }) as RequestHandler
  return await serve(
    (gate) => {
      const app = express()
      app.set('env', 'test')
      app.use(session({ name: 'sid', secret: SECRET, resave: false, saveUninitialized: false }))
      app.use(auth.initialize() as RequestHandler, auth.session() as RequestHandler)
      const live = gate.websocket((socket, _req, connection) => {
        socket.send(connection.identity.subject)
      }) as RequestHandler
      const welcome: RequestHandler = (_req, res) => void res.send('welcome')
      app.post('/login', express.urlencoded(), by('local', { session: true }), welcome)
      app.get('/session', (req, res, next) => void (req.isAuthenticated() ? next() : res.sendStatus(401)), live)
      app.get('/jwt', by('jwt'), live)
      app.get('/basic', by('basic'), live)
      app.get('/either', auth.authenticate(['jwt', 'basic'], { session: false }) as RequestHandler, live)
      app.get('/redirect', by('jwt', { failureRedirect: '/login?from=live' }), live)
      return app
    },
    { identify: (req: IncomingMessage) => ({ subject: (req as { user?: typeof ALICE }).user?.id ?? '' }) },
  )
}

async function subjectOf(port: number, target: string, headers: Headers): Promise<string | undefined> {
  await using connection = await connectRaw({ port })
  connection.send(handshakeText({ target, headers }))
  assert.equal((await connection.response()).status, 101)
  return (await connection.frames(1))[0]?.text
}

const sign = (payload: object, key = SECRET): string =>
  `Bearer ${jsonwebtoken.sign(payload, key, { algorithm: 'HS256' })}`
const basicOf = (pair: string): string => `Basic ${Buffer.from(pair).toString('base64')}`

test('passport: a session opens, and ends with the login', async () => {
  await using served = await start()
  const form = 'username=alice&password=correct+horse'
  const headers: Headers = {
    ...PLAIN,
    'Content-Type': 'application/x-www-form-urlencoded',
    'Content-Length': String(form.length),
  }
  const login = await rawRequest({
    port: served.port,
    lines: handshake({ method: 'POST', target: '/login', headers }),
    bytes: form,
  })
  assert.equal(login.status, 200)
  const cookie = cookiesOf(login)
  assert.equal(await subjectOf(served.port, '/session', { Cookie: cookie, Origin: ORIGIN }), 'alice')
  const refused = await served.ask({ 'X-Api-Key': null, Cookie: 'sid=s%3Aforged.x', Origin: ORIGIN }, '/session')
  assert.deepEqual([refused.status, refused.text], [401, 'Unauthorized'])
})

test('passport: a bearer token opens; a missing, expired or forged one does not', async () => {
  await using served = await start()
  assert.equal(await subjectOf(served.port, '/jwt', { Authorization: sign({ sub: 'alice' }) }), 'alice')
  for (const authorization of [
    null,
    sign({ sub: 'mallory' }),
    sign({ sub: 'alice', exp: 1000 }),
    sign({ sub: 'alice' }, 'another secret that is 32 bytes long at least'),
    'Bearer x',
  ])
    assert.equal((await served.ask({ Authorization: authorization }, '/jwt')).status, 401)
})

test('passport: Basic opens, and its challenge is on the refusal', async () => {
  await using served = await start()
  assert.equal(await subjectOf(served.port, '/basic', { Authorization: basicOf('alice:correct horse') }), 'alice')
  for (const authorization of [null, basicOf('alice:wrong')]) {
    const refused = await served.ask({ Authorization: authorization }, '/basic')
    assert.deepEqual([refused.status, refused.header('www-authenticate')], [401, 'Basic realm="app"'])
    assert.equal(refused.header('cache-control'), 'no-store')
  }
  // What stands in no header at all is no credential of Basic: passport itself says so.
  assert.equal((await served.ask({ Authorization: 'Basic' }, '/basic')).status, 400)
})

test('passport: where one of two strategies lets in, the handshake opens; else both are asked', async () => {
  await using served = await start()
  assert.equal(await subjectOf(served.port, '/either', { Authorization: sign({ sub: 'alice' }) }), 'alice')
  assert.equal(await subjectOf(served.port, '/either', { Authorization: basicOf('alice:correct horse') }), 'alice')
  const refused = await served.ask({ Authorization: basicOf('alice:wrong') }, '/either')
  assert.deepEqual([refused.status, refused.values('www-authenticate')], [401, ['Basic realm="app"']])
})

test('passport: failureRedirect is a refusal with a Location', async () => {
  await using served = await start()
  assert.equal(await subjectOf(served.port, '/redirect', { Authorization: sign({ sub: 'alice' }) }), 'alice')
  const refused = await served.ask({ Authorization: null }, '/redirect')
  assert.deepEqual([refused.status, refused.header('location')], [302, '/login?from=live'])
  assert.equal(served.refused.at(-1)?.code, 'app')
})
