import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import { after, before, describe, it } from 'node:test'
import type { RequestHandler } from 'express'
import { WebSocketServer } from 'ws'
import { websocket as onKoa } from '../../../src/koa.ts'
import Koa, { type Context } from 'koa'
import { createGate, type Gate } from '../../../src/index.ts'
import { stopwatch } from '../../support/beats.ts'
import { acceptOf, closeFrame, frame, type Frame } from '../../support/frames.ts'
import { connectRaw, handshakeText, reset, SAMPLE_KEY } from '../../support/raw.ts'
import { trapFaults } from '../../support/trap.ts'
import { valuesOf, type ParsedResponse } from '../../support/response.ts'
import {
  API_KEYS,
  expressApp,
  fastifyApp,
  jwtFor,
  koaApp,
  schemesApp,
  type Build,
  type MadeApp,
  type Options,
} from './apps.ts'
import { codeOf, ORIGIN, serve, serveMade, SECRET, WatchedStore, type Headers, type Served } from './support.ts'

let trap: ReturnType<typeof trapFaults>
before(() => {
  trap = trapFaults()
})
after(() => trap.assertNone())

const key: Headers = { 'X-Api-Key': API_KEYS.alice }
const token = jwtFor('alice')
const MARKED: Headers = { 'Sec-WebSocket-Protocol': 'gate101, refusal.gate101' }

interface Heard {
  readonly response: ParsedResponse
  readonly closes: Frame | undefined
}

/** A client that asks to be told readably, answers the Close, and waits for the end. */
async function hear(port: number, target: string, headers: Headers = {}, early = Buffer.alloc(0)): Promise<Heard> {
  await using connection = await connectRaw({ port })
  const text = handshakeText({ target, headers: { ...MARKED, ...headers } })
  connection.send(Buffer.concat([Buffer.from(text, 'latin1'), early]))
  const response = await connection.response()
  if (response.status !== 101) return { response, closes: undefined }
  const [closes] = await connection.frames(1)
  connection.send(closeFrame(closes?.closeCode))
  await connection.ended()
  const frames = await connection.frames(1)
  assert.equal(frames.length, 1, 'a Close and nothing else')
  return { response, closes }
}

const toldBy = ({ response, closes }: Heard): unknown =>
  closes === undefined ? [response.status, codeOf(response.body)] : [closes.closeCode, closes.text]

/** A 101 that says no more than it must. */
function assertBare({ response }: Heard): void {
  assert.equal(response.status, 101)
  const names = response.headers.map(([name]) => name.toLowerCase()).toSorted()
  assert.deepEqual(names, ['connection', 'sec-websocket-accept', 'sec-websocket-protocol', 'upgrade'])
  assert.deepEqual(valuesOf(response.headers, 'sec-websocket-protocol'), ['refusal.gate101'])
  assert.deepEqual(valuesOf(response.headers, 'sec-websocket-accept'), [acceptOf(SAMPLE_KEY)])
}

/** The Express app with every kind of no. */
async function refusing(options: Options = {}): Promise<MadeApp & { readonly opened: string[] }> {
  const opened: string[] = []
  const wss = new WebSocketServer({ noServer: true, verifyClient: () => opened.push('verifyClient') > 0 })
  wss.on('connection', () => opened.push('connection'))
  wss.on('headers', () => opened.push('headers'))
  const made = await expressApp({ refuse: 'auto', tickets: {}, ...options }, (app, gate, requireLogin) => {
    const live = gate.websocket(() => void opened.push('handler')) as RequestHandler
    app.get('/answers/:status', (req, res) => {
      res.set('Location', '/login').set('Retry-After', '7').cookie('flash', 'private')
      res.status(Number(req.params['status'])).send('an answer of the app')
    })
    app.get('/throws', () => {
      throw new Error('broken')
    })
    app.get('/destroys', (_req, res) => void res.destroy())
    app.get('/page', (_req, res) => void res.cookie('flash', 'private').send('a page'))
    app.get('/bare101', (_req, res) => void res.status(101).end())
    app.get('/hangs', () => undefined)
    app.get('/unguarded', live)
    app.get('/nobody', live)
    app.get('/library', requireLogin, gate.accept(wss) as RequestHandler)
  })
  return { ...made, opened }
}

