import assert from 'node:assert/strict'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { after, before, describe, it } from 'node:test'
import { buildSchema } from 'graphql'
import { useServer } from 'graphql-ws/use/ws'
import { createProxyMiddleware } from 'http-proxy-middleware'
import { Server as SocketIo } from 'socket.io'
import { WebSocketServer } from 'ws'
import { createGate, type Gate, type GateOptions, type Library } from '../../../src/index.ts'
import { patientClock } from '../../support/beats.ts'
import { frame, OPCODE, readFrames } from '../../support/frames.ts'
import { freePort } from '../../support/ports.ts'
import { connectRaw, handshakeText, reset, type RawConnection } from '../../support/raw.ts'
import { listen, type Listening } from '../../support/servers.ts'
import { trapFaults } from '../../support/trap.ts'
import { assertOk, authFrame, closeOf, guard, openWaiting, record, textsOf } from './support.ts'

let trap: ReturnType<typeof trapFaults>
before(() => {
  trap = trapFaults()
})
after(() => trap.assertNone())

const turns = async (count = 20): Promise<void> => {
  for (let n = 0; n < count; n++) await new Promise(setImmediate)
}

interface Made {
  readonly server: Server
  readonly gate: Gate
  readonly said: string[]
}

/** A plain Node app behind the guard, whose handshakes a library takes. */
function serverFor(to: (server: Server) => Library | undefined, options: Partial<GateOptions> = {}): Made {
  const gate = createGate({
    identify: (req) => ({ subject: String((req as { user?: string }).user) }),
    firstMessage: { paths: ['/*'] },
    clock: patientClock,
    ...options,
  } as GateOptions) as unknown as Gate
  const server = createServer()
  const library = to(server)
  const route = library === undefined ? gate.accept() : gate.accept(library)
  server.prependListener('request', async (req: IncomingMessage & { user?: string }, res) => {
    res.setHeader('X-Guard', 'was here')
    const said = await guard(req.headers.authorization, req)
    if (typeof said !== 'string') return void res.writeHead(said.status).end()
    req.user = said
    await route(req as never, res)
  })
  gate.attach(server)
  return { server, gate, said: record(gate as never).said }
}

/** One 101 and no other HTTP, no matter what the library wrote. */
function assertOne101(connection: RawConnection): void {
  const all = connection.received().toString('latin1')
  assert.equal(all.split('HTTP/1.1').length, 2, all)
  assert.equal(all.includes('X-Guard'), false, "a header of the library's 101")
}

const echoes = (wss: WebSocketServer): WebSocketServer => {
  wss.on('connection', (ws) => {
    ws.send('welcome')
    ws.on('message', (data) => ws.send(`echo ${String(data)}`))
  })
  return wss
}

async function assertWelcome(listening: Listening, target = '/ws'): Promise<void> {
  await using connection = await openWaiting(listening, { target })
  connection.send(authFrame())
  const [ok, welcome] = await textsOf(connection, 2)
  assertOk(ok)
  assert.equal(welcome, 'welcome')
  connection.send(frame('hi'))
  assert.equal((await textsOf(connection, 3))[2], 'echo hi')
  assertOne101(connection)
}

