import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { connect } from 'node:net'
import type { Duplex } from 'node:stream'
import { after, before, describe, it } from 'node:test'
import { createProxyMiddleware } from 'http-proxy-middleware'
import { WebSocketServer } from 'ws'
import { createGate, type Gate, type GateEvent, type GateOptions, type Library } from '../../src/index.ts'
import { patientClock } from '../support/beats.ts'
import { frame } from '../support/frames.ts'
import { freePort } from '../support/ports.ts'
import { connectRaw, handshake, handshakeText, rawRequest } from '../support/raw.ts'
import { listen } from '../support/servers.ts'
import { trapFaults } from '../support/trap.ts'
import { KEY } from './apps.ts'

const headers = { 'X-Api-Key': KEY }
const text = handshakeText({ headers })

interface Made {
  readonly server: Server
  readonly gate: Gate
  readonly events: GateEvent[]
}

/** Lets everybody with a key in, to `to`. `library` may be one that listens on the server itself. */
function serverFor(to: (server: Server) => Library | undefined, limits: GateOptions['limits'] = {}): Made {
  const gate = createGate({ identify: () => ({ subject: 'ann' }), clock: patientClock, limits }) as unknown as Gate
  const server = createServer()
  const library = to(server)
  const route = library === undefined ? gate.accept() : gate.accept(library)
  server.on('request', (req, res) => {
    res.setHeader('X-Guard', 'was here')
    if (req.headers['x-api-key'] === KEY) route(req, res)
    else res.writeHead(401).end()
  })
  gate.attach(server)
  const events: GateEvent[] = []
  for (const type of ['refused', 'accepted', 'aborted', 'ended'] as const) gate.on(type, (event) => events.push(event))
  return { server, gate, events }
}

function said(events: readonly GateEvent[]): string[] {
  return events.map((event) => {
    if (event.type === 'refused') return `refused ${event.code} ${event.status}`
    return event.type === 'ended' ? `ended ${event.reason}` : event.type
  })
}

let trap: ReturnType<typeof trapFaults>
before(() => {
  trap = trapFaults()
})
after(() => trap.assertNone())

describe('a library that takes over, and fails', () => {
  it("a throw in the app's own 'connection' listener writes no HTTP into the open WebSocket", async () => {
    const wss = new WebSocketServer({ noServer: true })
    wss.on('connection', () => {
      throw new Error('the app broke')
    })
    const { server, gate, events } = serverFor(() => wss)
    await using listening = await listen(server)
    await using connection = await connectRaw(listening)
    connection.send(text)
    await connection.ended()
    const answer = connection.received().toString('latin1')
    assert.match(answer, /^HTTP\/1\.1 101 /)
    assert.equal(answer.split('HTTP/1.1').length, 2, answer)
    await listening.noneOpen()
    assert.equal(gate.connections.size, 0)
    assert.deepEqual(said(events), ['accepted', 'ended handler_failed'])
    const ended = events.at(-1)
    assert.ok(ended?.type === 'ended' && ended.cause instanceof Error)
  })

  for (const [name, to] of [
    [
      'throws',
      () => {
        throw new Error('broken')
      },
    ],
    [
      'rejects',
      async () => {
        throw new Error('broken')
      },
    ],
    [
      'rejects later',
      async () => {
        await new Promise(setImmediate)
        throw new Error('broken')
      },
    ],
  ] as const) {
    it(`a function that ${name} refuses with 500`, async () => {
      const { server, gate, events } = serverFor(() => to)
      await using listening = await listen(server)
      const answer = await rawRequest({ port: listening.port, lines: handshake({ headers }) })
      assert.equal(answer.status, 500)
      assert.equal(answer.header('connection'), 'close')
      assert.equal(answer.text.includes('broken'), false)
      assert.deepEqual(said(events), ['refused no_listener 500'])
      assert.equal(gate.connections.size, 0)
      await listening.noneOpen()
    })
  }

  it('a function that rejects after its own 101 ends the connection, and writes no HTTP into it', async () => {
    const { server, gate, events } = serverFor(() => async (_req, socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n')
      await new Promise(setImmediate)
      throw new Error('broken')
    })
    await using listening = await listen(server)
    await using connection = await connectRaw(listening)
    connection.send(text)
    await connection.ended()
    assert.equal(connection.received().toString().split('HTTP/1.1').length, 2)
    assert.deepEqual(said(events), ['accepted', 'ended handler_failed'])
    assert.equal(gate.connections.size, 0)
  })

  it('one that never answers gets the client a 503 at the deadline', async () => {
    const { server, gate, events } = serverFor(() => () => undefined, { deadline: 200 })
    await using listening = await listen(server)
    const answer = await rawRequest({ port: listening.port, lines: handshake({ headers }) })
    assert.equal(answer.status, 503)
    assert.equal(JSON.parse(answer.text).error, 'handshake_timeout')
    assert.deepEqual(said(events), ['refused handshake_timeout 503'])
    assert.equal(gate.connections.size, 0)
    await listening.noneOpen(1500)
  })

  it('one that writes its 101 after the client has gone leaves no connection behind', async () => {
    let handed: (socket: Duplex) => void = () => undefined
    const taken = new Promise<Duplex>((resolve) => {
      handed = resolve
    })
    const { server, gate, events } = serverFor(() => (_req: unknown, socket: Duplex) => handed(socket))
    await using listening = await listen(server)
    const connection = await connectRaw(listening)
    connection.send(text)
    const socket = await taken
    const gone = once(socket, 'close')
    connection.destroy()
    // The kernel has told us that the client went; the library has not looked.
    socket.destroy()
    socket.write('HTTP/1.1 101 Switching Protocols\r\n\r\n')
    await gone
    socket.write('HTTP/1.1 101 Switching Protocols\r\n\r\n')
    await listening.noneOpen()
    assert.equal(gate.connections.size, 0)
    assert.deepEqual(said(events), ['aborted'])
  })
})

