import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import express, { type RequestHandler } from 'express'
import session from 'express-session'
import jwt from 'jsonwebtoken'
import { Passport } from 'passport'
import { BasicStrategy } from 'passport-http'
import { WebSocketServer } from 'ws'
import { CLOSE_CODES } from '../../src/core/close-codes.ts'
import { ENDS, kindOfStatus, PROFILES } from '../../src/core/end.ts'
import { REFUSALS, type RefusalRow } from '../../src/core/refusals.ts'
import { createGate, type Gate } from '../../src/index.ts'
import { findGo, findPython, skipWithout, type Program } from '../support/debian.ts'
import { freePort } from '../support/ports.ts'
import { listen, type Listening } from '../support/servers.ts'
import { run, type Ran } from './programs.ts'

const KEY = 'test_jwt_key_of_at_least_32_bytes_'
const PASSWORD = 'test_password_grüße'

const tokenFor = (subject: string): string => jwt.sign({}, KEY, { subject, expiresIn: '1h' })

interface Known {
  user?: { id: string; expiresAt?: Date }
}

const readJwt: RequestHandler = (req, res, next) => {
  try {
    const { sub, exp = 0 } = jwt.verify(req.get('authorization')?.replace(/^Bearer /, '') ?? '', KEY) as jwt.JwtPayload
    Object.assign(req, { user: { id: sub, expiresAt: new Date(exp * 1000) } })
    next()
  } catch {
    res.status(401).set('WWW-Authenticate', 'Bearer').json({ reason: 'no token of ours' })
  }
}

const readSession: RequestHandler = (req, res, next) => {
  const { user } = req.session as { user?: string }
  if (user === undefined) {
    res.status(401).send('log in first')
    return
  }
  Object.assign(req, { user: { id: user } })
  next()
}

const passport = new Passport()
passport.use(
  new BasicStrategy((username, password, done) => done(null, password === PASSWORD ? { id: username } : false)),
)
const readBasic = passport.authenticate('basic', { session: false }) as RequestHandler

function createApp(gate: Gate): express.Express {
  const app = express()
  const sessions = session({ secret: 'test_session_secret', resave: false, saveUninitialized: false })
  const echo = gate.websocket((socket) => {
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }))
  })
  app.post('/login', sessions, (req, res) => {
    Object.assign(req.session, { user: 'alice' })
    res.end()
  })
  for (const [path, ...guards] of [
    ['/jwt', readJwt],
    ['/basic', readBasic],
    ['/session', sessions, readSession],
  ] as const) {
    app.use(path, ...guards)
    app.get(path, echo)
    app.post(`${path}/ticket`, gate.ticket(path))
  }
  const ended = gate.websocket((_socket, _req, connection) => connection.end('moved_away'))
  app.get('/ended', readJwt, ended)
  app.all(['/busy', '/busy/ticket'], (_req, res) => res.status(429).set('Retry-After', '7').end())
  app.all(['/moved', '/moved/ticket'], (_req, res) => res.redirect(307, `http://localhost:${elsewhere.port}/login`))
  app.post('/foreign/ticket', (_req, res) => res.json({ ticket: 'test_ticket', expiresIn: 15, url: '//evil.example/' }))
  return app
}

/** Serves the app under a gate with every road on. */
async function serve(): Promise<{ gate: Gate; listening: Listening }> {
  const gate = createGate({
    identify: (req) => ({ subject: '', ...toIdentity((req as Known).user) }),
    firstMessage: { paths: ['/jwt', '/basic'] },
    subprotocolTokens: true,
    refuse: 'auto',
  })
  const server = createServer(createApp(gate))
  gate.attach(server)
  return { gate, listening: await listen(server) }
}

function toIdentity(user: Known['user']) {
  return user === undefined ? {} : { subject: user.id, expiresAt: user.expiresAt ?? null }
}

const source = (path: string): string => fileURLToPath(new URL(`../../examples/clients/${path}`, import.meta.url))

