import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Socket as NetSocket } from 'node:net'
import { describe, it } from 'node:test'
import session from 'express-session'
import { Server, type Socket } from 'socket.io'
import { io as connect } from 'socket.io-client'
import type { Connection, Gate } from '../../src/index.ts'
import { connectRaw, handshakeText, rawRequest } from '../support/raw.ts'
import { listen, type Listening } from '../support/servers.ts'
import { dial, KEY, makeApp, requireKey } from './support.ts'

type Made = ReturnType<typeof makeApp> & { readonly io: Server }

/** Both lines, and whatever middleware the test puts in front of the guard. */
function guarded(add: (app: Made['app']) => void = () => undefined): Made {
  const made = makeApp()
  const { app, server, gate } = made
  add(app)
  const io = new Server(server)
  gate.attach(server, { app })
  app.use('/socket.io', requireKey, gate.accept(io))
  io.engine.use(gate.engine(app))
  return { ...made, io }
}

const poll = ({ port }: Listening, headers: Record<string, string> = KEY, query = ''): Promise<Response> =>
  fetch(`http://127.0.0.1:${port}/socket.io/?EIO=4&transport=polling${query}`, { headers })

function warningsOf(gate: Gate): string[] {
  const codes: string[] = []
  gate.on('warning', ({ code }) => codes.push(code))
  return codes
}

describe('what the middleware of the app sees of a plain request of Socket.IO', () => {
  it('the address of the client, and no way to the real socket', async () => {
    const seen: Array<string | undefined> = []
    const { server, io } = guarded((app) => {
      app.use((req, _res, next) => {
        seen.push(req.ip, req.socket.remoteAddress, req.protocol)
        req.socket.on('only-here', () => undefined)
        req.socket.setTimeout(1)
        next()
      })
    })
    await using listening = await listen(server)
    const connected = once(server, 'connection')
    assert.equal((await poll(listening)).status, 200)
    const [socket] = (await connected) as [NetSocket]
    assert.deepEqual(seen, ['127.0.0.1', '127.0.0.1', 'http'])
    assert.equal(socket.listenerCount('only-here'), 0)
    assert.notEqual(socket.timeout, 1)
    await io.close()
  })

  it('the session: its cookie comes back with polling and on the 101, and reaches the app', async () => {
    const { server, io, gate } = guarded((app) => {
      app.use(session({ secret: 's', resave: false, saveUninitialized: true, rolling: true }))
    })
    await using listening = await listen(server)
    const polled = await poll(listening)
    const [cookie = ''] = polled.headers.getSetCookie()
    assert.match(cookie, /^connect\.sid=/)
    const { ws, status, headers } = await dial(listening.port, '/socket.io/?EIO=4&transport=websocket', {
      headers: { ...KEY, Cookie: cookie.split(';')[0] ?? '' },
    })
    assert.equal(status, 101)
    assert.equal(headers['set-cookie']?.[0]?.split(';')[0], cookie.split(';')[0], 'the same session, rolled')
    assert.equal(gate.connections.size, 1)
    ws.terminate()
    await io.close()
    await listening.noneOpen()
    assert.equal(gate.connections.size, 0)
  })
})

describe('one session of Socket.IO serves nobody else', () => {
  it('its id opens no transport without the credentials', async () => {
    const { server, io } = guarded()
    await using listening = await listen(server)
    const opened = await (await poll(listening)).text()
    const { sid } = JSON.parse(opened.slice(1)) as { sid: string }
    assert.equal((await poll(listening, {}, `&sid=${sid}`)).status, 401)
    const posted = await fetch(`http://127.0.0.1:${listening.port}/socket.io/?EIO=4&transport=polling&sid=${sid}`, {
      method: 'POST',
      body: '40',
    })
    assert.equal(posted.status, 401)
    assert.equal((await dial(listening.port, `/socket.io/?EIO=4&transport=websocket&sid=${sid}`)).status, 401)
    const half = await rawRequest({
      port: listening.port,
      lines: [
        'GET /socket.io/?EIO=4&transport=websocket HTTP/1.1',
        'Host: localhost',
        'Upgrade: websocket',
        'Connection: close',
        'Sec-WebSocket-Version: 13',
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
      ],
    })
    assert.ok(half.status >= 400, `half an upgrade: ${half.status}`)
    await io.close()
  })
})

