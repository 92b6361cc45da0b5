import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { it } from 'node:test'
import { createProxyMiddleware } from 'http-proxy-middleware'
import { WebSocketServer } from 'ws'
import { listen } from '../support/servers.ts'
import { dial, echo, KEY, makeApp, requireKey } from './support.ts'

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