/** One of the programs: what it is called with, and how. */
interface Client {
  readonly name: string
  readonly found: Program
  command(): Promise<readonly string[]>
}

let folder: string | undefined
let built: Promise<readonly string[]> | undefined

async function build(found: Program): Promise<readonly string[]> {
  if ('missing' in found) throw new Error(found.missing)
  folder = await mkdtemp(join(tmpdir(), 'gate101-go-'))
  const path = join(folder, 'dial')
  const made = await run(found.path, ['build', '-o', path, source('go/main.go')], { ...found.env, CGO_ENABLED: '0' })
  assert.equal(made.code, 0, made.stderr)
  return [path]
}

const go = findGo()
const python = findPython()
const clients: readonly Client[] = [
  { name: 'Go', found: go, command: () => (built ??= build(go)) },
  {
    name: 'Python',
    found: python,
    command: () => Promise.resolve('missing' in python ? [] : [python.path, source('python/dial.py')]),
  },
]

let main: Listening
let elsewhere: Listening
let strangers = 0
let cookie = ''

before(async () => {
  elsewhere = await listen(
    createServer((_req, res) => {
      strangers += 1
      res.end()
    }).on('upgrade', (_req, socket) => {
      strangers += 1
      socket.destroy()
    }),
  )
  main = (await serve()).listening
  const login = await fetch(`http://localhost:${main.port}/login`, { method: 'POST' })
  cookie = login.headers.getSetCookie()[0]?.split(';')[0] ?? ''
})

after(async () => {
  await Promise.all([main.close(), elsewhere.close()])
  if (folder !== undefined) await rm(folder, { recursive: true, force: true })
})

type Env = Readonly<Record<`DIAL_${string}`, string>>
type Fields = Readonly<Record<string, unknown>>

/** Runs the program, checks what every run must keep to, and returns what it has said. */
async function dial(client: Client, road: string, url: string, env: Env, ...flags: string[]): Promise<Fields> {
  const [command = '', ...args] = await client.command()
  const ran: Ran = await run(command, [...args, ...flags, road, url], env)
  assert.equal(ran.stderr, '')
  const { stdout } = ran
  const fields = JSON.parse(stdout) as Record<string, unknown>
  assert.equal(ran.code, fields['outcome'] === 'open' ? 0 : 1)
  for (const secret of Object.entries(env)) {
    if (secret[0] !== 'DIAL_USERNAME') assert.ok(!stdout.includes(secret[1]), 'a credential was printed')
  }
  assert.equal(fields['road'], road)
  delete fields['road']
  return fields
}

const good = (): Env => ({ DIAL_TOKEN: tokenFor('alice') })
const bad: Env = { DIAL_TOKEN: 'test.wrong.token' }
const login: Env = { DIAL_USERNAME: 'alice', DIAL_PASSWORD: PASSWORD }
const wrong: Env = { DIAL_USERNAME: 'alice', DIAL_PASSWORD: 'test_wrong_password' }
const withCookie = (): Env => ({ DIAL_COOKIE: cookie })
const otherCookie: Env = { DIAL_COOKIE: 'connect.sid=s%3Aother.signature' }

const OPEN = { phase: 'open', outcome: 'open', protocol: 'gate101', echo: 'hello' }
const NO = { outcome: 'refused', status: 401, code: 'app', next: 'renew' }
const NO_BY_MESSAGE = { ...NO, phase: 'message', protocol: 'gate101', close: 4401 }

/** Road, path, credential, what becomes of it, flags. */
type Row = readonly [road: string, path: string, env: () => Env, wanted: Fields, ...flags: string[]]