describe('a library that writes its own 101', () => {
  for (const size of [1, 7, 40]) {
    it(`in pieces of ${size} bytes, with the first frame at the end of the last: headers stand in it`, async () => {
      const { server, gate, events } = serverFor(() => (_req: unknown, socket: Duplex) => {
        const bytes = Buffer.concat([
          Buffer.from('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n'),
          frame('\u00e9', { masked: false }),
        ])
        for (let at = 0; at < bytes.length; at += size) socket.write(bytes.subarray(at, at + size))
        socket.resume().once('end', () => socket.end())
      })
      await using listening = await listen(server)
      await using connection = await connectRaw(listening)
      connection.send(text)
      const [first] = await connection.frames(1)
      assert.equal(first?.text, '\u00e9')
      const { headers: got } = await connection.response()
      assert.deepEqual(got, [
        ['Upgrade', 'websocket'],
        ['Connection', 'Upgrade'],
        ['X-Guard', 'was here'],
      ])
      assert.deepEqual(said(events), ['accepted'])
      connection.destroy()
      await listening.noneOpen()
      assert.equal(gate.connections.size, 0)
    })
  }

  it('a refusal in text of another alphabet keeps its bytes', async () => {
    const body = 'n\u00e3o \u65e5\u672c'
    const { server } = serverFor(() => (_req: unknown, socket: Duplex) => {
      socket.write(`HTTP/1.1 403 Forbidden\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`)
      socket.end()
    })
    await using listening = await listen(server)
    const answer = await rawRequest({ port: listening.port, lines: handshake({ headers }) })
    assert.equal(answer.status, 403)
    assert.equal(answer.text, body)
  })
})

describe('a library that refuses', () => {
  for (const [name, verifyClient] of [
    ['at once', () => false],
    [
      'later',
      (_info: unknown, done: (ok: boolean, code: number) => void) => {
        setImmediate(done, false, 403)
      },
    ],
  ] as const) {
    it(`${name}: one event says so, and the socket goes although the client stays`, async () => {
      const wss = new WebSocketServer({ noServer: true, verifyClient })
      const { server, gate, events } = serverFor(() => wss)
      await using listening = await listen(server)
      await using connection = await connectRaw(listening)
      connection.send(text)
      const { status } = await connection.response()
      assert.equal(status, name === 'later' ? 403 : 401)
      await listening.noneOpen(1500)
      assert.deepEqual(said(events), [`refused library ${status}`])
      assert.equal(gate.connections.size, 0)
    })
  }

  it("a proxy's upstream that refuses: relayed, closed, and said once", async () => {
    const upstream = createServer((_req, res) => res.writeHead(418, { Connection: 'keep-alive' }).end('teapot'))
    await using behind = await listen(upstream)
    const { server, events } = serverFor(
      () => createProxyMiddleware({ target: `http://127.0.0.1:${behind.port}`, ws: true }) as Library,
    )
    await using listening = await listen(server)
    await using connection = await connectRaw(listening)
    connection.send(text)
    await connection.ended()
    assert.match(connection.received().toString(), /^HTTP\/1\.1 418 [\s\S]*teapot/)
    await listening.noneOpen(1500)
    assert.deepEqual(said(events), ['refused library 418'])
  })

  it("a proxy's upstream that is away does not end the process", async () => {
    const port = await freePort()
    const { server, gate, events } = serverFor(
      () =>
        createProxyMiddleware({
          target: `http://127.0.0.1:${port}`,
          ws: true,
          logger: { info: () => undefined, warn: () => undefined, error: () => undefined },
        }) as Library,
      { deadline: 1000 },
    )
    await using listening = await listen(server)
    await using connection = await connectRaw(listening)
    connection.send(text)
    await connection.ended()
    await listening.noneOpen(1500)
    assert.equal(gate.connections.size, 0)
    assert.equal(events.length, 1, said(events).join())
  })
})

