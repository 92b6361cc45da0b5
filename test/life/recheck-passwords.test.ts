import assert from 'node:assert/strict'
import { createServer, type IncomingMessage } from 'node:http'
import { after, describe, test } from 'node:test'
import express, { type RequestHandler } from 'express'
import passport from 'passport'
import { BasicStrategy } from 'passport-http'
import { createGate, type Gate, type RouteListener } from '../../src/index.ts'
import { basic, bearer } from '../../src/schemes.ts'
import { trapFaults } from '../support/trap.ts'
import {
  gateOptions,
  HOUR,
  MINUTE,
  start,
  turns,
  type AppOptions,
  type Built,
  type Opened,
  type Site,
  type World,
} from './recheck-world.ts'

// Rule R5: what must not be shown to the app a second time is not, and ends after an hour.

const trap = trapFaults()
after(async () => await trap.assertNone())

const MAX_AGE = { code: 4401, reason: 'max_age' }
const UNAUTHORIZED = { code: 4401, reason: 'unauthorized' }
const isOpen = ({ ws }: Opened): boolean => ws.readyState === ws.OPEN
const basicOf = (name: string, password: string): string =>
  `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`

/** Verifies a credential, and counts how often it was asked to. */
interface Verifier {
  calls: number
  password: string
  verify(name: string, password: string): boolean
}

function makeVerifier(): Verifier {
  return {
    calls: 0,
    password: 'old',
    verify(_name, password) {
      this.calls++
      return password === this.password
    },
  }
}

type Make = (verifier: Verifier) => (world: World, options: AppOptions) => Promise<Built>

const userOf = (req: IncomingMessage): string =>
  (req as IncomingMessage & { user?: { id: string } }).user?.id ?? 'alice'

/** An app with a guard of its own. */
function guarded(guard: (verifier: Verifier) => RequestHandler): Make {
  return (verifier) => async (world, options) => {
    const gate = createGate({ ...gateOptions(world, options), identify: (req) => ({ subject: userOf(req) }) })
    const app = express()
    app.set('env', 'test')
    app.get('/ws', guard(verifier), gate.websocket(() => undefined) as RequestHandler)
    return { server: createServer(app), gate }
  }
}

const onPassport = guarded((verifier) => {
  const made = new passport.Passport()
  made.use(
    new BasicStrategy((name, password, done) => done(null, verifier.verify(name, password) ? { id: name } : false)),
  )
  return made.authenticate('basic', { session: false }) as RequestHandler
})

/** Whatever the scheme, its last word is the password. */
const byHand = guarded((verifier) => (req, res, next) => {
  const value = req.get('Authorization') ?? req.get('Signature') ?? ''
  if (verifier.verify('alice', /\b(old|new)\b/.exec(value)?.[1] ?? '')) next()
  else res.sendStatus(401)
})

/** The schemes of the gate; with a route, also in front of an app. */
const onSchemes: Make = (verifier) => async (world, options) => {
  const gate = createGate({
    ...gateOptions(world, options),
    authenticate: [
      basic({ verify: (name, password) => (verifier.verify(name, password) ? { subject: name } : null) }),
      bearer({ verify: (token) => (verifier.verify('', token) ? { subject: 'alice' } : null) }),
    ],
  })
  const live = gate.websocket(() => undefined)
  return { server: createServer((req, res) => live(req, res)), gate: gate as unknown as Built['gate'] }
}

const ONCE: ReadonlyArray<readonly [string, Make, Record<string, string>]> = [
  ['Basic, passport-http', onPassport, { Authorization: basicOf('alice', 'old') }],
  ['Basic, the scheme', onSchemes, { Authorization: basicOf('alice', 'old') }],
  ['Basic, in small letters', byHand, { Authorization: 'basic  YWxpY2U6b2xk old' }],
  ['Digest', byHand, { Authorization: 'Digest username="alice", nonce="n", uri="/ws", response="old"' }],
  ['Negotiate', byHand, { Authorization: 'Negotiate old' }],
  ['NTLM', byHand, { Authorization: 'NTLM old' }],
  ['DPoP', byHand, { Authorization: 'DPoP old', DPoP: 'e30.e30.c2ln' }],
  ['a bearer token with a proof', byHand, { Authorization: 'Bearer old', DPoP: 'e30.e30.c2ln' }],
  [
    'an HTTP signature',
    byHand,
    { Signature: 'sig1=:old:', 'Signature-Input': 'sig1=("@method");created=1', 'X-Api-Key': 'k' },
  ],
  ['an AWS signature', byHand, { Authorization: 'AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=old' }],
  ['OAuth 1', byHand, { Authorization: 'OAuth oauth_nonce="n", oauth_signature="old"' }],
  ['Hawk', byHand, { Authorization: 'Hawk id="a", ts="1", nonce="n", mac="old"' }],
  ['a scheme that nobody knows', byHand, { Authorization: 'Mystery old' }],
  [
    'a password beside a cookie',
    byHand,
    { Authorization: `${basicOf('alice', 'x')} old`, Cookie: 'sid=1', Origin: 'http://localhost', Host: 'localhost' },
  ],
]

