import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { after, describe, test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import compression from 'compression'
import timeout from 'connect-timeout'
import cors from 'cors'
import express, { type Express, type RequestHandler } from 'express'
import { rateLimit } from 'express-rate-limit'
import helmet from 'helmet'
import morgan from 'morgan'
import { pino } from 'pino'
import { pinoHttp } from 'pino-http'
import type { Gate, GateOptions } from '../../src/index.ts'
import { connectRaw, handshakeText } from '../support/raw.ts'
import { trapFaults } from '../support/trap.ts'
import { HeldClock } from '../unit/credentials/helpers.ts'
import { KEY, ORIGIN, PLAIN, serve } from './served.ts'

const trap = trapFaults()
after(async () => await trap.assertNone())

const REFUSAL = 'Which key? '.repeat(500)

const requireKey: RequestHandler = (req, res, next) => {
  if (req.get('X-Api-Key') === KEY) next()
  else res.status(401).type('text').send(REFUSAL)
}

/** `middleware` stands first; `/page` accepts nothing, `/late` answers nothing. */
const appWith =
  (middleware: RequestHandler) =>
  (gate: Gate): Express => {
    const app = express()
    app.set('env', 'test')
    app.use(middleware)
    app.get('/ws', requireKey, gate.websocket((socket) => socket.send('open')) as RequestHandler)
    app.get('/page', (_req, res) => void res.send('a page'))
    app.get('/late', () => undefined)
    return app
  }

const WRONG = { 'X-Api-Key': 'wrong' }

/** What was written, one entry a line, and a way to wait for the next. */
function makeLog(): { lines: string[]; stream: { write(line: string): void }; next(): Promise<unknown> } {
  const lines: string[] = []
  const events = new EventEmitter()
  const write = (line: string): void => {
    lines.push(line.trim())
    events.emit('line')
  }
  return { lines, stream: { write }, next: async () => await once(events, 'line') }
}

describe('request loggers write one line, with the status that the client got', () => {
  const cases = [
    ['/ws', {}, 101],
    ['/ws', WRONG, 401],
    ['/missing', {}, 404],
  ] as const

  test('morgan', async () => {
    const log = makeLog()
    await using served = await serve(appWith(morgan(':method :url :status', { stream: log.stream }) as RequestHandler))
    for (const [target, headers, status] of cases) {
      log.lines.length = 0
      const line = log.next()
      assert.equal((await served.ask(headers, target)).status, status)
      await line
      await served.listening.noneOpen()
      assert.deepEqual(log.lines, [`GET ${target} ${status}`])
    }
  })

  test('pino-http', async () => {
    const log = makeLog()
    await using served = await serve(appWith(pinoHttp({ logger: pino({}, log.stream) }) as RequestHandler))
    for (const [target, headers, status] of cases) {
      log.lines.length = 0
      const line = log.next()
      assert.equal((await served.ask(headers, target)).status, status)
      await line
      await served.listening.noneOpen()
      assert.deepEqual(
        log.lines.map((text) => {
          const { msg, req, res } = JSON.parse(text)
          return [msg, req.url, res.statusCode]
        }),
        [['request completed', target, status]],
      )
    }
  })

  test('an ordinary page is logged as the app answered it, and refused by the gate', async () => {
    const log = makeLog()
    await using served = await serve(appWith(morgan(':method :url :status', { stream: log.stream }) as RequestHandler))
    const line = log.next()
    const refused = await served.ask({}, '/page')
    await line
    assert.deepEqual(
      [refused.status, JSON.parse(refused.text).error, log.lines],
      [403, 'not_accepted', ['GET /page 200']],
    )
  })

  test("the gate's own rules refuse before the app, so its logger has no line; the refused event does", async () => {
    const log = makeLog()
    await using served = await serve(appWith(morgan(':method :url :status', { stream: log.stream }) as RequestHandler))
    assert.equal((await served.ask({ Origin: 'https://evil.example' })).status, 403)
    assert.deepEqual([log.lines, served.refused.map(({ code }) => code)], [[], ['bad_origin']])
  })
})

test('express-rate-limit: counts each handshake once, its headers are on the 101, past the limit it is 429', async () => {
  const limiter = rateLimit({ windowMs: 60_000, limit: 3, standardHeaders: 'draft-7', legacyHeaders: true })
  await using served = await serve(appWith(limiter))
  for (const left of ['2', '1']) {
    const accepted = await served.ask()
    assert.deepEqual([accepted.status, accepted.header('x-ratelimit-remaining')], [101, left])
    assert.match(accepted.header('ratelimit') ?? '', new RegExp(`remaining=${left}`))
  }
  assert.equal((await served.ask(WRONG)).status, 401)
  const refused = await served.ask()
  assert.deepEqual([refused.status, refused.header('x-ratelimit-remaining')], [429, '0'])
  assert.match(refused.header('retry-after') ?? '', /^\d+$/)
  assert.equal(served.refused.at(-1)?.status, 429)
})

test('express-rate-limit: skipSuccessfulRequests takes an accepted handshake for a success', async () => {
  const limiter = rateLimit({ windowMs: 60_000, limit: 1, skipSuccessfulRequests: true })
  await using served = await serve(appWith(limiter))
  const asked = [await served.ask(), await served.ask(), await served.ask(WRONG), await served.ask()]
  assert.deepEqual(
    asked.map(({ status }) => status),
    [101, 101, 401, 429],
  )
})

test('each re-check counts as a request of the app, unless the middleware looks at gate.phase()', async () => {
  const clock = new HeldClock()
  const limiter = (skip?: (req: IncomingMessage) => boolean): RequestHandler =>
    rateLimit({ windowMs: 60_000, limit: 9, legacyHeaders: true, standardHeaders: false, ...(skip ? { skip } : {}) })
  const options: Partial<GateOptions<IncomingMessage>> = { clock, recheck: { every: '60s', jitter: 0 } }
  for (const looks of [false, true]) {
    const makeApp = (gate: Gate): Express =>
      appWith(limiter(looks ? (req) => gate.phase(req) === 'recheck' : undefined))(gate)
    await using served = await serve(makeApp, options)
    await using connection = await connectRaw(served)
    connection.send(handshakeText({ headers: { 'X-Api-Key': KEY } }))
    await connection.frames(1)
    for (let n = 0; n < 2; n++) {
      const rechecked = new Promise((resolve) => served.gate.on('rechecked', resolve))
      clock.pass(60_000)
      await rechecked
    }
    const next = await served.ask()
    assert.equal(next.header('x-ratelimit-remaining'), looks ? '7' : '5')
  }
})

test('helmet: its headers are on the 101 and on the refusal', async () => {
  await using served = await serve(appWith(helmet() as RequestHandler))
  for (const headers of [{}, WRONG]) {
    const response = await served.ask(headers)
    assert.match(response.header('content-security-policy') ?? '', /default-src 'self'/)
    assert.equal(response.header('x-content-type-options'), 'nosniff')
    assert.equal(response.header('x-powered-by'), undefined)
  }
})

test('cors: its headers are on the 101 and on the refusal; an origin it does not know gets none', async () => {
  const known = 'https://app.example.com'
  await using served = await serve(appWith(cors({ origin: [known], credentials: true })), {
    origins: [known, ORIGIN],
  })
  for (const headers of [{}, WRONG]) {
    const response = await served.ask({ ...headers, Origin: known })
    assert.equal(response.header('access-control-allow-origin'), known)
    assert.equal(response.header('access-control-allow-credentials'), 'true')
  }
  // CORS only ever tells a browser what a page may read; that no page of elsewhere connects is the gate's rule.
  const other = await served.ask({ Origin: ORIGIN })
  assert.deepEqual([other.status, other.header('access-control-allow-origin')], [101, undefined])
  const evil = await served.ask({ Origin: 'https://evil.example' })
  assert.deepEqual([evil.status, JSON.parse(evil.text).error], [403, 'bad_origin'])
})

test('compression: a 101 has no coding, a refusal is compressed as it is over HTTP', async () => {
  await using served = await serve(appWith(compression() as RequestHandler))
  const headers = { 'Accept-Encoding': 'gzip' }
  const accepted = await served.ask(headers)
  assert.deepEqual([accepted.status, accepted.header('content-encoding')], [101, undefined])
  const refused = await served.ask({ ...headers, ...WRONG })
  const plain = await served.ask({ ...headers, ...WRONG, ...PLAIN })
  assert.deepEqual([refused.status, refused.header('content-encoding')], [401, 'gzip'])
  assert.equal(gunzipSync(refused.body).toString(), REFUSAL)
  assert.deepEqual(refused.body, plain.body)
})

describe('connect-timeout', () => {
  test('does not fire after the 101', async () => {
    const fired: string[] = []
    await using served = await serve((gate) => {
      const app = appWith(timeout('500ms') as RequestHandler)(gate)
      app.get('/slow', () => undefined)
      return express()
        .set('env', 'test')
        .use((req, _res, next) => {
          req.on('timeout', () => fired.push(req.url))
          next()
        })
        .use(app)
    })
    await using connection = await connectRaw(served)
    connection.send(handshakeText({ headers: { 'X-Api-Key': KEY } }))
    await connection.frames(1)
    // Its time-out began later: by the time it has fired, the first one would have.
    assert.equal((await served.ask({}, '/slow')).status, 503)
    assert.deepEqual(fired, ['/slow'])
    assert.equal(connection.ending(), 'open')
    assert.equal(served.gate.connections.size, 1)
  })

  test('refuses what the app does not answer, before the deadline of the gate does', async () => {
    await using served = await serve(appWith(timeout('500ms') as RequestHandler))
    const refused = await served.ask({}, '/late')
    assert.equal(refused.status, 503)
    assert.equal(served.refused[0]?.code, 'app')
  })
})
