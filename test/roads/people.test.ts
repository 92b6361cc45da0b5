import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import express, { type RequestHandler } from 'express'
import session, { MemoryStore } from 'express-session'
import { createServer } from 'node:http'
import { createGate } from '../../src/index.ts'
import { listen } from '../support/servers.ts'
import { frame, OPCODE, type Frame } from '../support/frames.ts'
import { connectRaw, handshakeText, type RawConnection } from '../support/raw.ts'
import { trapFaults, type Trap } from '../support/trap.ts'
import { APPS, start, type Running } from './adapters.ts'
import { pathOf, type Guard, type RoadsApp } from './apps/types.ts'
import { converse, dial, logIn, ORIGIN, setCookiesIn, whoIs } from './client.ts'
import { COOKIE_KEY, jwtOf, PASSWORDS, People, type Person } from './people.ts'

/** The cookie of alice is there, and the message, or the token, is of bob. */

const auth = (person: Person, password = PASSWORDS[person]): string =>
  JSON.stringify({ type: 'auth', username: person, password })

const itemOf = (token: string): string =>
  `gate101, base64url.bearer.authorization.gate101.${Buffer.from(token).toString('base64url')}`

const warningsOf = ({ events }: Running): string[] =>
  events.flatMap((event) => (event.type === 'warning' ? [event.code] : []))

const peopleOf = ({ events }: Running): unknown[] =>
  events.flatMap((event) => (event.type === 'accepted' ? [event.subject] : []))

