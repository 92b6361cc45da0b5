import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { WebSocketServer, type WebSocket } from 'ws'
import { listen } from '../support/servers.ts'
import { closed, dial, echo, KEY, makeApp, requireKey } from './support.ts'

const echoBack = (ws: WebSocket): void => void ws.on('message', (data) => ws.send(String(data)))

describe('ws behind the gate', () => {
  for (const mode of ['{ server }', '{ noServer }'] as const) {
    for (const named of [true, false]) {
      it(`${mode}, accept(${named ? 'wss' : ''})`, async () => {
        const { app, server, gate } = makeApp()
        const wss = new WebSocketServer(mode === '{ server }' ? { server } : { noServer: true })
        if (mode === '{ noServer }') {
          server.on('upgrade', (req, socket, head) =>
            wss.handleUpgrade(req, socket, head, (ws) => wss.emit('connection', ws, req)),
          )
        }
        wss.on('connection', (ws, req) => {
          const connection = gate.connection(req, ws)
          ws.on('message', (data) => ws.send(`${connection?.identity.subject}: ${String(data)}`))
        })
        app.get('/ws', requireKey, named ? gate.accept(wss) : gate.accept())
        gate.attach(server)
        await using listening = await listen(server)
        const refused = await dial(listening.port, '/ws')
        assert.equal(refused.status, 401)
        assert.equal(refused.headers['www-authenticate'], 'ApiKey')
        assert.equal(refused.body, '{"error":"no key"}')
        const { ws, headers } = await dial(listening.port, '/ws', { headers: KEY })
        assert.equal(headers['x-guard'], 'was here')
        assert.equal(await echo(ws, 'hi'), 'ann: hi')
        assert.equal(gate.connections.size, 1)
        ws.close()
        await listening.noneOpen()
        assert.equal(gate.connections.size, 0)
      })
    }
  }

  it('two of them with different paths', async () => {
    const { app, server, gate } = makeApp()
    const one = new WebSocketServer({ noServer: true, path: '/sub/one' })
    const two = new WebSocketServer({ noServer: true, path: '/two' })
    one.on('connection', (ws) => ws.on('message', () => ws.send('one')))
    two.on('connection', (ws) => ws.on('message', () => ws.send('two')))
    // A mounted router shortens req.url; the library must see the whole path again.
    app.use('/sub', requireKey, gate.accept(one))
    app.get('/two', requireKey, gate.accept(two))
    gate.attach(server)
    await using listening = await listen(server)
    for (const [path, name] of [
      ['/sub/one', 'one'],
      ['/two', 'two'],
    ] as const) {
      const { ws } = await dial(listening.port, path, { headers: KEY })
      assert.equal(await echo(ws, 'who?'), name)
      ws.terminate()
      assert.equal((await dial(listening.port, path)).status, 401)
    }
    const wrong = await dial(listening.port, '/sub/other', { headers: KEY })
    assert.equal(wrong.status, 400, 'the library refuses a path that is not its own')
  })

  it('D4: without a name and with several candidates it is a configuration error that names them', async () => {
    const { app, server, gate } = makeApp()
    server.on('upgrade', function firstLibrary() {})
    server.on('upgrade', function secondLibrary() {})
    app.get('/ws', requireKey, gate.accept())
    gate.attach(server)
    await using listening = await listen(server)
    const refusals: Array<{ code: string; cause?: unknown }> = []
    gate.on('refused', (event) => refusals.push(event))
    const refused = await dial(listening.port, '/ws', { headers: KEY })
    assert.equal(refused.status, 500)
    assert.equal(JSON.parse(refused.body).error, 'no_listener')
    assert.match(String(refusals[0]?.cause), /firstLibrary, secondLibrary/)
  })

  it('D4: nobody else hears a handshake that the gate holds', async () => {
    const { app, server, gate } = makeApp()
    let heard = 0
    server.on('upgrade', () => heard++)
    app.get('/ws', requireKey, gate.websocket(echoBack))
    gate.attach(server)
    server.prependListener('upgrade', () => heard++)
    await using listening = await listen(server)
    assert.equal((await dial(listening.port, '/ws')).status, 401)
    const { ws } = await dial(listening.port, '/ws', { headers: KEY })
    assert.equal(await echo(ws, 'x'), 'x')
    assert.equal(heard, 0)
    ws.terminate()
  })

  it('connection.end() sends a Close frame, whether the app has named its WebSocket or not', async () => {
    const { app, server, gate } = makeApp()
    const wss = new WebSocketServer({ noServer: true })
    wss.on('connection', (ws, req) => {
      if (req.url === '/known') gate.connection(req, ws)
    })
    app.use(requireKey, gate.accept(wss))
    gate.attach(server)
    await using listening = await listen(server)
    for (const [path, code] of [
      ['/known', 4403],
      ['/shown', 4403],
    ] as const) {
      const { ws } = await dial(listening.port, path, { headers: KEY })
      const ended = closed(ws)
      for (const connection of gate.connections) connection.end('out')
      assert.equal(await ended, code)
    }
    await listening.noneOpen()
    assert.equal(gate.connections.size, 0)
  })

  it('`paths` beside a library on the server itself leaves its other paths open: attach says so', async () => {
    for (const paths of [['/ws'], undefined]) {
      const { app, server, gate } = makeApp()
      const codes: string[] = []
      gate.on('warning', ({ code }) => codes.push(code))
      new WebSocketServer({ server })
      app.get('/ws', requireKey, gate.accept())
      gate.attach(server, paths === undefined ? {} : { paths })
      await using listening = await listen(server)
      const { ws } = await dial(listening.port, '/ws', { headers: KEY })
      ws.terminate()
      const other = await dial(listening.port, '/other')
      other.ws.terminate()
      assert.deepEqual([other.status, ...codes], paths === undefined ? [404] : [101, 'unheld_paths'])
    }
  })
})