const NO: ReadonlyArray<readonly [target: string, headers: Headers, code: number, reason: string]> = [
  ['/live', {}, 4401, 'app'],
  ['/library', {}, 4401, 'app'],
  ['/missing', key, 4403, 'app'],
  ['/answers/300', key, 4401, 'app'],
  ['/answers/302', key, 4401, 'app'],
  ['/answers/400', key, 4400, 'app'],
  ['/answers/401', key, 4401, 'app'],
  ['/answers/402', key, 4403, 'app'],
  ['/answers/403', key, 4403, 'app'],
  ['/answers/404', key, 4403, 'app'],
  ['/answers/408', key, 4408, 'app'],
  ['/answers/410', key, 4403, 'app'],
  ['/answers/413', key, 1009, 'app'],
  ['/answers/418', key, 4403, 'app'],
  ['/answers/426', key, 4403, 'app'],
  ['/answers/429', key, 4429, 'app'],
  ['/answers/500', key, 1011, 'app'],
  ['/answers/502', key, 1013, 'app'],
  ['/answers/503', key, 1013, 'app'],
  ['/throws', key, 1011, 'app'],
  ['/destroys', key, 1011, 'app_error'],
  ['/page', key, 4403, 'not_accepted'],
  ['/answers/204', key, 4403, 'not_accepted'],
  ['/bare101', key, 1011, 'unmarked_101'],
  ['/hangs', key, 1013, 'handshake_timeout'],
  ['/unguarded', {}, 4403, 'unguarded_route'],
  ['/nobody', key, 4403, 'no_identity'],
  [`/live?ticket=${'A'.repeat(64)}`, {}, 4401, 'invalid_ticket'],
  [`/live?access_token=wrong`, {}, 4401, 'app'],
]