const rows: readonly Row[] = [
  ['header', '/jwt', good, OPEN],
  ['header', '/jwt', () => bad, { ...NO, phase: 'handshake' }],
  ['header', '/basic', () => login, OPEN],
  ['header', '/basic', () => wrong, { ...NO, phase: 'handshake' }],
  ['header', '/session', withCookie, OPEN],
  ['header', '/session', () => otherCookie, { ...NO, phase: 'handshake' }],
  ...['ticket', 'ticket-item'].flatMap((road): Row[] => [
    [road, '/jwt', good, OPEN],
    [road, '/jwt', () => bad, { ...NO, phase: 'ticket' }],
    [road, '/basic', () => login, OPEN],
    [road, '/basic', () => wrong, { ...NO, phase: 'ticket' }],
    [road, '/session', withCookie, OPEN],
    [road, '/session', () => otherCookie, { ...NO, phase: 'ticket' }],
    [road, '/busy', good, { ...NO, phase: 'ticket', status: 429, retryAfter: 7, next: 'wait' }],
    [road, '/moved', good, { ...NO, phase: 'ticket', status: 307 }],
    [road, '/foreign', good, { phase: 'ticket', outcome: 'unsafe', next: 'stop' }],
  ]),
  ['subprotocol', '/jwt', good, OPEN],
  ['subprotocol', '/jwt', () => bad, { ...NO, phase: 'handshake' }],
  ['subprotocol', '/basic', good, { ...NO, phase: 'handshake' }],
  [
    'subprotocol',
    '/jwt',
    () => ({ DIAL_TOKEN: 'no token' }),
    { ...NO, phase: 'handshake', status: 400, code: 'bad_token', next: 'stop' },
  ],
  ['message', '/jwt', good, { ...OPEN, subject: 'alice', expiresIn: 3600 }],
  ['message', '/jwt', () => bad, NO_BY_MESSAGE],
  ['message', '/basic', () => login, { ...OPEN, subject: 'alice', expiresIn: null }],
  ['message', '/basic', () => wrong, NO_BY_MESSAGE],
  ['message', '/basic', good, NO_BY_MESSAGE],
  ['message', '/session', good, { ...NO, phase: 'handshake' }],
  [
    'message',
    '/jwt',
    () => ({ DIAL_TOKEN: 'no token' }),
    { phase: 'message', outcome: 'refused', protocol: 'gate101', close: 4400, code: 'bad_auth_message', next: 'stop' },
  ],
  ['header', '/busy', good, { ...NO, phase: 'handshake', status: 429, retryAfter: 7, next: 'wait' }],
  ['header', '/moved', good, { ...NO, phase: 'handshake', status: 307 }],
  [
    'header',
    '/ended',
    good,
    { phase: 'open', outcome: 'refused', protocol: 'gate101', close: 4403, code: 'moved_away', next: 'stop' },
  ],
  ['probe', '/jwt', good, { phase: 'probe', outcome: 'open', status: 426, code: 'websocket_only', next: 'wait' }],
  ['probe', '/jwt', () => bad, { ...NO, phase: 'probe' }],
  ['probe', '/moved', good, { ...NO, phase: 'probe', status: 307 }],
  ['header', '/jwt', good, OPEN, '--readable'],
  [
    'header',
    '/jwt',
    () => bad,
    { phase: 'handshake', outcome: 'refused', protocol: 'refusal.gate101', close: 4401, code: 'app', next: 'renew' },
    '--readable',
  ],
  [
    'subprotocol',
    '/basic',
    good,
    { phase: 'handshake', outcome: 'refused', protocol: 'refusal.gate101', close: 4401, code: 'app', next: 'renew' },
    '--readable',
  ],
  [
    'header',
    '/busy',
    good,
    { phase: 'handshake', outcome: 'refused', protocol: 'refusal.gate101', close: 4429, code: 'app', next: 'wait' },
    '--readable',
  ],
  ['ticket', '/jwt', good, OPEN, '--readable'],
  ['message', '/jwt', good, { ...OPEN, subject: 'alice', expiresIn: 3600 }, '--readable'],
]