describe('a library that takes over', () => {
  for (const [name, to] of [
    ['accept(wss)', () => echoes(new WebSocketServer({ noServer: true }))],
    [
      'accept(wss) with permessage-deflate',
      () => echoes(new WebSocketServer({ noServer: true, perMessageDeflate: { threshold: 0 } })),
    ],
    [
      'accept(wss) that decides later',
      () =>
        echoes(new WebSocketServer({ noServer: true, verifyClient: (_info, done) => void setTimeout(done, 20, true) })),
    ],
    [
      'accept(), ws on the server',
      (server) => {
        echoes(new WebSocketServer({ server }))
        return undefined
      },
    ],
    [
      'accept(function)',
      () => {
        const wss = echoes(new WebSocketServer({ noServer: true }))
        return (req, socket, head) =>
          wss.handleUpgrade(req, socket as Duplex, head, (ws) => wss.emit('connection', ws, req))
      },
    ],
    [
      'accept(function) that writes byte by byte',
      () => (_req: unknown, socket: Duplex) => {
        const bytes = Buffer.concat([
          Buffer.from('HTTP/1.1 101 Switching Protocols\r\nX-Guard: mine\r\n\r\n'),
          frame('welcome', { masked: false }),
        ])
        for (const byte of bytes) socket.write(Buffer.from([byte]))
        socket.on('data', () => socket.write(frame('echo hi', { masked: false })))
        socket.on('end', () => socket.end())
      },
    ],
  ] as ReadonlyArray<readonly [string, (server: Server) => Library | undefined]>) {
    it(`${name}: its 101 is never seen, and its first frame comes behind auth_ok`, async () => {
      const made = serverFor(to)
      await using listening = await listen(made.server)
      await assertWelcome(listening)
      await listening.noneOpen()
      assert.deepEqual(made.said, ['accepted', 'ended closed'])
    })
  }

  it('does not compress, though both it and the client can', async () => {
    const made = serverFor(() => echoes(new WebSocketServer({ noServer: true, perMessageDeflate: { threshold: 0 } })))
    await using listening = await listen(made.server)
    await using connection = await connectRaw(listening)
    connection.send(handshakeText({ headers: { 'Sec-WebSocket-Extensions': 'permessage-deflate' } }))
    const { headers } = await connection.response()
    assert.equal(
      headers.some(([name]) => /extensions/i.test(name)),
      false,
    )
    connection.send(authFrame())
    await textsOf(connection, 2)
    connection.send(frame('a'.repeat(4000)))
    const frames = await connection.frames(3)
    assert.deepEqual(
      frames.map(({ rsv }) => rsv),
      [0, 0, 0],
    )
    // And takes nothing compressed.
    connection.send(frame('zip', { rsv: 4 }))
    assert.equal((await closeOf(connection)).code, 1002)
  })

  it('a broadcast to all its clients does not reach one that waits, and its list does not have it', async () => {
    const wss = echoes(new WebSocketServer({ noServer: true }))
    let connections = 0
    wss.on('connection', () => connections++)
    const made = serverFor(() => wss)
    await using listening = await listen(made.server)
    await using waiting = await openWaiting(listening)
    await using open = await openWaiting(listening)
    open.send(authFrame())
    await textsOf(open, 2)
    assert.deepEqual([connections, wss.clients.size, made.gate.connections.size], [1, 1, 1])
    for (const client of wss.clients) client.send('to all')
    for (const connection of made.gate.connections) assert.equal(connection.identity.subject, 'ann')
    await textsOf(open, 3)
    waiting.send(frame('', { opcode: OPCODE.ping }))
    const [first] = await waiting.frames(1)
    assert.equal(first?.opcode, OPCODE.pong)
  })

  it('a ping that is half sent at the verdict arrives whole', async () => {
    const made = serverFor(() => echoes(new WebSocketServer({ noServer: true })))
    await using listening = await listen(made.server)
    const ping = frame('abc', { opcode: OPCODE.ping })
    for (let cut = 1; cut < ping.length; cut++) {
      await using connection = await openWaiting(listening)
      connection.send(Buffer.concat([authFrame(), ping.subarray(0, cut)]))
      await textsOf(connection, 2)
      connection.send(ping.subarray(cut))
      const frames = await connection.frames(3)
      assert.deepEqual([frames[2]?.opcode, frames[2]?.text], [OPCODE.pong, 'abc'])
    }
  })

  it('the peer that goes while the library decides: one event, and no place is kept', async () => {
    let handed: (socket: Duplex) => void = () => undefined
    const made = serverFor(() => (_req: unknown, socket: Duplex) => handed(socket), { limits: { waiting: 1 } })
    await using listening = await listen(made.server)
    for (let n = 0; n < 3; n++) {
      const taken = new Promise<Duplex>((resolve) => {
        handed = resolve
      })
      const connection = await openWaiting(listening)
      connection.send(authFrame())
      const socket = await taken
      const gone = new Promise((resolve) => socket.once('close', resolve))
      socket.resume()
      reset(connection.socket)
      await gone
      socket.write('HTTP/1.1 101 Switching Protocols\r\n\r\n')
      await turns()
    }
    assert.deepEqual(made.said, ['aborted', 'aborted', 'aborted'])
    assert.equal(made.gate.connections.size, 0)
  })
})

