import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { EventEmitter, once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { after, describe, test } from 'node:test'
import cookieParser from 'cookie-parser'
import express, { type ErrorRequestHandler, type Express, type RequestHandler } from 'express'
import express4 from 'express4'
import onFinished from 'on-finished'
import onHeaders from 'on-headers'
import { WebSocketServer } from 'ws'
import type { Gate } from '../../src/index.ts'
import { connectRaw, handshakeText } from '../support/raw.ts'
import { trapFaults } from '../support/trap.ts'
import { KEY, PLAIN, SECRET, serve } from './served.ts'

const trap = trapFaults()
after(async () => await trap.assertNone())

const requireKey: RequestHandler = (req, res, next) => {
  if (req.get('X-Api-Key') === KEY) next()
  else res.status(401).send('which key?')
}

const appOf =
  (...middlewares: RequestHandler[]) =>
  (gate: Gate): Express => {
    const app = express()
    app.set('env', 'test')
    app.use(...middlewares)
    app.get('/ws', requireKey, gate.websocket((socket) => socket.send('open')) as RequestHandler)
    return app
  }

describe('what hooks into a response', () => {
  test('on-headers fires once, and what it sets is on the 101 and on the refusal', async () => {
    let fired = 0
    await using served = await serve(
      appOf((_req, res, next) => {
        onHeaders(res, () => {
          fired += 1
          res.setHeader('X-Status', res.statusCode)
        })
        next()
      }),
    )
    const accepted = await served.ask()
    assert.deepEqual([accepted.status, accepted.header('x-status'), fired], [101, '101', 1])
    const refused = await served.ask({ 'X-Api-Key': 'wrong' })
    assert.deepEqual([refused.status, refused.header('x-status'), fired], [401, '401', 2])
  })

  test('on-finished fires once with the status; the response is finished and closed, as over HTTP', async () => {
    const log: string[] = []
    const events = new EventEmitter()
    const note = (res: ServerResponse, what: string): void => {
      log.push(`${what} ${res.statusCode}`)
      if (what === 'close') events.emit('close')
    }
    await using served = await serve(
      appOf((_req, res, next) => {
        onFinished(res, (error) => note(res, error === null ? 'finished' : 'failed'))
        res.on('finish', () => note(res, 'finish'))
        res.on('close', () => note(res, 'close'))
        next()
      }),
    )
    for (const [key, status] of [
      [KEY, 101],
      ['wrong', 401],
    ] as const) {
      log.length = 0
      const closed = once(events, 'close')
      assert.equal((await served.ask({ 'X-Api-Key': key })).status, status)
      await closed
      assert.deepEqual(log.toSorted(), [`close ${status}`, `finish ${status}`, `finished ${status}`])
    }
  })

  test('a client that goes away while the app decides closes the response unfinished', async () => {
    const events = new EventEmitter()
    await using served = await serve(
      appOf((req, res) => {
        res.on('close', () => events.emit('gone', res.writableFinished, req.destroyed))
        events.emit('asked')
      }),
    )
    await using connection = await connectRaw(served)
    const asked = once(events, 'asked')
    const gone = once(events, 'gone')
    connection.send(handshakeText({ headers: { 'X-Api-Key': KEY } }))
    await asked
    connection.destroy()
    assert.deepEqual(await gone, [false, true])
    await served.listening.noneOpen()
  })

  test('res.locals and what else is put on the response reach the handler through req.res', async () => {
    await using served = await serve((gate) => {
      const app = express()
      app.use(requireKey, (_req, res, next) => {
        res.locals['room'] = 'seven'
        next()
      })
      app.get(
        '/ws',
        gate.websocket((socket, req) => {
          socket.send(String((req as express.Request).res?.locals['room']))
        }) as RequestHandler,
      )
      return app
    })
    await using connection = await connectRaw(served)
    connection.send(handshakeText({ headers: { 'X-Api-Key': KEY } }))
    assert.equal((await connection.frames(1))[0]?.text, 'seven')
  })

  test("identify and the handler run in the middleware's async context", async () => {
    const storage = new AsyncLocalStorage<string>()
    await using served = await serve(
      (gate) => {
        const app = express()
        app.use((req, _res, next) => storage.run(String(req.get('X-Request-Id')), next))
        app.use(requireKey)
        app.get(
          '/ws',
          gate.websocket((socket) => {
            socket.send(`open ${storage.getStore()}`)
          }) as RequestHandler,
        )
        return app
      },
      { identify: () => ({ subject: String(storage.getStore()) }) },
    )
    const both = ['one', 'two'].map(async (id) => {
      await using connection = await connectRaw(served)
      connection.send(handshakeText({ headers: { 'X-Api-Key': KEY, 'X-Request-Id': id } }))
      assert.equal((await connection.frames(1))[0]?.text, `open ${id}`)
    })
    await Promise.all(both)
  })
})

for (const [name, make] of [
  ['Express 5', () => express()],
  ['Express 4', () => express4() as unknown as Express],
] as const) {
  describe(`errors in ${name}`, () => {
    const answer: ErrorRequestHandler = (error: Error, _req, res, next) => {
      if (res.headersSent) next(error)
      else res.status(418).json({ short: error.message })
    }
    const appThat = (fails: RequestHandler, handled: boolean) => (gate: Gate) => {
      const app = make()
      app.set('env', 'test')
      app.get('/ws', fails, gate.websocket((socket) => socket.send('open')) as RequestHandler)
      if (handled) app.use(answer)
      return app
    }
    const failing: ReadonlyArray<readonly [string, RequestHandler]> = [
      ['thrown', () => void assert.fail('stout')],
      ['given to next()', (_req, _res, next) => next(new Error('stout'))],
      ['given to next() later', (_req, _res, next) => void setImmediate(() => next(new Error('stout')))],
      [
        'thrown after next()',
        (_req, _res, next) => {
          next()
          throw new Error('stout')
        },
      ],
    ]
    for (const [how, fails] of failing) {
      test(`${how}: the app's error handler answers, and that is the refusal`, async () => {
        await using served = await serve(appThat(fails, true))
        const refused = await served.ask()
        assert.deepEqual([refused.status, refused.text], [418, '{"short":"stout"}'])
        assert.equal(served.refused[0]?.code, 'app')
        assert.equal(served.gate.connections.size, 0)
      })
      test(`${how}: without a handler it is Express's own 500`, async () => {
        await using served = await serve(appThat(fails, false))
        const refused = await served.ask()
        assert.equal(refused.status, 500)
        assert.match(refused.header('content-type') ?? '', /^text\/html/)
      })
    }
    test('an error with a status keeps it', async () => {
      const fails: RequestHandler = (_req, _res, next) => next(Object.assign(new Error('gone'), { status: 410 }))
      await using served = await serve(appThat(fails, false))
      assert.equal((await served.ask()).status, 410)
    })
  })
}

test('Express 5: a rejected promise of a middleware refuses', async () => {
  await using served = await serve(
    appOf(async () => {
      await Promise.resolve()
      throw Object.assign(new Error('slow down'), { status: 429 })
    }),
  )
  assert.equal((await served.ask()).status, 429)
})

describe('requests', () => {
  test('a route in mounted routers opens; a library behind it sees the whole URL', async () => {
    const wss = new WebSocketServer({ noServer: true, path: '/api/v1/live' })
    wss.on('connection', (socket, req) => socket.send(String(req.url)))
    await using served = await serve((gate) => {
      const app = express()
      const inner = express.Router().get('/live', gate.accept(wss) as RequestHandler)
      inner.get(
        '/own',
        gate.websocket((socket, req) => {
          socket.send([req.url, (req as express.Request).originalUrl, (req as express.Request).baseUrl].join(' '))
        }) as RequestHandler,
      )
      app.use('/api', requireKey, express.Router().use('/v1', inner))
      return app
    })
    for (const [target, expected] of [
      ['/api/v1/live?room=1', '/api/v1/live?room=1'],
      ['/api/v1/own?room=1', '/api/v1/own?room=1 /api/v1/own?room=1 /api/v1'],
    ] as const) {
      await using connection = await connectRaw(served)
      connection.send(handshakeText({ target, headers: { 'X-Api-Key': KEY } }))
      assert.equal((await connection.frames(1))[0]?.text, expected)
    }
    assert.equal((await served.ask({ 'X-Api-Key': 'wrong' }, '/api/v1/live')).status, 401)
  })

  test('trust proxy: req.ip, req.secure and req.hostname say what the proxy says, to those who trust it', async () => {
    const seen = (trusted: boolean) => (gate: Gate) => {
      const app = express()
      if (trusted) app.set('trust proxy', 'loopback')
      app.use(requireKey, (req, res, next) => {
        res.set('X-Seen', [req.ip, req.secure, req.protocol, req.hostname].join(' '))
        next()
      })
      app.get('/ws', gate.websocket(() => undefined) as RequestHandler)
      return app
    }
    const headers = {
      'X-Forwarded-For': '203.0.113.7',
      'X-Forwarded-Proto': 'https',
      'X-Forwarded-Host': 'app.example.com',
    }
    await using trusting = await serve(seen(true))
    await using other = await serve(seen(false))
    const accepted = await trusting.ask(headers)
    assert.deepEqual([accepted.status, accepted.header('x-seen')], [101, '203.0.113.7 true https app.example.com'])
    assert.equal((await other.ask(headers)).header('x-seen'), '127.0.0.1 false http localhost')
    const plain = await trusting.ask({ ...headers, ...PLAIN })
    assert.deepEqual([plain.status, plain.header('x-seen')], [426, accepted.header('x-seen')])
  })

  test('cookie-parser: signed cookies decide, and those that were tampered with do not', async () => {
    let signed = ''
    const issue: RequestHandler = (_req, res) => void res.cookie('user', 'alice', { signed: true }).send('welcome')
    await using served = await serve(
      (gate) => {
        const app = express()
        app.use(cookieParser(SECRET))
        app.post('/login', issue)
        app.get(
          '/ws',
          (req, res, next) => void (req.signedCookies['user'] === 'alice' ? next() : res.sendStatus(401)),
          gate.websocket(() => undefined) as RequestHandler,
        )
        return app
      },
      { identify: (req: IncomingMessage) => ({ subject: (req as express.Request).signedCookies['user'] as string }) },
    )
    const login = await fetch(`http://127.0.0.1:${served.port}/login`, { method: 'POST' })
    signed = login.headers.getSetCookie()[0]?.split(';')[0] ?? ''
    assert.equal((await served.ask({ Cookie: signed })).status, 101)
    assert.equal((await served.ask({ Cookie: signed.replace('alice', 'admin') })).status, 401)
    assert.equal((await served.ask()).status, 401)
  })
})