for (const adapter of APPS) {
  describe(adapter.name, () => {
    let trap: Trap
    before(() => {
      trap = trapFaults()
    })
    after(() => trap.assertNone())

    test('a login by message, with the cookie of another along: who sent the message', async () => {
      await using running = await start(adapter)
      const { app, port } = running
      const cookie = await logIn(port, 'alice')
      const records = app.sessions()
      const headers = { Origin: ORIGIN, Cookie: cookie }
      const outcome = await converse(port, pathOf('basic', 'talk'), headers, auth('bob'))
      assert.deepEqual(outcome.opened, { subject: 'bob', user: 'bob' })
      assert.deepEqual(setCookiesIn(outcome), [])
      const wrong = await converse(port, pathOf('basic', 'talk'), headers, auth('bob', 'wrong'))
      assert.deepEqual([wrong.opened, wrong.status, wrong.closeCode], [undefined, 401, 4401])
      assert.deepEqual(setCookiesIn(wrong), [])
      assert.deepEqual(app.sessions(), records)
      assert.deepEqual(peopleOf(running), ['bob'])
      assert.deepEqual(app.log.heard, [])
      assert.deepEqual(warningsOf(running), [])
      for (const { phase, saw } of app.log.ran) assert.equal(saw['cookie'], phase === 'message' ? undefined : cookie)
    })

    test('a cookie that opens at once: a message of another ends it, the own one is answered', async () => {
      await using running = await start(adapter)
      const { app, port } = running
      const cookie = await logIn(port, 'alice')
      const records = app.sessions()
      for (const [message, status, code, closeCode] of [
        [auth('bob'), 403, 'identity_changed', 4403],
        [JSON.stringify({ type: 'auth', token: jwtOf('bob') }), 403, 'identity_changed', 4403],
        [auth('bob', 'wrong'), 401, 'app', 4401],
        [auth('alice', 'wrong'), 401, 'app', 4401],
      ] as const) {
        const said = await afterOpening(port, 'either', cookie, message)
        assert.deepEqual(said.texts, [{ type: 'auth_error', status, code }], message)
        assert.deepEqual([said.closeCode, said.reason], [closeCode, code], message)
      }
      const own = await afterOpening(port, 'either', cookie, auth('alice'))
      assert.deepEqual(app.log.heard, [], 'none of this is a message for the app')
      assert.deepEqual(own.texts, [{ type: 'auth_ok', subject: 'alice', expiresAt: null, expiresIn: null }])
      assert.deepEqual(
        peopleOf(running),
        Array.from({ length: 5 }, () => 'alice'),
      )
      assert.deepEqual(app.sessions(), records)
      assert.deepEqual(warningsOf(running), [])
    })

    test('a cookie of nobody: the socket waits, and is of who sends the message', async () => {
      await using running = await start(adapter)
      const { app, port } = running
      const records = app.sessions()
      for (const Cookie of ['sid=s%3Aalice.forged', 'sid=alice; sid=bob', 'user=alice']) {
        const outcome = await converse(port, pathOf('either', 'talk'), { Origin: ORIGIN, Cookie }, auth('bob'))
        assert.deepEqual(outcome.opened, { subject: 'bob', user: 'bob' }, Cookie)
      }
      assert.deepEqual(app.sessions(), records)
    })

    test('a token by subprotocol or query, with the cookie of another along: who the token is of, or nobody', async () => {
      await using running = await start(adapter)
      const { app, port } = running
      const [target, cookie] = [pathOf('either', 'live'), await logIn(port, 'alice')]
      const records = app.sessions()
      const headers = { Origin: ORIGIN, Cookie: cookie }
      const right = jwtOf('bob')
      const wrong = jwtOf('bob', 'another signing key of somebody else, 32 bytes')
      for (const [token, said] of [
        [right, 'bob'],
        [wrong, 401],
      ] as const) {
        const inItem = await dial(port, target, { ...headers, 'Sec-WebSocket-Protocol': itemOf(token) })
        const inQuery = await dial(port, `${target}?access_token=${token}`, headers)
        assert.equal(inItem.opened?.subject ?? inItem.status, said)
        assert.equal(inQuery.opened?.subject ?? inQuery.status, said)
      }
      assert.deepEqual(peopleOf(running), ['bob', 'bob'])
      assert.deepEqual(app.sessions(), records)
    })

    test('an app that writes the login into the session: nobody gets it, and it is reported', async () => {
      await using running = await start(adapter)
      const { app, port } = running
      const cookie = await logIn(port, 'alice')
      const records = app.sessions()
      const headers = { Origin: ORIGIN, Cookie: cookie }
      const outcome = await converse(port, pathOf('writes', 'talk'), headers, auth('bob'))
      assert.deepEqual(outcome.opened, { subject: 'bob', user: 'bob' })
      assert.deepEqual(warningsOf(running), ['session_write'])
      assertKept(app, records, outcome.wire)
      assert.deepEqual(await whoIs(port, pathOf('session', 'me'), { Cookie: cookie }), {
        status: 200,
        subject: 'alice',
      })
    })

    test('the same on a socket that the cookie of another has opened', async () => {
      await using running = await start(adapter)
      const { app, port } = running
      const cookie = await logIn(port, 'alice')
      const records = app.sessions()
      const said = await afterOpening(port, 'both', cookie, auth('bob'))
      assert.deepEqual([said.closeCode, said.reason], [4403, 'identity_changed'])
      assert.deepEqual(warningsOf(running), ['session_write'])
      assertKept(app, records, said.wire)
      assert.deepEqual(await whoIs(port, pathOf('session', 'me'), { Cookie: cookie }), {
        status: 200,
        subject: 'alice',
      })
    })

    test('many at once, each with the cookie of alice: each is who they say', async () => {
      await using running = await start(adapter)
      const { app, port, listening } = running
      const headers = { Origin: ORIGIN, Cookie: await logIn(port, 'alice') }
      const records = app.sessions()
      const crowd = Array.from({ length: 12 }, (_, n) => (['bob', 'carol', 'alice'] as const)[n % 3] ?? 'bob')
      await Promise.all(
        crowd.map(async (person) => {
          const outcome = await converse(port, pathOf('basic', 'talk'), headers, auth(person))
          assert.deepEqual(outcome.opened, { subject: person, user: person })
        }),
      )
      await listening.noneOpen()
      assert.deepEqual(app.sessions(), records)
    })
  })
}

/** Notes what is asked of it, with the key. */
class NotingStore extends MemoryStore {
  readonly calls: string[] = []

  override get(...args: Parameters<MemoryStore['get']>): void {
    this.calls.push(`get ${args[0]}`)
    super.get(...args)
  }

  override set(...args: Parameters<MemoryStore['set']>): void {
    this.calls.push(`set ${args[0]}`)
    super.set(...args)
  }