describe('a library that refuses after the 101', () => {
  for (const [name, to, code, status] of [
    ['ws, at once', () => new WebSocketServer({ noServer: true, verifyClient: () => false }), 4401, 401],
    [
      'ws, later',
      () =>
        new WebSocketServer({
          noServer: true,
          verifyClient: (_info, done) => void setTimeout(done, 10, false, 403, 'secret'),
        }),
      4403,
      403,
    ],
    ['ws, which answers for another path', () => new WebSocketServer({ noServer: true, path: '/other' }), 4400, 400],
    [
      'a function that writes and ends',
      () => (_req: unknown, socket: Duplex) => void socket.end('HTTP/1.1 503 Secret\r\n\r\n'),
      1013,
      503,
    ],
    [
      'a function that writes, and more',
      () => (_req: unknown, socket: Duplex) => {
        socket.write('HTTP/1.1 500 Secret\r\nContent-Length: 6\r\n\r\n')
        socket.write('secret')
        socket.end()
      },
      1011,
      500,
    ],
    [
      'a function that writes in pieces',
      () => (_req: unknown, socket: Duplex) => {
        for (const piece of ['HTTP/1.1 4', '29 Secret\r\n', '\r\n']) socket.write(piece)
        socket.end('secret')
      },
      4429,
      429,
    ],
    [
      'a function that writes what is no HTTP',
      () => (_req: unknown, socket: Duplex) => void socket.end('secret'),
      1011,
      500,
    ],
  ] as ReadonlyArray<readonly [string, () => Library, number, number]>) {
    it(`${name}: its client reads a Close, and no HTTP`, async () => {
      const made = serverFor(to)
      await using listening = await listen(made.server)
      await using connection = await openWaiting(listening)
      connection.send(authFrame())
      const close = await closeOf(connection)
      assert.deepEqual(close.texts, [{ type: 'auth_error', status, code: 'library' }])
      assert.deepEqual([close.code, close.reason], [code, 'library'])
      connection.destroy()
      await listening.noneOpen(1500)
      const all = connection.received().toString('latin1')
      assert.equal(/secret/i.test(all), false)
      assert.equal(all.split('HTTP/1.1').length, 2)
      const { rest } = readFrames(connection.received().subarray(connection.received().indexOf('\r\n\r\n') + 4))
      assert.equal(rest.length, 0, 'something that is no frame')
      assert.deepEqual(made.said, [`refused library ${status}`])
      assert.equal(made.gate.connections.size, 0)
    })
  }

  for (const [name, to] of [
    [
      'throws',
      () => {
        throw new Error('secret')
      },
    ],
    [
      'rejects later',
      async () => {
        await new Promise(setImmediate)
        throw new Error('secret')
      },
    ],
    ['never answers', () => undefined],
  ] as const) {
    it(`a function that ${name}: one Close, one event`, async () => {
      const made = serverFor(() => to, { limits: { deadline: 100 } })
      await using listening = await listen(made.server)
      await using connection = await openWaiting(listening)
      connection.send(authFrame())
      const close = await closeOf(connection)
      const [code, reason, status] =
        name === 'never answers' ? [1013, 'handshake_timeout', 503] : [1011, 'no_listener', 500]
      assert.deepEqual([close.code, close.reason], [code, reason])
      assert.equal(connection.received().includes('secret'), false)
      connection.destroy()
      await listening.noneOpen(1500)
      assert.deepEqual(made.said, [`refused ${reason} ${status}`])
    })
  }

  it('a function that rejects when its client has gone: one event', async () => {
    for (const waits of [true, false]) {
      let handed: (socket: Duplex) => void = () => undefined
      const taken = new Promise<Duplex>((resolve) => {
        handed = resolve
      })
      const made = serverFor(() => async (_req: unknown, socket: Duplex) => {
        handed(socket)
        await new Promise((resolve) => socket.once('close', resolve))
        await turns(2)
        throw new Error('the client has gone')
      })
      await using listening = await listen(made.server)
      const headers = { Authorization: `Basic ${Buffer.from('ann:pw-Zx81-swordfish').toString('base64')}` }
      const connection = waits ? await openWaiting(listening) : await connectRaw(listening)
      connection.send(waits ? authFrame() : handshakeText({ headers }))
      const socket = await taken
      socket.resume()
      reset(connection.socket)
      await listening.noneOpen()
      await turns(10)
      assert.deepEqual(made.said, ['aborted'], waits ? 'waited' : 'did not wait')
    }
  })
})