for (const client of clients) {
  describe(`${client.name}, from docs/PROTOCOL.md alone`, { skip: skipWithout(client.found) }, () => {
    for (const [index, [road, path, env, wanted, ...flags]] of rows.entries()) {
      test(`${index + 1}: ${[road, path, ...flags].join(' ')} → ${String(wanted['code'] ?? wanted['outcome'])}`, async () => {
        const seen = await dial(client, road, `ws://localhost:${main.port}${path}`, env(), ...flags)
        const { expiresIn } = seen
        // The token was made a moment ago.
        const rounded = typeof expiresIn === 'number' ? { expiresIn: Math.ceil(expiresIn / 60) * 60 } : {}
        assert.deepEqual({ ...seen, ...rounded }, wanted)
      })
    }

    test('no redirect was followed', () => assert.equal(strangers, 0))

    test('wrong passwords are counted, and the client is told to wait', async () => {
      const env: Env = { DIAL_USERNAME: `target of ${client.name}`, DIAL_PASSWORD: 'test_guess' }
      const statuses: unknown[] = []
      let last: Fields = {}
      for (let n = 0; n < 6; n++) {
        last = await dial(client, 'message', `ws://localhost:${main.port}/basic`, env)
        statuses.push(last['status'])
      }
      assert.deepEqual(statuses, [401, 401, 401, 401, 401, 429])
      const { code, close, next, retryAfter } = last
      assert.deepEqual([code, close, next], ['too_many_attempts', 4429, 'wait'])
      assert.ok(Number(retryAfter) > 0, `retryAfter ${String(retryAfter)}`)
    })

    test('a server that is shutting down is waited for', async () => {
      const { gate, listening } = await serve()
      await using _server = listening
      await gate.close()
      const wanted = {
        phase: 'handshake',
        outcome: 'refused',
        status: 503,
        code: 'closing',
        retryAfter: 5,
        next: 'wait',
      }
      assert.deepEqual(await dial(client, 'header', `ws://localhost:${listening.port}/jwt`, good()), wanted)
    })

    test('a server that is not there is waited for', async () => {
      const port = await freePort()
      const wanted = { phase: 'handshake', outcome: 'lost', next: 'wait' }
      assert.deepEqual(await dial(client, 'header', `ws://127.0.0.1:${port}/jwt`, good()), wanted)
    })

    test('a connection that carries its token back is not gone on with', async () => {
      const http = createServer()
      new WebSocketServer({ server: http, handleProtocols: (offered) => [...offered].at(-1) ?? false })
      await using server = await listen(http)
      const seen = await dial(client, 'subprotocol', `ws://localhost:${server.port}/jwt`, good())
      assert.deepEqual([seen['outcome'], seen['next']], ['unsafe', 'stop'])
      assert.ok(!JSON.stringify(seen).includes('bearer'), 'the token was printed')
    })

    test('nothing is sent without a credential', async () => {
      for (const road of ['header', 'message']) {
        const wanted = { phase: 'handshake', outcome: 'unsafe', next: 'stop' }
        assert.deepEqual(await dial(client, road, `ws://localhost:${elsewhere.port}/jwt`, {}), wanted)
      }
      assert.equal(strangers, 0)
    })

    test('an answer that is cut off, or is none, is a lost connection', async () => {
      const half = 'HTTP/1.1 401 Unauthorized\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{"error":'
      for (const [answer, outcomes] of [
        ['', ['lost']],
        ['nonsense\r\n\r\n', ['lost']],
        [half, ['lost', 'refused']],
      ] as const) {
        await using server = await listen(createServer().on('upgrade', (_req, socket) => socket.end(answer)))
        const { outcome } = await dial(client, 'header', `ws://localhost:${server.port}/jwt`, good())
        assert.ok((outcomes as readonly unknown[]).includes(outcome), `${answer} → ${String(outcome)}`)
      }
    })

    test('nothing is sent unencrypted to another machine', async () => {
      const wanted = { phase: 'handshake', outcome: 'unsafe', next: 'stop' }
      assert.deepEqual(await dial(client, 'header', 'ws://192.0.2.1/jwt', good()), wanted)
    })
  })
}

