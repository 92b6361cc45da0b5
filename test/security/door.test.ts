import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { createServer, IncomingMessage, Server, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { inspect } from 'node:util'
import session from 'express-session'
import { WebSocketServer } from 'ws'
import { createGate } from '../../src/index.ts'
import { frame } from '../support/frames.ts'
import { connectRaw, handshake, handshakeText, rawRequest } from '../support/raw.ts'
import { listen } from '../support/servers.ts'
import { trapFaults } from '../support/trap.ts'
import { expressApp, KEY, pendingDecision } from './apps.ts'

const headers = { 'X-Api-Key': KEY }
const lines = handshake({ headers })

let trap: ReturnType<typeof trapFaults>
before(() => {
  trap = trapFaults()
})
after(() => trap.assertNone())

describe('D1: everything but an ended, marked answer refuses', () => {
  const quick = { limits: { deadline: 300 } }
  const cases: ReadonlyArray<readonly [string, Parameters<typeof expressApp>[0], number]> = [
    ['fall-through', () => undefined, 404],
    ['a page with 200', (app) => app.get('/ws', (_req, res) => void res.send('<h1>the login page</h1>')), 403],
    ['204', (app) => app.get('/ws', (_req, res) => void res.status(204).end()), 403],
    [
      'a forged 101',
      (app) => app.get('/ws', (_req, res) => void res.writeHead(101, { Upgrade: 'websocket' }).end()),
      500,
    ],
    [
      'a throw',
      (app) =>
        app.get('/ws', () => {
          throw new Error(`boom ${KEY}`)
        }),
      500,
    ],
    [
      'a rejection',
      (app) =>
        app.get('/ws', async () => {
          throw new Error('boom')
        }),
      500,
    ],
    ['no answer', (app) => app.get('/ws', () => undefined), 503],
    [
      'bytes past the response',
      (app) => app.get('/ws', (_req, res) => void res.socket?.write('HTTP/1.1 101 Switching Protocols\r\n\r\n')),
      500,
    ],
    [
      'a throw after next()',
      (app, gate) => {
        app.use((_req, _res, next) => {
          next()
          throw new Error('late')
        })
        app.get(
          '/ws',
          gate.websocket(() => undefined),
        )
      },
      500,
    ],
    [
      'a 403 after next()',
      (app, gate) => {
        app.use((_req, res, next) => {
          next()
          res.status(403).end()
        })
        app.get(
          '/ws',
          gate.websocket(() => undefined),
        )
      },
      403,
    ],
  ]
  for (const [name, add, status] of cases) {
    it(name, async () => {
      const { server, gate } = expressApp(add, quick)
      let opened = 0
      gate.on('accepted', () => opened++)
      await using listening = await listen(server)
      const answer = await rawRequest({ port: listening.port, lines })
      assert.equal(answer.status, status)
      assert.ok(answer.closed)
      assert.equal(answer.text.includes('login page'), false)
      assert.equal(opened, 0)
      await listening.noneOpen(1500)
    })
  }

  it('a route that is called after the verdict marks nothing', async () => {
    const decision = pendingDecision()
    const { server } = expressApp((app, gate) => {
      const late = gate.websocket(() => assert.fail('the handler ran'))
      app.get('/ws', async (req, res) => {
        await decision.wait()
        late(req, res)
      })
    }, quick)
    await using listening = await listen(server)
    assert.equal((await rawRequest({ port: listening.port, lines })).status, 503)
    decision.decide()
    await new Promise(setImmediate)
    assert.equal(
      (await rawRequest({ port: listening.port, lines })).status,
      101,
      'the next handshake is decided on its own',
    )
  })

  it('identify that hangs, throws, or finds nobody refuses', async () => {
    for (const [identify, status] of [
      [() => new Promise<never>(() => undefined), 503],
      [
        () => {
          throw new Error('boom')
        },
        500,
      ],
      [() => null, 403],
      [() => undefined, 403],
      [() => ({ subject: '' }), 500],
      [() => ({ subject: 'ann', expiresAt: 1234 as never }), 500],
      [() => ({ subject: 'ann', expiresAt: new Date(0) }), 401],
    ] as const) {
      const { server } = expressApp(
        (app, gate) =>
          app.get(
            '/ws',
            gate.websocket(() => undefined),
          ),
        { ...quick, identify: identify as never },
      )
      await using listening = await listen(server)
      assert.equal((await rawRequest({ port: listening.port, lines })).status, status, String(identify))
    }
  })
})

describe("D2: the app's own refusal", () => {
  it('is sent as it was written, and closes', async () => {
    const { server } = expressApp((app) => {
      app.get('/ws', (_req, res) => {
        res.writeEarlyHints({ link: '</a>; rel=preload' })
        res.cookie('a', '1')
        res.cookie('b', '2')
        res.set({ 'X-Mine': 'yes', Connection: 'keep-alive', 'Sec-WebSocket-Accept': 'x', Upgrade: 'websocket' })
        res.status(429).send('slow down')
      })
    })
    await using listening = await listen(server)
    const answer = await rawRequest({ port: listening.port, lines })
    assert.equal(answer.status, 429)
    assert.equal(answer.text, 'slow down')
    assert.equal(answer.header('x-mine'), 'yes')
    assert.deepEqual(answer.values('set-cookie'), ['a=1; Path=/', 'b=2; Path=/'])
    assert.deepEqual(answer.values('connection'), ['close'])
    assert.deepEqual(answer.values('cache-control'), ['no-store'])
    assert.deepEqual([...answer.values('upgrade'), ...answer.values('sec-websocket-accept')], [])
    assert.deepEqual(answer.interim, [])
  })

  it('never ends: it is cut at the deadline', async () => {
    let closed: Promise<unknown> = Promise.resolve()
    const { server } = expressApp(
      (app) => {
        app.get('/ws', (_req, res) => {
          closed = once(res, 'close')
          res.status(400).type('text/event-stream').flushHeaders()
          const timer = setInterval(() => res.write('data: x\n\n'), 20)
          res.on('close', () => clearInterval(timer))
        })
      },
      { limits: { deadline: 300 } },
    )
    await using listening = await listen(server)
    await using connection = await connectRaw(listening)
    connection.send(handshakeText({ headers }))
    await connection.ended()
    assert.match(connection.received().toString(), /^HTTP\/1\.1 400 [\s\S]*data: x/)
    await closed
    await listening.noneOpen(1500)
  })

  it('is larger than the limit, with a reader that does not read: nothing piles up', async () => {
    let written = 0
    const { server } = expressApp(
      (app) => {
        app.get('/ws', (_req, res) => {
          res.status(400)
          const more = (): void => {
            while (written < 50_000_000) {
              written += 65_536
              if (!res.write(Buffer.alloc(65_536))) return void res.once('drain', more)
            }
          }
          more()
        })
      },
      { limits: { deadline: 1000 } },
    )
    await using listening = await listen(server)
    const connection = await connectRaw(listening)
    connection.socket.pause()
    connection.send(handshakeText({ headers }))
    await listening.noneOpen(4000)
    assert.ok(written < 4_000_000, `${written} bytes were taken from the app`)
    connection.destroy()
  })

  it('cannot inject headers', async () => {
    const { server } = expressApp((app) => {
      app.get('/ws', (_req, res) => void res.status(401).set('WWW-Authenticate', 'a\r\nSet-Cookie: evil=1').end())
    })
    await using listening = await listen(server)
    const answer = await rawRequest({ port: listening.port, lines })
    assert.equal(answer.status, 401, 'as over HTTP: Express keeps the status that was set')
    assert.deepEqual([...answer.values('set-cookie'), ...answer.values('www-authenticate')], [])
  })
})

describe('D3: a route that lets in what carries nothing', () => {
  it('is refused unless it says anonymous', async () => {
    const { server } = expressApp((app, gate) => {
      app.get(
        '/ws',
        gate.websocket(() => undefined),
      )
      app.get(
        '/open',
        gate.websocket(() => undefined, { anonymous: true }),
      )
    })
    await using listening = await listen(server)
    const refused = await rawRequest({ port: listening.port, lines: handshake() })
    assert.equal(refused.status, 403)
    assert.equal(JSON.parse(refused.text).error, 'unguarded_route')
    assert.equal((await rawRequest({ port: listening.port, lines: handshake({ target: '/open' }) })).status, 101)
  })
})

describe('a session store that fails', () => {
  for (const failing of ['get', 'set', 'touch'] as const) {
    it(`on ${failing}`, async () => {
      const store = new session.MemoryStore()
      const working = store[failing].bind(store) as (...args: unknown[]) => void
      let down = false
      store[failing] = (...args: unknown[]): void => {
        const done = args.at(-1)
        if (down && typeof done === 'function') done(new Error('the store is down'))
        else working(...args)
      }
      const { server } = expressApp((app, gate) => {
        app.use(session({ secret: 's', resave: failing === 'set', saveUninitialized: true, store }))
        app.get(
          '/ws',
          gate.websocket(() => undefined),
        )
        app.get('/plain', (_req, res) => void res.end('ok'))
      })
      await using listening = await listen(server)
      const login = await rawRequest({ port: listening.port, lines: ['GET /plain HTTP/1.1', 'Host: localhost'] })
      const Cookie = (login.values('set-cookie')[0] ?? '').split(';')[0] ?? ''
      down = true
      const plain = await rawRequest({
        port: listening.port,
        lines: ['GET /plain HTTP/1.1', 'Host: localhost', `Cookie: ${Cookie}`],
      }).catch(() => undefined)
      await using connection = await connectRaw(listening)
      connection.send(handshakeText({ headers: { ...headers, Cookie } }))
      const upgraded = await connection.until((bytes, done) =>
        bytes.length > 0 || done ? bytes.toString() : undefined,
      )
      if (failing === 'get') {
        assert.equal(plain?.status, 500)
        assert.match(upgraded, /^HTTP\/1\.1 500 /)
      }
      // Where saving fails, Express destroys the socket, over HTTP and here: it is not left open half decided.
      if (upgraded.startsWith('HTTP/1.1 101')) await connection.ended()
      await listening.noneOpen()
      down = false
      assert.equal(
        (await rawRequest({ port: listening.port, lines: handshake({ headers: { ...headers, Cookie } }) })).status,
        101,
      )
    })
  }
})

describe('W1: caps before authentication', () => {
  it('bounds handshakes under way, and gives each place back once', async () => {
    const decision = pendingDecision()
    let asked = 0
    let onTwo: () => void = () => undefined
    const two = new Promise<void>((resolve) => {
      onTwo = resolve
    })
    const { server, gate } = expressApp(
      (app) => {
        app.get('/ws', async (_req, res) => {
          if (++asked === 2) onTwo()
          await decision.wait()
          res.status(401).end()
        })
      },
      { limits: { handshakes: 3, handshakesPerAddress: 2 } },
    )
    const warnings: string[] = []
    gate.on('warning', ({ code }) => warnings.push(code))
    await using listening = await listen(server)
    const pending = [rawRequest({ port: listening.port, lines }), rawRequest({ port: listening.port, lines })]
    await two
    const third = await rawRequest({ port: listening.port, lines })
    assert.equal(third.status, 429)
    assert.equal(third.header('retry-after'), '1')
    // A loopback peer that claims to forward counts against the total alone, and only so far.
    await using unbelievable = await connectRaw(listening)
    unbelievable.send(handshakeText({ headers: { ...headers, 'X-Forwarded-For': '9.9.9.9' } }))
    const fourth = await rawRequest({ port: listening.port, lines: [...lines, 'X-Forwarded-For: 8.8.8.8'] })
    assert.equal(fourth.status, 503)
    assert.deepEqual(warnings, ['unlisted_proxy'])
    decision.decide()
    for (const answer of await Promise.all(pending)) assert.equal(answer.status, 401)
    assert.equal((await unbelievable.response()).status, 401)
    for (let n = 0; n < 5; n++) assert.equal((await rawRequest({ port: listening.port, lines })).status, 401)
  })
})

describe('S1: nothing but the attached server is touched', () => {
  const shapes = (): unknown[] =>
    [Server, EventEmitter, ServerResponse, IncomingMessage, Socket].map(({ prototype }) =>
      Object.getOwnPropertyDescriptors(prototype),
    )
  it('no prototype changes, and detach gives the server back', async () => {
    const before = shapes()
    const server = createServer()
    const listeners = server.listenerCount('upgrade')
    const gate = createGate({ identify: () => ({ subject: 'a' }) })
    const detach = gate.attach(server)
    assert.equal(Object.hasOwn(server, 'emit'), true)
    assert.deepEqual(shapes(), before)
    detach()
    assert.equal(Object.hasOwn(server, 'emit'), false)
    assert.equal(server.listenerCount('upgrade'), listeners)
  })
  it('an earlier own emit is called for what the gate does not hold, and put back', () => {
    const server = createServer()
    const heard: unknown[] = []
    const own = function (this: Server, event: string, ...args: unknown[]): boolean {
      heard.push(event)
      return Reflect.apply(Server.prototype.emit, this, [event, ...args]) as boolean
    }
    server.emit = own
    const detach = createGate({ identify: () => null }).attach(server)
    server.emit('custom')
    detach()
    assert.deepEqual(
      heard.filter((event) => event === 'custom'),
      ['custom'],
    )
    assert.equal(server.emit, own)
  })
})

describe('C4: no secret in what gate101 emits', () => {
  it('neither in events nor in inspect', async () => {
    const cookie = 'sid=very-secret-cookie'
    const { server, gate } = expressApp(
      (app, own) => {
        app.get(
          '/ws',
          (req, res, next) => (req.headers['x-api-key'] === KEY ? next() : void res.status(401).end()),
          own.websocket(() => undefined),
        )
      },
      { identify: () => ({ subject: 'ann', session: 'secret-session-id' }) },
    )
    const events: unknown[] = []
    for (const name of ['accepted', 'refused', 'aborted', 'ended', 'warning'] as const)
      gate.on(name, (event) => events.push(event))
    await using listening = await listen(server)
    const secret = { ...headers, Cookie: cookie, Authorization: 'Bearer secret-token', Origin: 'http://localhost' }
    for (const target of ['/ws?token=secret-query', '/nothing?token=secret-query', '/a//b?token=secret-query']) {
      const connection = await connectRaw(listening)
      connection.send(handshakeText({ target, headers: secret }))
      await connection.response()
      for (const one of gate.connections) events.push(inspect(one, { depth: 9, showHidden: true }), JSON.stringify(one))
      connection.destroy()
    }
    await listening.noneOpen()
    assert.ok(events.length >= 5)
    const text = inspect([events, gate], { depth: 9 })
    for (const word of [KEY, 'very-secret-cookie', 'secret-token', 'secret-query', 'secret-session-id']) {
      assert.equal(text.includes(word), false, `${word} in ${text}`)
    }
  })
})

describe('what an event repeats of the request', () => {
  it('is cut: an Origin of thousands of characters fills no log', async () => {
    const { server, gate } = expressApp(() => undefined)
    const origins: unknown[] = []
    gate.on('refused', ({ origin }) => origins.push(origin))
    await using listening = await listen(server)
    const Origin = `https://${'a'.repeat(5000)}.example`
    assert.equal(
      (await rawRequest({ port: listening.port, lines: handshake({ headers: { ...headers, Origin } }) })).status,
      403,
    )
    assert.deepEqual(origins, [Origin.slice(0, 512)])
  })
})

describe('a library whose app forgot the error listener', () => {
  it('survives a malformed frame', async () => {
    const wss = new WebSocketServer({ noServer: true })
    const { server } = expressApp((app, gate) => app.get('/ws', gate.accept(wss)))
    await using listening = await listen(server)
    await using connection = await connectRaw(listening)
    connection.send(Buffer.concat([Buffer.from(handshakeText({ headers })), Buffer.from([0xff, 0xff, 0xff])]))
    await connection.ended()
    await using second = await connectRaw(listening)
    second.send(handshakeText({ headers }))
    assert.equal((await second.response()).status, 101)
    second.send(frame('x'))
  })
})