describe('libraries of the field', () => {
  it('graphql-ws, with its subprotocol', async () => {
    const wss = new WebSocketServer({
      noServer: true,
      handleProtocols: (offered) => (offered.has('graphql-transport-ws') ? 'graphql-transport-ws' : false),
    })
    useServer(
      {
        schema: buildSchema('type Query { me: String }'),
        roots: { query: { me: (_args: object, context: { subject: string }) => context.subject } },
        context: ({ extra }) => ({ subject: made.gate.connection(extra.request as never)?.identity.subject }),
      },
      wss,
    )
    const made = serverFor(() => wss)
    await using listening = await listen(made.server)
    await using connection = await openWaiting(listening, {
      headers: { 'Sec-WebSocket-Protocol': 'graphql-transport-ws' },
    })
    const { headers } = await connection.response()
    assert.deepEqual(
      headers.filter(([name]) => /protocol/i.test(name)),
      [['Sec-WebSocket-Protocol', 'graphql-transport-ws']],
    )
    connection.send(authFrame())
    assertOk((await textsOf(connection, 1))[0])
    connection.send(frame('{"type":"connection_init"}'))
    assert.deepEqual((await textsOf(connection, 2))[1], { type: 'connection_ack' })
    connection.send(frame('{"type":"subscribe","id":"1","payload":{"query":"{ me }"}}'))
    assert.deepEqual((await textsOf(connection, 3))[2], { type: 'next', id: '1', payload: { data: { me: 'ann' } } })
    assertOne101(connection)
  })

  it('Socket.IO over WebSocket alone', async () => {
    const server = createServer()
    const io = new SocketIo(server, { transports: ['websocket'] })
    const gate = createGate({
      identify: (req) => ({ subject: String((req as { user?: string }).user) }),
      firstMessage: { paths: ['/*'] },
    })
    const route = gate.accept(io)
    const app = async (req: IncomingMessage & { user?: string }, res: ServerResponse): Promise<void> => {
      const said = await guard(req.headers.authorization, req)
      if (typeof said !== 'string') return void res.writeHead(said.status).end()
      req.user = said
      await route(req as never, res)
    }
    gate.attach(server, { app })
    io.engine.use(gate.engine(app))
    let connected = 0
    io.on('connection', () => connected++)
    await using listening = await listen(server)
    await using connection = await openWaiting(listening, { target: '/socket.io/?EIO=4&transport=websocket' })
    await turns()
    assert.equal(connected, 0)
    connection.send(authFrame())
    const [ok, open] = await textsOf(connection, 2)
    assertOk(ok)
    assert.match(String(open), /^0\{"sid"/)
    connection.send(frame('40'))
    assert.match(String((await textsOf(connection, 3))[2]), /^40/)
    assert.equal(connected, 1)
    assertOne101(connection)
    connection.destroy()
    await io.close()
  })

  it('http-proxy-middleware, and an upstream that refuses', async () => {
    const seen: Array<string | undefined> = []
    const upstream = createServer((_req, res) => res.writeHead(418).end('secret teapot'))
    echoes(new WebSocketServer({ server: upstream, path: '/ws' })).on('connection', (_ws, req) => {
      seen.push(req.headers.authorization)
    })
    await using behind = await listen(upstream)
    const made = serverFor(
      () => createProxyMiddleware({ target: `http://127.0.0.1:${behind.port}`, ws: false }) as unknown as Library,
    )
    await using listening = await listen(made.server)
    await assertWelcome(listening)
    assert.deepEqual(seen, [undefined], 'a password is for the verdict alone')
    await using connection = await openWaiting(listening, { target: '/refused' })
    connection.send(authFrame())
    const close = await closeOf(connection)
    assert.equal(close.reason, 'library')
    assert.equal(connection.received().includes('secret'), false)
    connection.destroy()
    await listening.noneOpen(2000)
    assert.equal(made.gate.connections.size, 0)
  })

  it('http-proxy-middleware, and an upstream that is away', async () => {
    const port = await freePort()
    const made = serverFor(
      () =>
        createProxyMiddleware({
          target: `http://127.0.0.1:${port}`,
          ws: false,
          logger: { info: () => undefined, warn: () => undefined, error: () => undefined },
        }) as unknown as Library,
      { limits: { deadline: 500 } },
    )
    await using listening = await listen(made.server)
    await using connection = await openWaiting(listening)
    connection.send(authFrame())
    await connection.ended()
    assert.equal(connection.received().toString('latin1').split('HTTP/1.1').length, 2)
    await listening.noneOpen(1500)
    assert.equal(made.said.length, 1, made.said.join())
    assert.equal(made.gate.connections.size, 0)
  })
})

describe('the subprotocol of a socket that waits', () => {
  const protocolOf = async (listening: Listening, offered: string): Promise<string | undefined> => {
    await using connection = await openWaiting(listening, { headers: { 'Sec-WebSocket-Protocol': offered } })
    const { headers } = await connection.response()
    return headers.find(([name]) => name === 'Sec-WebSocket-Protocol')?.[1]
  }

  it('is one that a route speaks, else gate101; a library gets its first', async () => {
    const server = createServer()
    const gate = createGate({ identify: () => ({ subject: 'ann' }), firstMessage: { paths: ['/*'] } })
    const route = gate.websocket((socket) => socket.send(socket.protocol), { protocols: ['chat.v2', 'chat.v1'] })
    server.on('request', async (req, res) => {
      if (typeof (await guard(req.headers.authorization, req)) === 'string') await route(req, res)
      else res.writeHead(401).end()
    })
    gate.attach(server)
    await using listening = await listen(server)
    assert.equal(await protocolOf(listening, 'other, chat.v1, chat.v2'), 'chat.v1')
    assert.equal(await protocolOf(listening, 'other, gate101'), 'gate101')
    assert.equal(await protocolOf(listening, 'other'), undefined)
    await using connection = await openWaiting(listening, { headers: { 'Sec-WebSocket-Protocol': 'chat.v1, chat.v2' } })
    connection.send(authFrame())
    assert.equal((await textsOf(connection, 2))[1], 'chat.v1', 'the handler sees what the client was told')

    const made = serverFor(() => echoes(new WebSocketServer({ noServer: true })))
    await using other = await listen(made.server)
    assert.equal(await protocolOf(other, 'one, two'), 'one')
  })

  it('is never a credential', async () => {
    const made = serverFor(() => echoes(new WebSocketServer({ noServer: true })))
    await using listening = await listen(made.server)
    for (const token of [
      'base64url.bearer.authorization.gate101.c2VjcmV0',
      'base64url.bearer.authorization.k8s.io.c2VjcmV0',
      'base64url.bearer.phx.c2VjcmV0',
      'openai-insecure-api-key.c2VjcmV0',
      'bearer.c2VjcmV0',
      'ticket.gate101.c2VjcmV0',
    ]) {
      await using connection = await connectRaw(listening)
      connection.send(handshakeText({ headers: { 'Sec-WebSocket-Protocol': `${token}, chat` } }))
      const { status } = await connection.response()
      assert.ok(status === 101 || status === 400, String(status))
      assert.equal(connection.received().includes('c2VjcmV0'), false, token)
    }
  })
})