describe("refuse: 'auto'", () => {
  it('tells code and reason to who offers the marker, and nobody hears of the socket', async () => {
    const made = await refusing({ limits: { deadline: 300 }, dangerouslyAllowQueryToken: true })
    await using served = await serveMade(made)
    for (const [target, headers, code, reason] of NO) {
      const heard = await hear(served.port, target, headers)
      assert.deepEqual(toldBy(heard), [code, reason], target)
      assertBare(heard)
      assert.deepEqual(served.refused(), [reason], target)
      assert.equal(made.gate.connections.size, 0)
    }
    assert.deepEqual(made.opened, [])
    assert.deepEqual(new Set(served.events.map(({ type }) => type)), new Set(['refused']))
    await served.listening.noneOpen()
  })

  it('tells what becomes of tickets', async () => {
    const store = new WatchedStore()
    await using served = await serveMade(await refusing({ tickets: { store }, secret: SECRET }))
    const bearer = { Authorization: `Bearer ${token}` }
    const elsewhere = await served.ticket(bearer)
    assert.deepEqual(toldBy(await hear(served.port, `/other?ticket=${elsewhere}`)), [4403, 'ticket_mismatch'])
    assert.deepEqual(toldBy(await hear(served.port, `/live?ticket=${elsewhere}`)), [4401, 'invalid_ticket'])
    const unlucky = await served.ticket(bearer)
    store.instead = () => Promise.reject(new Error('down'))
    assert.deepEqual(toldBy(await hear(served.port, `/live?ticket=${unlucky}`)), [1013, 'tickets_unavailable'])
  })

  it('is HTTP without the marker, and where the option is not auto', async () => {
    await using auto = await serveMade(await refusing())
    await using http = await serveMade(await refusing({ refuse: 'http' }))
    const plain = [null, 'gate101', 'refusal.gate101x', 'xrefusal.gate101', 'REFUSAL.GATE101', 'refusal']
    for (const offered of plain) {
      const answer = await auto.dial('/answers/403', { ...key, 'Sec-WebSocket-Protocol': offered })
      assert.equal(answer.status, 403, String(offered))
    }
    for (const offered of ['refusal.gate101', 'gate101, refusal.gate101']) {
      const answer = await http.dial('/answers/403', { ...key, 'Sec-WebSocket-Protocol': offered })
      assert.equal(answer.status, 403, offered)
      assert.ok(valuesOf(answer.response.headers, 'set-cookie').length > 0, 'the whole answer of the app')
      assert.equal((await auto.dial('/live', { 'Sec-WebSocket-Protocol': offered })).status, 101)
    }
  })

  it('is HTTP for a bad Origin, Host, cookie or shape; a credential that is no good as it stands is told', async () => {
    const made = await refusing({ subprotocolTokens: true })
    await using served = await serveMade(made)
    const offer = (...items: string[]): Headers => ({
      'Sec-WebSocket-Protocol': [...items, 'refusal.gate101'].join(', '),
    })
    const rows: ReadonlyArray<readonly [target: string, headers: Headers, status: number, code: string]> = [
      ['/live', { ...key, Origin: 'https://evil.example' }, 403, 'bad_origin'],
      ['/live', { ...key, Origin: 'null' }, 403, 'bad_origin'],
      ['/live', { Cookie: 'sid=1' }, 403, 'missing_origin'],
      ['/live', { ...key, Origin: ORIGIN, 'Sec-Fetch-Site': 'cross-site' }, 403, 'cross_site'],
      ['/live', { ...key, Host: 'evil.example' }, 421, 'host_not_allowed'],
      ['/live', { ...key, 'Sec-WebSocket-Version': '8' }, 426, 'bad_version'],
      ['/live', { ...key, 'Sec-WebSocket-Key': 'x' }, 400, 'bad_key'],
      ['/live', { ...key, Upgrade: 'h2c' }, 426, 'upgrade_required'],
      ['/a/../live', key, 400, 'bad_target'],
      ['/live', { 'X-Api-Key': ['a', 'b'] }, 400, 'duplicate_header'],
      ['/live', { Cookie: '__Host-a=1; __Host-a=2', Origin: ORIGIN }, 400, 'duplicate_cookie'],
      ['/live', offer('refusal.gate101'), 400, 'bad_protocol'],
      ['/live', offer('gate101', 'base64url.bearer.authorization.gate101.YWJj='), 400, 'bad_token'],
      ['/live?ticket=x&ticket=y', { Origin: 'https://evil.example' }, 403, 'bad_origin'],
      ['/live', offer('base64url.bearer.authorization.gate101.YWJj'), 4400, 'subprotocol_required'],
      ['/live', offer('gate101', 'base64url.bearer.authorization.gate101.Y'), 4400, 'bad_token'],
      ['/live?ticket=x&ticket=y', {}, 4401, 'invalid_ticket'],
      ['/live?ticket=x', key, 4400, 'credential_conflict'],
    ]
    for (const [target, headers, status, code] of rows)
      assert.deepEqual(
        toldBy(await hear(served.port, target, headers)),
        [status, code],
        `${target} ${JSON.stringify(headers)}`,
      )
    assert.equal(made.runs.length, 0, 'the app is not asked')
    await (made.gate as unknown as Gate).close()
    assert.deepEqual(toldBy(await hear(served.port, '/live', key)), [503, 'closing'])
  })

  it('on acceptance the marker is selected only where nothing else is offered, and nobody sees it beside others', async () => {
    const offers: Array<string | undefined> = []
    const wss = new WebSocketServer({ noServer: true })
    wss.on('connection', (ws, req) => {
      offers.push(req.headers['sec-websocket-protocol'])
      ws.send('{}')
    })
    const made = await expressApp({ refuse: 'auto' }, (app, gate, requireLogin) => {
      app.get('/library', requireLogin, gate.accept(wss) as RequestHandler)
    })
    await using served = await serveMade(made)
    for (const [offered, selected, left] of [
      ['gate101, refusal.gate101', 'gate101', 'gate101'],
      ['refusal.gate101, gate101', 'gate101', 'gate101'],
      ['refusal.gate101', 'refusal.gate101', 'refusal.gate101'],
      ['chat, refusal.gate101', undefined, 'chat'],
    ] as const) {
      const answer = await served.dial('/live', { ...key, 'Sec-WebSocket-Protocol': offered })
      assert.deepEqual([answer.status, answer.protocol], [101, selected], offered)
      assert.equal(answer.seen?.headers['sec-websocket-protocol'], left)
    }
    for (const [offered, selected] of [
      ['refusal.gate101, chat', 'chat'],
      ['refusal.gate101', 'refusal.gate101'],
    ]) {
      const answer = await served.dial('/library', { ...key, 'Sec-WebSocket-Protocol': offered ?? '' })
      assert.deepEqual([answer.status, answer.protocol], [101, selected], offered)
    }
    assert.deepEqual(offers, ['chat', 'refusal.gate101'])
  })

  it('no library selects the marker of an accepted client beside a real subprotocol, where refusals are HTTP either', async () => {
    const made = await expressApp({}, (app, gate, requireLogin) => {
      const wss = new WebSocketServer({ noServer: true })
      wss.on('connection', (ws) => ws.send('{}'))
      app.get('/library', requireLogin, gate.accept(wss) as RequestHandler)
    })
    await using served = await serveMade(made)
    const offered = { 'Sec-WebSocket-Protocol': 'refusal.gate101, chat' }
    assert.equal((await served.dial('/library', { ...key, ...offered })).protocol, 'chat')
  })
})