async function openTen(site: Site, headers: Record<string, string>): Promise<Opened[]> {
  const opened: Opened[] = []
  for (let n = 0; n < 10; n++) opened.push(await site.open(headers))
  return opened
}

describe('ten sockets of one whose password has changed', () => {
  for (const [name, make, headers] of ONCE) {
    test(`${name}: cause no call of the verifier, and end after an hour`, async () => {
      const verifier = makeVerifier()
      await using site = await start({ build: make(verifier) })
      const opened = await openTen(site, headers)
      assert.equal(verifier.calls, 10)
      verifier.password = 'new'
      for (let n = 1; n < HOUR / MINUTE; n++) {
        site.clock.pass(MINUTE)
        await turns(4)
      }
      site.clock.pass(MINUTE - 1)
      await turns(4)
      assert.ok(opened.every(isOpen))
      site.clock.pass(1)
      for (const one of opened) assert.deepEqual(await one.closed, MAX_AGE)
      assert.equal(verifier.calls, 10)
      assert.deepEqual(
        site.events.filter(({ type }) => type === 'rechecked'),
        [],
      )
    })
  }

  test('one that may be asked about again, as a control', async () => {
    for (const make of [byHand, onSchemes]) {
      const verifier = makeVerifier()
      await using site = await start({ build: make(verifier) })
      const opened = await openTen(site, { Authorization: 'Bearer old' })
      verifier.password = 'new'
      await site.recheck()
      for (const one of opened) assert.deepEqual(await one.closed, UNAUTHORIZED)
      assert.equal(verifier.calls, 11)
    }
  })

  test('a password in a first message: no call either', async () => {
    const verifier = makeVerifier()
    const build = async (world: World, options: AppOptions): Promise<Built> => {
      const gate: Gate = createGate({
        ...gateOptions(world, options),
        firstMessage: { paths: ['/ws'] },
        identify: () => ({ subject: 'alice' }),
      })
      const live: RouteListener = gate.websocket(() => undefined)
      const app = (req: IncomingMessage, res: Parameters<RouteListener>[1]): void => {
        const value = req.headers.authorization
        if (
          value !== undefined &&
          verifier.verify('alice', Buffer.from(value.slice(6), 'base64').toString().split(':')[1] ?? '')
        )
          live(req, res)
        else res.writeHead(401).end()
      }
      return { server: createServer(app), gate }
    }
    await using site = await start({ build })
    const opened = await site.open({ Origin: 'http://localhost', Host: 'localhost' }).catch((error: unknown) => error)
    // It is open for its client alone: the gate has no such connection yet.
    assert.match(String(opened), /no such connection/)
    await using other = await authenticated(site)
    assert.equal(verifier.calls, 1)
    verifier.password = 'new'
    for (let n = 0; n < 59; n++) {
      site.clock.pass(MINUTE)
      await turns(4)
    }
    assert.ok(isOpen(other))
    site.clock.pass(MINUTE)
    assert.deepEqual(await other.closed, MAX_AGE)
    assert.equal(verifier.calls, 1)
  })
})

/** One that has sent a name and a password. */
async function authenticated(site: Site): Promise<Opened & AsyncDisposable> {
  const { WebSocket } = await import('ws')
  const ws = new WebSocket(`ws://127.0.0.1:${site.port}/ws`, {
    headers: { Origin: 'http://localhost', Host: 'localhost' },
  })
  const closed = new Promise<{ code: number; reason: string }>((resolve) =>
    ws.on('close', (code, reason) => resolve({ code, reason: String(reason) })),
  )
  await new Promise((resolve) => ws.once('open', resolve))
  ws.send(JSON.stringify({ type: 'auth', username: 'alice', password: 'old' }))
  const said = await new Promise<string>((resolve) => ws.once('message', (data) => resolve(String(data))))
  assert.match(said, /auth_ok/)
  const [connection] = site.gate.connections
  assert.ok(connection !== undefined)
  return { ws, connection, closed, received: () => 0, [Symbol.asyncDispose]: async () => ws.terminate() }
}
