import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { after, before, describe, it } from 'node:test'
import { inspect } from 'node:util'
import express from 'express'
import { Server as SocketServer } from 'socket.io'
import { WebSocketServer } from 'ws'
import { createGate, type Gate, type GateEvent } from '../../src/index.ts'
import { apiKey, basic, bearer } from '../../src/schemes.ts'
import { connectRaw, handshakeText, reset } from '../support/raw.ts'
import { listen } from '../support/servers.ts'
import { trapFaults } from '../support/trap.ts'
import { expressApp, KEY } from './apps.ts'

const EVENTS = ['accepted', 'refused', 'aborted', 'ended', 'warning'] as const
const SECRETS = {
  'X-Api-Key': KEY,
  Authorization: 'Bearer bearer-0b5c',
  Cookie: 'sid=cookie-91d2; other=cookie-77aa',
  'Sec-WebSocket-Protocol': 'bearer.protocol-5e1f',
  Origin: 'http://localhost',
} as const
const WORDS = [
  '7f3a',
  '0b5c',
  '91d2',
  '77aa',
  '5e1f',
  'query-c3',
  'fragment-c3',
  'parameter-c3',
  'userinfo-c3',
  'sess-d4',
]

function collect(gate: Pick<Gate, 'on'>): GateEvent[] {
  const events: GateEvent[] = []
  for (const type of EVENTS) gate.on(type, (event) => events.push(event))
  return events
}

function assertNoSecret(what: unknown, where: string): void {
  const text = inspect(what, { depth: 12, showHidden: true, maxStringLength: null }) + JSON.stringify(what)
  for (const word of WORDS) assert.equal(text.includes(word), false, `${where}: ${word} in ${text}`)
}

/** Every target that could carry a secret. */
const TARGETS = [
  '/ws?access_token=query-c3',
  '/ws#access_token=fragment-c3',
  '/ws;jsessionid=parameter-c3',
  'http://user:userinfo-c3@localhost/ws',
  '//user:userinfo-c3@evil/ws',
  '/none?token=query-c3',
  '/401?token=query-c3',
  '/200?token=query-c3',
  '/throws?token=query-c3',
  '/hangs?token=query-c3',
  '/library?token=query-c3',
  '/library-refuses?token=query-c3',
  '/library-throws?token=query-c3',
] as const

let trap: ReturnType<typeof trapFaults>
before(() => {
  trap = trapFaults()
})
after(() => trap.assertNone())

describe('C4: no secret in any event, warning, or inspect', () => {
  it('at the app door, on every way out', async () => {
    const { server, gate } = expressApp(
      (app, own) => {
        app.get(
          '/ws',
          own.websocket(() => undefined),
        )
        app.get('/401', (_req, res) => void res.status(401).end())
        app.get('/200', (_req, res) => void res.end('a page'))
        app.get('/throws', () => {
          throw new Error('broken')
        })
        app.get('/hangs', () => undefined)
        app.get('/library', own.accept(new WebSocketServer({ noServer: true })))
        app.get('/library-refuses', own.accept(new WebSocketServer({ noServer: true, verifyClient: () => false })))
        app.get(
          '/library-throws',
          own.accept(() => {
            throw new Error('broken')
          }),
        )
      },
      { identify: () => ({ subject: 'ann', session: 'sess-d4', claims: { name: 'Ann' } }), limits: { deadline: 150 } },
    )
    const events = collect(gate)
    const warned: unknown[] = []
    const onWarning = (warning: Error): unknown => warned.push(warning)
    process.on('warning', onWarning)
    await using listening = await listen(server)
    for (const target of TARGETS) {
      const connection = await connectRaw(listening)
      connection.send(handshakeText({ target, headers: { ...SECRETS, 'X-Forwarded-For': '9.9.9.9' } }))
      const { body } = await connection.response()
      assertNoSecret(body.toString(), `the answer to ${target}`)
      for (const one of gate.connections) {
        assertNoSecret(one, 'a connection')
        assertNoSecret({ ...one.identity }, 'an identity')
        assert.equal(one.identity.session, 'sess-d4', 'it is there for the app')
      }
      connection.destroy()
      await listening.noneOpen()
    }
    await new Promise(setImmediate)
    process.off('warning', onWarning)
    assert.ok(events.length >= TARGETS.length)
    assertNoSecret(events, 'the events')
    assertNoSecret(warned.map(String), 'the process warnings')
    assertNoSecret(gate, 'the gate')
  })

  it('at the schemes, right and wrong', async () => {
    const broken = (): never => {
      throw new Error('the verifier is broken')
    }
    for (const scheme of [
      apiKey({ keys: [{ key: KEY, subject: 'ann' }] }),
      basic({ verify: () => null }),
      bearer({ verify: () => null }),
      bearer({ verify: broken }),
    ]) {
      const gate = createGate({ authenticate: scheme })
      const app = express()
      app.get(
        '/ws',
        gate.websocket(() => undefined),
      )
      const server = createServer(app)
      gate.attach(server)
      const events = collect(gate)
      await using listening = await listen(server)
      for (const headers of [
        SECRETS,
        { 'X-Api-Key': SECRETS['X-Api-Key'] },
        { Authorization: SECRETS.Authorization },
        { Authorization: `Basic ${Buffer.from('ann:query-c3').toString('base64')}` },
        { 'X-Api-Key': 'wrong-query-c3' },
      ]) {
        await using connection = await connectRaw(listening)
        connection.send(handshakeText({ headers }))
        const { body } = await connection.response()
        assertNoSecret(body.toString(), 'the answer')
      }
      assert.ok(events.length >= 5)
      assertNoSecret(events, scheme.name)
      assertNoSecret([gate, scheme], 'the gate and its scheme')
    }
  })
})