  override touch(...args: Parameters<NonNullable<MemoryStore['touch']>>): void {
    this.calls.push(`touch ${args[0]}`)
    super.touch?.(...args)
  }

  override destroy(...args: Parameters<MemoryStore['destroy']>): void {
    this.calls.push(`destroy ${args[0]}`)
    super.destroy(...args)
  }
}

test('express-session, rolling: the message looks for no session and prolongs none', async () => {
  const store = new NotingStore()
  const gate = createGate({
    identify: (req) => ({ subject: (req as { user?: Person }).user ?? '' }),
    firstMessage: { paths: ['/talk'] },
  })
  const people = new People()
  const app = express()
  const cookie = { maxAge: 60_000 }
  app.use(
    session({ name: 'sid', secret: COOKIE_KEY, resave: false, saveUninitialized: false, rolling: true, store, cookie }),
  )
  app.post('/login', (req, res) => {
    Object.assign(req.session, { user: 'alice' })
    res.end()
  })
  app.get(
    '/talk',
    (req, res, next) => {
      const user = people.byBasic(req.headers.authorization)
      if (user === undefined) return void res.status(401).end()
      Object.assign(req, { user })
      return next()
    },
    gate.websocket((socket) => socket.send('hello')) as RequestHandler,
  )
  const server = createServer(app)
  gate.attach(server)
  await using listening = await listen(server)
  const { port } = listening
  const headers = { Origin: ORIGIN, Cookie: await logIn(port, 'alice') }
  store.calls.length = 0
  await using connection = await connectRaw({ port })
  connection.send(handshakeText({ target: '/talk', headers }))
  await connection.response()
  // The handshake is a GET with the cookie, like any other.
  assert.deepEqual(
    store.calls.map((call) => call.split(' ')[0]),
    ['get', 'touch'],
  )
  store.calls.length = 0
  connection.send(frame(auth('bob')))
  const [ok, greeting] = await connection.frames(2)
  assert.deepEqual([JSON.parse(ok?.text ?? '').subject, greeting?.text], ['bob', 'hello'])
  assert.deepEqual(store.calls, [])
  assert.doesNotMatch(connection.received().toString('latin1'), /set-cookie/i)
})

/** What was there is as it was; whatever is new has a key that no client has seen. */
function assertKept(app: RoadsApp, records: Readonly<Record<string, string>>, wire: string): void {
  const now = app.sessions()
  for (const [key, record] of Object.entries(records)) assert.equal(now[key], record)
  assert.doesNotMatch(wire, /set-cookie/i)
  for (const key of Object.keys(now)) {
    if (!(key in records)) assert.ok(!wire.includes(key), 'the key of a new session is on the wire')
  }
}

interface Said {
  /** What came after the message. */
  readonly texts: readonly unknown[]
  readonly closeCode: number | undefined
  readonly reason: string | undefined
  /** Everything after the 101. */
  readonly wire: string
}

/** Opens by the cookie of alice, and sends a message then. */
async function afterOpening(port: number, guard: Guard, cookie: string, message: string): Promise<Said> {
  await using connection = await connectRaw({ port })
  connection.send(handshakeText({ target: pathOf(guard, 'talk'), headers: { Origin: ORIGIN, Cookie: cookie } }))
  const [greeting] = await connection.frames(1)
  assert.deepEqual(JSON.parse(greeting?.text ?? ''), { subject: 'alice', user: 'alice' })
  connection.send(frame(message))
  const [, answer] = await connection.frames(2)
  const refused = answer !== undefined && answer.text.includes('auth_error')
  const frames = (await connection.frames(refused ? 3 : 2)).slice(1)
  const close = frames.find(({ opcode }) => opcode === OPCODE.close)
  return {
    texts: frames.filter(isText).map(({ text }) => JSON.parse(text) as unknown),
    closeCode: close?.closeCode,
    reason: close?.text,
    wire: afterHead(connection),
  }
}

const isText = ({ opcode }: Frame): boolean => opcode === OPCODE.text

function afterHead(connection: RawConnection): string {
  const bytes = connection.received().toString('latin1')
  return bytes.slice(bytes.indexOf('\r\n\r\n'))
}