describe('a socket that is refused readably', () => {
  it('counts under the caps of waiting sockets; beyond them the answer is HTTP', async () => {
    await using served = await serveMade(await refusing({ limits: { waitingPerAddress: 3, waiting: 3 } }))
    const silent = await Promise.all(Array.from({ length: 3 }, async () => connectRaw({ port: served.port })))
    for (const connection of silent) connection.send(handshakeText({ target: '/live', headers: MARKED }))
    await Promise.all(silent.map(async (connection) => connection.frames(1)))
    assert.deepEqual(toldBy(await hear(served.port, '/live')), [401, undefined])
    assert.equal((await served.dial('/live', key)).status, 101, 'others are served')
    for (const connection of silent) await connection.ended()
    await served.listening.noneOpen()
    assert.deepEqual(toldBy(await hear(served.port, '/live')), [4401, 'app'])
    for (const connection of silent) connection.destroy()
  })

  it('is gone after 1 s, whatever its client does', async () => {
    await using served = await serveMade(await refusing())
    const behaviours: Array<(connection: Awaited<ReturnType<typeof connectRaw>>) => unknown> = [
      () => undefined, // no Close in answer
      ({ socket }) => socket.pause(), // reads nothing
      (connection) => {
        const flood = setInterval(() => connection.send(frame('x'.repeat(1000))), 20)
        connection.socket.once('close', () => clearInterval(flood))
      },
      ({ socket }) => socket.end(), // FIN
      ({ socket }) => reset(socket),
      (connection) => connection.send(frame('x', { rsv: 7 })),
      (connection) => connection.send(frame('', { claimedLength: 2 ** 40 })),
      (connection) => {
        for (let n = 0; n < 50; n++) connection.send(frame('', { opcode: 9 }))
      },
    ]
    using watch = stopwatch()
    const began = performance.now()
    const connections = await Promise.all(
      behaviours.map(async (behave) => {
        const connection = await connectRaw({ port: served.port })
        connection.send(handshakeText({ target: '/live', headers: MARKED }))
        await connection.frames(1)
        behave(connection)
        return connection
      }),
    )
    await served.listening.noneOpen(2000)
    const took = performance.now() - began
    assert.ok(took > 800 && watch.felt() < 1900, `${took} ms`)
    for (const connection of connections) connection.destroy()
  })

  it('takes no notice of what came with the handshake', async () => {
    const made = await refusing()
    await using served = await serveMade(made)
    const early = [frame('hello'), Buffer.concat([frame('a'), frame('b')]), frame('', { opcode: 9 })]
    for (const bytes of early) {
      const { response, closes } = await firstClose(served, bytes)
      assert.deepEqual([response.status, closes?.closeCode, closes?.text], [101, 4401, 'app'])
    }
    assert.deepEqual(made.opened, [])
  })

  it('and whose client has gone meanwhile ends the run of the app', async () => {
    const made = await refusing({ limits: { deadline: 5000 } })
    await using served = await serveMade(made)
    for (let n = 0; n < 20; n++) {
      const connection = await connectRaw({ port: served.port })
      connection.send(handshakeText({ target: '/live', headers: MARKED }))
      reset(connection.socket)
    }
    await served.listening.noneOpen()
    assert.deepEqual(toldBy(await hear(served.port, '/live')), [4401, 'app'])
  })

  it('does not hold the app, nor a place among the handshakes, where the refusal’s body never ends', async () => {
    const closed: Array<Promise<unknown>> = []
    const limits = { deadline: 150, handshakes: 3 }
    const made = await expressApp({ refuse: 'auto', limits }, (app) => {
      app.get('/drips', (_req, res) => {
        closed.push(once(res, 'close'))
        res.writeHead(503).write('for ever')
      })
    })
    await using served = await serveMade(made)
    for (let n = 0; n < 3; n++) assert.deepEqual(toldBy(await hear(served.port, '/drips', key)), [1013, 'app'])
    assert.equal(closed.length, 3)
    await Promise.all(closed)
    assert.equal((await served.dial('/live', key)).status, 101, 'a place is free')
  })
})