describe('every handshake is told of once', () => {
  it('by one event, whatever became of it', async () => {
    let onAsked: () => void = () => undefined
    const asked = new Promise<void>((resolve) => {
      onAsked = resolve
    })
    const { server, gate } = expressApp(
      (app, own) => {
        app.get(
          '/ws',
          own.websocket(() => undefined),
        )
        app.get('/401', (_req, res) => void res.status(401).end())
        app.get('/200', (_req, res) => void res.end('a page'))
        app.get('/101', (_req, res) => void res.writeHead(101).end())
        app.get('/hangs', () => undefined)
        app.get('/waits', () => onAsked())
        app.get('/library', own.accept(new WebSocketServer({ noServer: true })))
        app.get('/library-refuses', own.accept(new WebSocketServer({ noServer: true, verifyClient: () => false })))
        app.get(
          '/library-goes',
          own.accept((_req, socket) => void socket.destroy()),
        )
      },
      { limits: { deadline: 150 } },
    )
    const events = collect(gate)
    await using listening = await listen(server)
    const expected: ReadonlyArray<readonly [string, string, Record<string, string>?]> = [
      ['/ws', 'accepted'],
      ['/library', 'accepted'],
      ['/none', 'refused app 404'],
      ['/401', 'refused app 401'],
      ['/200', 'refused not_accepted 403'],
      ['/101', 'refused unmarked_101 500'],
      ['/hangs', 'refused handshake_timeout 503'],
      ['/library-refuses', 'refused library 401'],
      ['/library-goes', 'aborted'],
      ['/waits', 'aborted'],
      ['//', 'refused bad_target 400'],
      ['/ws', 'refused bad_origin 403', { Origin: 'null' }],
      ['/ws', 'refused bad_key 400', { 'Sec-WebSocket-Key': 'x' }],
      ['/ws', 'refused host_not_allowed 421', { Host: 'evil.example' }],
    ]
    for (const [target, told, headers = {}] of expected) {
      events.length = 0
      const connection = await connectRaw(listening)
      connection.send(handshakeText({ target, headers: { 'X-Api-Key': KEY, ...headers } }))
      if (target === '/waits') {
        await asked
        reset(connection.socket)
      } else if (told !== 'aborted') await connection.response()
      connection.destroy()
      await listening.noneOpen()
      const all = events
        .filter(({ type }) => type !== 'ended')
        .map((event) => (event.type === 'refused' ? `refused ${event.code} ${event.status}` : event.type))
      assert.deepEqual(all, [told], target)
      const [event] = events
      assert.ok(event !== undefined && 'peer' in event)
      assert.equal(event.peer, '127.0.0.1')
      assert.equal(event.path, target === '//' ? '' : target)
      assert.ok(event.ms >= 0 && event.time instanceof Date)
    }
  })

  it("and so is each refused plain request of Socket.IO's polling", async () => {
    const app = express()
    const gate = createGate({ identify: () => ({ subject: 'ann' }) }) as unknown as Gate
    const server = createServer(app)
    const io = new SocketServer(server)
    gate.attach(server, { app })
    app.use('/socket.io', (req, res, next) => (req.headers['x-api-key'] === KEY ? next() : void res.status(401).end()))
    app.use('/socket.io', gate.accept(io))
    io.engine.use(gate.engine(app))
    const events = collect(gate)
    await using listening = await listen(server)
    const url = `http://127.0.0.1:${listening.port}/socket.io/?EIO=4&transport=polling&token=query-c3`
    for (const [headers, status, code] of [
      [{}, 401, 'app'],
      [{ 'X-Api-Key': KEY, Origin: 'https://evil.example' }, 403, 'bad_origin'],
    ] as const) {
      events.length = 0
      assert.equal((await fetch(url, { headers })).status, status)
      assert.deepEqual(
        events.map((event) => (event.type === 'refused' ? [event.code, event.status, event.path] : event.type)),
        [[code, status, '/socket.io/']],
      )
      assertNoSecret(events, 'the events')
    }
    await io.close()
  })

  it('a listener that throws changes nothing for the client', async () => {
    const { server, gate } = expressApp((app, own) =>
      app.get(
        '/ws',
        own.websocket(() => undefined),
      ),
    )
    for (const type of EVENTS)
      gate.on(type, () => {
        throw new Error('a listener broke')
      })
    await using listening = await listen(server)
    for (const [target, status] of [
      ['/ws', 101],
      ['/none', 404],
      ['//', 400],
    ] as const) {
      await using connection = await connectRaw(listening)
      connection.send(handshakeText({ target, headers: { 'X-Api-Key': KEY } }))
      assert.equal((await connection.response()).status, status)
    }
  })
})
