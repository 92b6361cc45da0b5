import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import { createServer as createVite } from 'vite'
import { listen } from '../support/servers.ts'
import { dial, echo, KEY, makeApp, requireKey } from './support.ts'

it("a development server's hot reload works beside a gate that holds its own paths only", async () => {
  const root = await mkdtemp(join(tmpdir(), 'gate101-vite-'))
  await writeFile(join(root, 'index.html'), '<h1>hello</h1>')
  const { app, server, gate } = makeApp()
  const vite = await createVite({
    root,
    configFile: false,
    logLevel: 'silent',
    server: { middlewareMode: true, hmr: { server }, ws: undefined as never },
  })
  try {
    app.get(
      '/live',
      requireKey,
      gate.websocket((socket) => socket.on('message', (data) => socket.send(String(data)))),
    )
    app.use(vite.middlewares)
    gate.attach(server, { paths: ['/live'] })
    await using listening = await listen(server)
    const { ws: hot } = await dial(listening.port, `/?token=${vite.config.webSocketToken}`, {}, ['vite-hmr'])
    assert.equal(hot.protocol, 'vite-hmr')
    hot.terminate()
    assert.equal((await dial(listening.port, '/live')).status, 401)
    const { ws } = await dial(listening.port, '/live', { headers: KEY })
    assert.equal(await echo(ws, 'x'), 'x')
    ws.terminate()
  } finally {
    await vite.close()
    await rm(root, { recursive: true, force: true })
  }
})