/** The Close among whatever else answers early frames. */
async function firstClose(served: Served, early: Buffer): Promise<Heard> {
  await using connection = await connectRaw({ port: served.port })
  const text = handshakeText({ target: '/live', headers: MARKED })
  connection.send(Buffer.concat([Buffer.from(text, 'latin1'), early]))
  const response = await connection.response()
  let closes: Frame | undefined
  for (let n = 1; closes === undefined; n++) closes = (await connection.frames(n)).find(({ opcode }) => opcode === 8)
  return { response, closes }
}

const OTHERS: ReadonlyArray<readonly [name: string, build: Build, headers: Headers, code: number, reason: string]> = [
  ['Koa', koaApp, {}, 4401, 'app'],
  ['Fastify', fastifyApp, {}, 4401, 'app'],
  ['schemes alone', schemesApp, {}, 4401, 'missing_credential'],
  ['schemes alone, a wrong key', schemesApp, { 'X-Api-Key': 'wrong-key' }, 4401, 'invalid_credential'],
]

for (const [name, build, headers, code, reason] of OTHERS) {
  it(`on ${name}: the same`, async () => {
    await using served = await serve(build, { refuse: 'auto' })
    const heard = await hear(served.port, '/live', headers)
    assert.deepEqual(toldBy(heard), [code, reason])
    assertBare(heard)
    assert.deepEqual(served.refused(), [reason])
    assert.equal((await served.dial('/live', key)).seen?.subject, 'alice')
    assert.equal(
      served.made.runs.filter(({ headers: saw }) => saw['upgrade'] === 'websocket' && build === schemesApp).length,
      build === schemesApp ? 1 : 0,
    )
  })
}

it('middleware that answers after next() is told readably, too', async () => {
  const gate = createGate({ identify: (_ctx: Context) => ({ subject: 'alice' }), refuse: 'auto' })
  const app = new Koa()
  app.silent = true
  const opened: IncomingMessage[] = []
  app.use(async (ctx, next) => {
    await next()
    ctx.status = 429
  })
  const live = onKoa(gate, (_ws, ctx: Context) => opened.push(ctx.req))
  app.use(async (ctx, next) => live(ctx, next))
  const server = createServer(app.callback())
  gate.attach(server)
  await using served = await serveMade({ server, gate: gate as never, runs: [], log: [] })
  assert.deepEqual(toldBy(await hear(served.port, '/live', key)), [4429, 'app'])
  assert.deepEqual(opened, [])
})