describe("a malformed first frame, where the app's library has no error listener", () => {
  const malformed = [
    ['reserved bits', frame('x', { rsv: 7 })],
    ['unmasked', frame('x', { masked: false })],
    ['a length of 2^63', frame('', { claimedLength: 2 ** 53 })],
    ['a second HTTP request', Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')],
  ] as const
  const ways: ReadonlyArray<readonly [string, (server: Server) => Library | undefined]> = [
    ['accept(wss)', () => new WebSocketServer({ noServer: true })],
    [
      'accept(), ws on the server',
      (server) => {
        new WebSocketServer({ server }).on('connection', () => undefined)
        return undefined
      },
    ],
    [
      'accept(function)',
      () => {
        const wss = new WebSocketServer({ noServer: true })
        return (req, socket, head) =>
          wss.handleUpgrade(req, socket as Duplex, head, (ws) => wss.emit('connection', ws, req))
      },
    ],
  ]
  for (const [way, to] of ways) {
    for (const [what, bytes] of malformed) {
      it(`${way}: ${what}`, async () => {
        const faults = trapFaults()
        const { server, gate } = serverFor(to)
        await using listening = await listen(server)
        await using connection = await connectRaw(listening)
        connection.send(Buffer.concat([Buffer.from(text), bytes]))
        const [close] = await connection.frames(1)
        assert.ok([1002, 1009].includes(close?.closeCode ?? 0), `closed with ${close?.closeCode}`)
        await using second = await connectRaw(listening)
        second.send(text)
        assert.equal((await second.response()).status, 101, 'control: the next one opens')
        connection.destroy()
        second.destroy()
        await listening.noneOpen()
        assert.equal(gate.connections.size, 0)
        await faults.assertNone()
      })
    }
  }
})

describe('what is sent early reaches the library once, and in order', () => {
  it('with the handshake and right behind it, through an async verifyClient', async () => {
    const wss = new WebSocketServer({
      noServer: true,
      verifyClient: (_info, done) => {
        setTimeout(done, 20, true)
      },
    })
    wss.on('connection', (ws) => ws.on('message', (data) => ws.send(String(data))))
    const { server } = serverFor(() => wss)
    await using listening = await listen(server)
    await using connection = await connectRaw(listening)
    connection.send(Buffer.concat([Buffer.from(text), frame('1'), frame('2')]))
    connection.send(frame('3'))
    const frames = await connection.frames(3)
    assert.deepEqual(
      frames.map(({ text: one }) => one),
      ['1', '2', '3'],
    )
    const answer = await connection.response()
    assert.deepEqual(
      answer.headers.filter(([name]) => name === 'X-Guard'),
      [['X-Guard', 'was here']],
    )
  })

  it('a client that does not read a chatty library is held back by TCP', async () => {
    let pressure = 0
    const wss = new WebSocketServer({ noServer: true })
    wss.on('connection', (ws) => {
      ws.send(Buffer.alloc(8 * 1024 * 1024))
      pressure = ws.bufferedAmount
    })
    const { server, gate } = serverFor(() => wss)
    await using listening = await listen(server)
    const socket = connect(listening.port, '127.0.0.1')
    socket.pause()
    socket.write(text)
    await once(wss, 'connection')
    assert.ok(pressure > 0, 'the bytes wait in the process of the one who sends, and it can see them')
    for (const connection of gate.connections) connection.end()
    await listening.noneOpen(1500)
    assert.equal(gate.connections.size, 0)
    socket.destroy()
  })
})
