import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { EventEmitter, once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { after, test } from 'node:test'
import express, { type RequestHandler } from 'express'
import session, { MemoryStore } from 'express-session'
import type { Gate } from '../../src/index.ts'
import { closeFrame, frame, OPCODE } from '../support/frames.ts'
import { connectRaw, handshakeText } from '../support/raw.ts'
import { trapFaults } from '../support/trap.ts'
import { KEY, PLAIN, SECRET, serve } from './served.ts'

const trap = trapFaults()
after(async () => await trap.assertNone())

const page = readFileSync(new URL('../../docs/differences.md', import.meta.url), 'utf8')

test('every row of docs/differences.md names a test that is there', () => {
  const named = [...page.matchAll(/\| `([a-z-]+\/[a-z-]+)`: (.+?) +\|$/gm)]
  assert.ok(named.length > 10, 'the table was not read')
  const rows = page.split('\n').filter((line) => line.startsWith('| ') && !/^\| What +\|/.test(line))
  assert.equal(named.length, rows.filter((line) => !/^\| -+ \|/.test(line)).length)
  for (const [, file = '', name = ''] of named) {
    const source = readFileSync(new URL(`../${file}.test.ts`, import.meta.url), 'utf8')
    assert.ok(source.includes(name), `test/${file}.test.ts has no test "${name}"`)
  }
})

/** `/ws` behind these middlewares. */
const appOf =
  (...middlewares: RequestHandler[]) =>
  (gate: Gate): express.Express => {
    const app = express()
    app.set('env', 'test')
    for (const middleware of middlewares) app.use(middleware)
    app.get('/ws', gate.websocket((socket) => socket.send('open')) as RequestHandler)
    app.get('/page', (_req, res) => void res.send('a page'))
    return app
  }

test('what is about a body is not on the 101, and neither are fields of the connection', async () => {
  await using served = await serve(
    appOf((_req, res, next) => {
      res.set({
        'Content-Type': 'text/html',
        'Content-Encoding': 'gzip',
        ETag: '"1"',
        'Last-Modified': 'Thu, 01 Jan 1970 00:00:00 GMT',
        'Keep-Alive': 'timeout=5',
        'Sec-WebSocket-Protocol': 'mine',
        'X-Kept': 'yes',
      })
      next()
    }),
  )
  const accepted = await served.ask()
  assert.equal(accepted.status, 101)
  assert.deepEqual(accepted.headers.map(([name]) => name.toLowerCase()).toSorted(), [
    'connection',
    'sec-websocket-accept',
    'upgrade',
    'x-kept',
    'x-powered-by',
  ])
})

test('a refusal closes the connection and is not stored, whatever the app says of it', async () => {
  await using served = await serve(
    appOf((req, res, next) => {
      if (req.query['cached'] !== undefined) res.set('Cache-Control', 'max-age=60')
      res.set('Connection', 'keep-alive')
      if (req.get('X-Api-Key') === KEY) next()
      else res.sendStatus(401)
    }),
  )
  const refused = await served.ask({ 'X-Api-Key': 'wrong' })
  assert.deepEqual([refused.header('connection'), refused.header('cache-control')], ['close', 'no-store'])
  assert.equal(refused.closed, true)
  const cached = await served.ask({ 'X-Api-Key': 'wrong' }, '/ws?cached')
  assert.equal(cached.header('cache-control'), 'max-age=60')
})

test('interim answers are left out', async () => {
  await using served = await serve(
    appOf((_req, res, next) => {
      res.writeEarlyHints({ link: '</style.css>; rel=preload' })
      res.writeProcessing()
      next()
    }),
  )
  const accepted = await served.ask()
  assert.deepEqual([accepted.status, accepted.interim], [101, []])
  const refused = await served.ask({}, '/missing')
  assert.deepEqual([refused.status, refused.interim], [404, []])
  const plain = await served.ask(PLAIN, '/missing')
  assert.deepEqual([plain.status, plain.interim], [404, [103, 102]])
})

test('a status that is set after the answer has gone out refuses', async () => {
  await using served = await serve(
    appOf((_req, res, next) => {
      const end = res.end.bind(res)
      const endLate = (): unknown => {
        res.flushHeaders()
        res.statusCode = 403
        return end()
      }
      res.end = endLate as typeof res.end
      next()
    }),
  )
  const refused = await served.ask()
  assert.deepEqual([refused.status, JSON.parse(refused.text).error], [403, 'not_accepted'])
})

test('the socket under the response says the same as the real one, and is another', async () => {
  const seen: unknown[] = []
  await using served = await serve(
    appOf((req, res, next) => {
      const { socket } = res
      seen.push(socket === req.socket, socket?.remoteAddress, socket?.remotePort === req.socket.remotePort)
      next()
    }),
  )
  assert.equal((await served.ask()).status, 101)
  assert.deepEqual(seen, [false, '127.0.0.1', true])
})

test('the response is over before the handler runs; a message finds it finished', async () => {
  let response: ServerResponse | undefined
  const states: unknown[] = []
  await using served = await serve((gate) => {
    const app = express()
    app.use((_req, res, next) => {
      response = res
      next()
    })
    app.get(
      '/ws',
      gate.websocket((socket) => {
        states.push(response?.writableFinished, response?.statusCode)
        socket.send('open')
      }) as RequestHandler,
    )
    return app
  })
  await using connection = await connectRaw(served)
  connection.send(handshakeText({ headers: { 'X-Api-Key': KEY } }))
  await connection.frames(1)
  assert.deepEqual(states, [true, 101])
})

test('what the handler puts on the session is saved by req.session.save() alone', async () => {
  const store = new MemoryStore()
  const notes = async (): Promise<unknown> =>
    await new Promise((resolve, reject) => {
      store.all?.((error, all) => {
        if (error === null || error === undefined) resolve(Object.values(all ?? {}).map((one) => 'note' in one))
        else reject(error)
      })
    })
  const events = new EventEmitter()
  type WithSession = IncomingMessage & { session: session.Session & { begun?: boolean; note?: string } }
  await using served = await serve((gate) => {
    const app = express()
    app.use(session({ secret: SECRET, resave: false, saveUninitialized: false, store }))
    app.use((req, _res, next) => {
      ;(req as unknown as WithSession).session.begun = true
      next()
    })
    app.get(
      '/ws',
      gate.websocket((socket, req) => {
        const { session: mine } = req as WithSession
        mine.note = 'by the handler'
        socket.on('message', () => mine.save(() => events.emit('saved')))
        socket.send('open')
      }) as RequestHandler,
    )
    return app
  })
  await using connection = await connectRaw(served)
  connection.send(handshakeText({ headers: { 'X-Api-Key': KEY } }))
  await connection.frames(1)
  assert.deepEqual(await notes(), [false])
  const saved = once(events, 'saved')
  connection.send(frame('save'))
  await saved
  assert.deepEqual(await notes(), [true])
})

test('a listener on the socket runs in no async context of a request, unless it is bound to one', async () => {
  const storage = new AsyncLocalStorage<string>()
  await using served = await serve((gate) => {
    const app = express()
    app.use((_req, _res, next) => storage.run('request', next))
    app.get(
      '/ws',
      gate.websocket((socket) => {
        socket.on('message', () => socket.send(`plain ${storage.getStore()}`))
        socket.on(
          'message',
          AsyncLocalStorage.bind(() => socket.send(`bound ${storage.getStore()}`)),
        )
      }) as RequestHandler,
    )
    return app
  })
  await using connection = await connectRaw(served)
  connection.send(handshakeText({ headers: { 'X-Api-Key': KEY } }))
  await connection.response()
  connection.send(frame('x'))
  assert.deepEqual(
    (await connection.frames(2)).map(({ text }) => text),
    ['plain undefined', 'bound request'],
  )
})

test('server.close() waits for open WebSockets; gate.close() ends them', async () => {
  await using served = await serve(appOf())
  const { gate } = served
  await using connection = await connectRaw(served)
  connection.send(handshakeText({ headers: { 'X-Api-Key': KEY } }))
  await connection.frames(1)
  let closed = false
  served.server.close(() => {
    closed = true
  })
  connection.send(frame('', { opcode: OPCODE.ping }))
  await connection.frames(2)
  assert.equal(closed, false)
  const done = Promise.all([once(served.server, 'close'), gate.close()])
  const close = (await connection.frames(3))[2]
  assert.equal(close?.closeCode, 1012)
  connection.send(closeFrame(1012))
  await done
  assert.equal(closed, true)
})
