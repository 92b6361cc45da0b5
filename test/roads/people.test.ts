import assert from 'node:assert/strict'
import { createServer, type IncomingMessage } from 'node:http'
import { describe, test } from 'node:test'
import express, { type RequestHandler } from 'express'
import session, { MemoryStore } from 'express-session'
import passport from 'passport'
import { BasicStrategy } from 'passport-http'
import { createGate, type GateEvent } from '../../src/index.ts'
import { listen, type Listening } from '../support/servers.ts'
import { dial } from './dial.ts'

/** Two people: the cookie of one, and the first message of the other. */

const PASSWORDS: Readonly<Record<string, string>> = { ann: 'horse', bob: 'battery' }

interface App extends AsyncDisposable {
  readonly at: Listening
  readonly cookie: string
  readonly store: MemoryStore
  readonly events: readonly GateEvent[]
  /** What handlers got, and from whom. */
  readonly got: readonly string[]
}

type User = IncomingMessage & { user?: string }

async function start(): Promise<App> {
  const auth = new passport.Passport() as unknown as passport.PassportStatic
  auth.use(new BasicStrategy((name, password, done) => done(null, PASSWORDS[name] === password ? name : false)))
  auth.serializeUser((user, done) => done(null, user as unknown as string))
  auth.deserializeUser((id, done) => done(null, id as Express.User))
  const store = new MemoryStore()
  const gate = createGate({
    identify: (req: User) => (req.user === undefined ? null : { subject: req.user }),
    firstMessage: { paths: ['/basic', '/either', '/writes'] },
  })
  const events: GateEvent[] = []
  for (const type of ['accepted', 'refused', 'warning'] as const) gate.on(type, (event) => events.push(event))
  const got: string[] = []
  const live = gate.websocket((socket, _req, { identity }) => {
    socket.send(identity.subject)
    socket.on('message', (data) => got.push(`${identity.subject}: ${String(data)}`))
  }) as RequestHandler
  const basic = auth.authenticate('basic', { session: false }) as RequestHandler
  const app = express()
  app.use(session({ name: 'sid', secret: 'a secret of this test', resave: false, saveUninitialized: false, store }))
  app.post('/login', auth.initialize() as RequestHandler, auth.authenticate('basic') as RequestHandler, (_req, res) => {
    res.send('in')
  })
  app.get('/basic', basic, live)
  const known = [auth.initialize() as RequestHandler, auth.session() as RequestHandler]
  app.get('/either', ...known, (req, res, next) => void (req.user === undefined ? basic(req, res, next) : next()), live)
  // Writes the login into the session, as passport does unless it is told not to.
  app.get('/writes', auth.initialize() as RequestHandler, auth.authenticate('basic') as RequestHandler, live)
  const server = createServer(app)
  gate.attach(server)
  const at = await listen(server)
  const login = await fetch(`http://127.0.0.1:${at.port}/login`, {
    method: 'POST',
    headers: { Authorization: basicOf('ann') },
  })
  const cookie = login.headers.getSetCookie()[0]?.split(';')[0] ?? ''
  return { at, cookie, store, events, got, [Symbol.asyncDispose]: async () => await at.close() }
}

const basicOf = (name: string): string => `Basic ${Buffer.from(`${name}:${PASSWORDS[name]}`).toString('base64')}`
const messageOf = (username: string): object => ({ type: 'auth', username, password: PASSWORDS[username] })

function sessionsIn(store: MemoryStore): Promise<Readonly<Record<string, unknown>>> {
  return new Promise((resolve, reject) => {
    store.all((error, all) => (error === null || error === undefined ? resolve({ ...all }) : reject(error)))
  })
}

function headersOf({ at, cookie }: App): Record<string, string> {
  return { Cookie: cookie, Origin: `http://127.0.0.1:${at.port}` }
}

const urlOf = ({ at }: App, path: string): string => `ws://127.0.0.1:${at.port}${path}`

describe('the cookie of ann, and the first message of bob', () => {
  test('where the app asks for a password: it is bob, and no session has changed', async () => {
    await using app = await start()
    const before = await sessionsIn(app.store)
    assert.equal(Object.keys(before).length, 1)
    const { outcome, texts } = await dial(urlOf(app, '/basic'), { headers: headersOf(app), message: messageOf('bob') })
    assert.deepEqual([outcome, texts.at(-1)], ['open', 'bob'])
    assert.deepEqual(await sessionsIn(app.store), before)
    assert.deepEqual(
      app.events.filter(({ type }) => type === 'warning'),
      [],
    )
  })

  test('where the cookie is enough: ann until the message, then refused, and the app never sees it', async () => {
    await using app = await start()
    const before = await sessionsIn(app.store)
    const { outcome, texts } = await dial(urlOf(app, '/either'), {
      headers: headersOf(app),
      message: messageOf('bob'),
      texts: 3,
    })
    assert.equal(outcome, 4403)
    assert.deepEqual(texts, ['ann', '{"type":"auth_error","status":403,"code":"identity_changed"}'])
    assert.deepEqual(app.got, [])
    assert.deepEqual(await sessionsIn(app.store), before)
  })

  test('where the cookie is enough and the message is her own: she stays', async () => {
    await using app = await start()
    const { outcome, texts } = await dial(urlOf(app, '/either'), { headers: headersOf(app), message: messageOf('ann') })
    assert.equal(outcome, 'open')
    assert.deepEqual(texts, ['ann', '{"type":"auth_ok","subject":"ann","expiresAt":null,"expiresIn":null}'])
    assert.deepEqual(app.got, [])
  })

  test("where the app writes the login into the session: bob, ann's session as it was, and a warning", async () => {
    await using app = await start()
    const before = await sessionsIn(app.store)
    const { outcome, texts } = await dial(urlOf(app, '/writes'), { headers: headersOf(app), message: messageOf('bob') })
    assert.deepEqual([outcome, texts.at(-1)], ['open', 'bob'])
    const after = await sessionsIn(app.store)
    for (const [id, record] of Object.entries(before)) assert.deepEqual(after[id], record)
    const codes = app.events.flatMap((event) => (event.type === 'warning' ? [event.code] : []))
    assert.deepEqual(codes, ['session_write'])
  })
})