describe('the connection of a Socket.IO client', () => {
  it('is there with its identity, and ends', async () => {
    const { server, io, gate } = guarded()
    const connected = new Promise<Connection | undefined>((resolve) => {
      io.on('connection', (socket: Socket) => resolve(gate.connection(socket.request)))
    })
    await using listening = await listen(server)
    const client = connect(`http://127.0.0.1:${listening.port}`, {
      transports: ['websocket'],
      extraHeaders: KEY,
      reconnection: false,
      forceNew: true,
    })
    const gone = new Promise<string>((resolve) => {
      client.on('disconnect', (reason) => resolve(reason))
    })
    const connection = await connected
    assert.equal(connection?.identity.subject, 'ann')
    connection.end('out')
    assert.match(await gone, /transport/)
    assert.equal(connection.signal.aborted, true)
    client.close()
    await io.close()
    await listening.noneOpen()
    assert.equal(gate.connections.size, 0)
  })
})

describe('a refusal of a plain request', () => {
  it('that never ends: the app hears that its client has gone', async () => {
    let closed: Promise<unknown> = Promise.resolve()
    const { server, io } = guarded((app) => {
      app.use((req, res, next) => {
        if (req.headers['x-drip'] === undefined) return next()
        closed = once(res, 'close')
        res.status(403).write('no')
        return undefined
      })
    })
    await using listening = await listen(server)
    await using connection = await connectRaw(listening)
    connection.send('GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: localhost\r\nX-Drip: 1\r\n\r\n')
    await connection.until((bytes) => bytes.includes('no') || undefined)
    assert.match(connection.received().toString(), /^HTTP\/1\.1 403 /)
    connection.destroy()
    await closed
    await io.close()
  })

  it('that the app cuts is no whole answer', async () => {
    const { server, io } = guarded((app) => {
      app.use((_req, res) => {
        res.status(403).set('Content-Length', '100').write('no')
        setImmediate(() => res.destroy())
      })
    })
    await using listening = await listen(server)
    await assert.rejects(async () => (await poll(listening)).text())
    await io.close()
  })

  it('comes once the gate is closed, whatever the credentials', async () => {
    const { server, io, gate } = guarded()
    await using listening = await listen(server)
    assert.equal((await poll(listening)).status, 200)
    await gate.close()
    assert.equal((await poll(listening)).status, 503)
    await io.close()
  })
})

describe('D5: half of the two lines is told of', () => {
  it('attach(server, { app }) alone', async () => {
    const { app, server, gate } = makeApp()
    const codes = warningsOf(gate)
    const io = new Server(server)
    gate.attach(server, { app })
    await using _listening = await listen(server)
    assert.deepEqual(codes, ['unguarded_engine'])
    await io.close()
  })
  it('engine() alone', async () => {
    const { app, server, gate } = makeApp()
    const codes = warningsOf(gate)
    const io = new Server(server)
    gate.attach(server)
    io.engine.use(gate.engine(app))
    await using _listening = await listen(server)
    assert.deepEqual(codes, ['unguarded_engine'])
    await io.close()
  })
  it('a Socket.IO that is attached late, before the server listens', async () => {
    const { server, gate } = makeApp()
    const codes = warningsOf(gate)
    gate.attach(server)
    await new Promise((resolve) => setImmediate(setImmediate, resolve))
    const io = new Server(server)
    await using _listening = await listen(server)
    assert.deepEqual(codes, ['unguarded_engine'])
    await io.close()
  })
  it('both lines, in any order: silence', async () => {
    for (const order of [
      ['attach', 'engine'],
      ['engine', 'attach'],
    ]) {
      const { app, server, gate } = makeApp()
      const codes = warningsOf(gate)
      const io = new Server(server)
      for (const line of order) {
        if (line === 'attach') gate.attach(server, { app })
        else io.engine.use(gate.engine(app))
      }
      await using _listening = await listen(server)
      await new Promise(setImmediate)
      assert.deepEqual(codes, [])
      await io.close()
    }
  })
  it('a server without Socket.IO: silence, and detach leaves no listener', async () => {
    const { server, gate } = makeApp()
    const codes = warningsOf(gate)
    const before = server.listenerCount('listening')
    const detach = gate.attach(server)
    detach()
    assert.equal(server.listenerCount('listening'), before)
    gate.attach(server)
    await using listening = await listen(server)
    await using connection = await connectRaw(listening)
    connection.send(handshakeText())
    assert.equal((await connection.response()).status, 404)
    assert.deepEqual(codes, [])
  })
})
