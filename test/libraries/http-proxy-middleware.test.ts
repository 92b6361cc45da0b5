import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { it } from 'node:test'
import { createProxyMiddleware } from 'http-proxy-middleware'
import { WebSocketServer } from 'ws'
import { listen } from '../support/servers.ts'
import { closed, dial, echo, KEY, makeApp, requireKey } from './support.ts'

it('a proxy middleware is guarded before and after it has put itself on the upgrade event', async () => {
  const upstream = createServer((_req, res) => res.end('upstream'))
  new WebSocketServer({ server: upstream }).on('connection', (ws) =>
    ws.on('message', (data) => ws.send(`up: ${String(data)}`)),
  )
  await using behind = await listen(upstream)

  const { app, server, gate } = makeApp()
  const proxy = createProxyMiddleware({ target: `http://127.0.0.1:${behind.port}`, ws: true, changeOrigin: true })
  app.use('/rt', requireKey, gate.accept(proxy), proxy)
  gate.attach(server)
  await using listening = await listen(server)
  const { port } = listening

  const check = async (): Promise<void> => {
    assert.equal((await dial(port, '/rt')).status, 401)
    assert.equal((await dial(port, '/anything')).status, 404)
    assert.equal((await dial(port, '/anything', { headers: KEY })).status, 404)
    const { ws, headers } = await dial(port, '/rt', { headers: KEY })
    assert.equal(headers['x-guard'], 'was here')
    assert.equal(await echo(ws, 'hi'), 'up: hi')
    ws.terminate()
  }
  await check()
  assert.equal((await fetch(`http://127.0.0.1:${port}/rt`)).status, 401)
  const answer = await fetch(`http://127.0.0.1:${port}/rt`, { headers: KEY })
  assert.equal(await answer.text(), 'upstream')
  assert.equal(server.listenerCount('upgrade') >= 2, true, 'the proxy listens by now')
  await check()
})

it('two proxies on one server: with `ws: true` the mistake is named, without it both work', async () => {
  const upstreams = ['one', 'two'].map((name) => {
    const upstream = createServer((_req, res) => res.end(name))
    new WebSocketServer({ server: upstream }).on('connection', (ws) => ws.on('message', () => ws.send(name)))
    return upstream
  })
  const [one, two] = upstreams
  assert.ok(one !== undefined && two !== undefined)
  await using behindOne = await listen(one)
  await using behindTwo = await listen(two)
  for (const ws of [true, false]) {
    const { app, server, gate } = makeApp()
    for (const [path, { port }] of [
      ['/one', behindOne],
      ['/two', behindTwo],
    ] as const) {
      const proxy = createProxyMiddleware({ target: `http://127.0.0.1:${port}`, ws })
      app.use(path, requireKey, gate.accept(proxy), proxy)
    }
    gate.attach(server)
    const causes: string[] = []
    gate.on('refused', ({ cause }) => causes.push(String(cause)))
    await using listening = await listen(server)
    for (const path of ['/one', '/two']) {
      const answer = await fetch(`http://127.0.0.1:${listening.port}${path}`, { headers: KEY })
      assert.equal(await answer.text(), path.slice(1))
    }
    for (const path of ['/one', '/two']) {
      assert.equal((await dial(listening.port, path)).status, 401)
      const dialled = await dial(listening.port, path, { headers: KEY })
      if (ws) {
        assert.equal(dialled.status, 500)
        assert.match(causes.at(-1) ?? '', /without `ws: true`/)
        continue
      }
      assert.equal(await echo(dialled.ws, 'hi'), path.slice(1), 'each reaches its own')
      dialled.ws.terminate()
    }
    assert.equal(gate.connections.size === 0 || !ws, true)
    await listening.close()
  }
})

it('the connection of a proxied socket has the identity, ends both sides, and leaves', async () => {
  const upstream = createServer()
  const wss = new WebSocketServer({ server: upstream })
  const upstreamGone = new Promise<void>((resolve) => {
    wss.on('connection', (ws) => ws.on('close', () => resolve()))
  })
  await using behind = await listen(upstream)
  const { app, server, gate } = makeApp()
  const proxy = createProxyMiddleware({ target: `http://127.0.0.1:${behind.port}`, ws: true })
  app.use('/rt', requireKey, gate.accept(proxy), proxy)
  gate.attach(server)
  await using listening = await listen(server)
  const { ws } = await dial(listening.port, '/rt', { headers: KEY })
  const gone = closed(ws)
  const [connection] = gate.connections
  assert.equal(connection?.identity.subject, 'ann')
  connection.end('out')
  assert.equal(await gone, 1006)
  await upstreamGone
  await listening.noneOpen()
  assert.equal(gate.connections.size, 0)
})

it('`paths` beside a proxy that has put itself on the event leaves its other paths open: the gate says so', async () => {
  const upstream = createServer((_req, res) => res.end('upstream'))
  new WebSocketServer({ server: upstream }).on('connection', () => undefined)
  await using behind = await listen(upstream)
  for (const ws of [true, false]) {
    const { app, server, gate } = makeApp()
    const codes: string[] = []
    gate.on('warning', ({ code }) => codes.push(code))
    const proxy = createProxyMiddleware({ target: `http://127.0.0.1:${behind.port}`, ws })
    app.use('/rt', requireKey, gate.accept(proxy), proxy)
    gate.attach(server, { paths: ['/rt'] })
    await using listening = await listen(server)
    await fetch(`http://127.0.0.1:${listening.port}/rt`, { headers: KEY })
    const held = await dial(listening.port, '/rt', { headers: KEY })
    held.ws.terminate()
    const other = await dial(listening.port, '/rt/below')
    other.ws.terminate()
    assert.deepEqual([other.status, ...codes], ws ? [101, 'unheld_paths'] : [404])
  }
})