const page = readFileSync(new URL('../../docs/PROTOCOL.md', import.meta.url), 'utf8')

/** The part of the page under a heading. */
function section(heading: string): string {
  const [, rest = ''] = page.split(`\n${heading}\n`)
  assert.notEqual(rest, '', `docs/PROTOCOL.md has no heading "${heading}"`)
  return rest.split(/\n##+ /)[0] ?? ''
}

/** First cell of each row → all its cells. */
function table(text: string): Map<string, readonly string[]> {
  const rows = [...text.matchAll(/^\| (.*) \|$/gm)].map(([, row = '']) => row.split('|').map((cell) => cell.trim()))
  return new Map(rows.map((cells) => [cells[0] ?? '', cells]))
}

const closeCodeOf = (status: number): number => PROFILES.default[kindOfStatus(status)]
const statuses = Array.from({ length: 300 }, (_, n) => n + 300)
const sent = new Set<number>([...Object.values(CLOSE_CODES), ...statuses.map(closeCodeOf)])

test('docs/PROTOCOL.md has exactly the close codes that a gate sends', () => {
  const own = section('## 12. What a client does next').split('Close codes of the WebSocket protocol')[0] ?? ''
  const listed = [...table(own).keys()].filter((cell) => /^\d/.test(cell)).map(Number)
  assert.deepEqual(listed.toSorted(), [...sent].toSorted())
})

test('docs/PROTOCOL.md names no private close code that no gate sends', () => {
  const named = [...page.matchAll(/(?<!RFC )\b4\d{3}\b(?! bytes)/g)].map(Number)
  assert.deepEqual(
    [...new Set(named)].filter((code) => !sent.has(code)),
    [],
  )
})

test('docs/PROTOCOL.md says which close code stands for which status', () => {
  const told = table(section('### 9.2 Close code and reason'))
  const wanted = (status: number): string => {
    const range = [...told.keys()].find((key) => {
      const [low = 0, high = low] = [...key.matchAll(/\d+/g)].map(Number)
      return low > 0 && status >= low && status <= high
    })
    return told.get(range ?? 'any other')?.[1] ?? ''
  }
  for (const status of statuses) assert.equal(wanted(status), String(closeCodeOf(status)), `status ${status}`)
})

test('docs/PROTOCOL.md has a row for every refusal, and no other, with its status and close code', () => {
  const told = table(section('## 14. Every refusal code'))
  const codes = [...told.keys()].filter((key) => key.startsWith('`')).map((key) => key.replaceAll('`', ''))
  assert.deepEqual(codes.toSorted(), [...Object.keys(REFUSALS), 'app', 'library'].toSorted())
  for (const [code, row] of Object.entries(REFUSALS) as Array<[string, RefusalRow]>) {
    const [, status, close = ''] = told.get(`\`${code}\``) ?? []
    assert.equal(status, String(row.status), code)
    // The parser of the library closes for this one, and says what is wrong with the frames.
    const wanted = code === 'bad_frame' ? '1002, 1007' : String(closeCodeOf(row.status))
    assert.ok(close === '–' || close === wanted, `${code}: Close ${close}, not ${wanted}`)
  }
})

test('every word in docs/PROTOCOL.md that looks like a refusal is one', () => {
  const reasons = Object.values(ENDS).map(({ reason }) => reason as string)
  const others = ['access_token', 'auth_ok', 'auth_error', 'auth_expiring', ...reasons]
  const words = [...page.matchAll(/`([a-z]+(?:_[a-z0-9]+)+)`/g)].map(([, word = '']) => word)
  assert.deepEqual(
    [...new Set(words)].filter((word) => !(word in REFUSALS) && !others.includes(word)),
    [],
  )
})
