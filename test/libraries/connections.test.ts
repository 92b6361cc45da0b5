import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { initTRPC } from '@trpc/server'
import { applyWSSHandler } from '@trpc/server/adapters/ws'
import { buildSchema } from 'graphql'
import { useServer } from 'graphql-ws/use/ws'
import { WebSocketServer, type WebSocket } from 'ws'
import type { Connection, Gate } from '../../src/index.ts'
import { listen } from '../support/servers.ts'
import { closed, dial, KEY, makeApp, requireKey } from './support.ts'

type Found = (connection: Connection | undefined) => void

/** Each library with its own set-up, and where it shows the request: there the test asks for the connection. */
const LIBRARIES: Readonly<
  Record<string, { protocol?: string; serve(wss: WebSocketServer, gate: Gate, found: Found): void }>
> = {
  ws: {
    serve(wss, gate, found) {
      wss.on('connection', (ws, req) => found(gate.connection(req, ws)))
    },
  },
  'graphql-ws': {
    protocol: 'graphql-transport-ws',
    serve(wss, gate, found) {
      useServer(
        {
          schema: buildSchema('type Query { me: String }'),
          onConnect: ({ extra }) => found(gate.connection(extra.request, extra.socket as WebSocket)),
        },
        wss,
      )
    },
  },
  tRPC: {
    serve(wss, gate, found) {
      const t = initTRPC.create()
      applyWSSHandler({
        wss,
        router: t.router({ me: t.procedure.query(() => 'me') }),
        createContext: ({ req, res }) => {
          found(gate.connection(req, res))
          return {}
        },
      })
    },
  },
}

for (const [name, { protocol, serve }] of Object.entries(LIBRARIES)) {
  describe(`${name}: the connection`, () => {
    it('has the identity, ends with a Close frame, and leaves the gate', async () => {
      const { app, server, gate } = makeApp()
      const wss = new WebSocketServer({ noServer: true })
      const found = new Promise<Connection | undefined>((resolve) => {
        serve(wss, gate as Gate, resolve)
      })
      app.use('/ws', requireKey, gate.accept(wss))
      gate.attach(server)
      await using listening = await listen(server)
      const { ws, status, headers } = await dial(
        listening.port,
        '/ws',
        { headers: KEY },
        protocol === undefined ? [] : [protocol],
      )
      assert.equal(status, 101)
      assert.equal(headers['x-guard'], 'was here', 'headers of the middleware are on the 101 of the library')
      if (protocol !== undefined) ws.send(JSON.stringify({ type: 'connection_init' }))
      const gone = closed(ws)
      const connection = await found
      assert.equal(connection?.identity.subject, 'ann')
      assert.equal(gate.connections.size, 1)
      connection.end('out')
      assert.equal(await gone, 4403)
      await listening.noneOpen(1500)
      assert.equal(gate.connections.size, 0)
    })

    it('ends although the client does not answer the Close frame', async () => {
      const { app, server, gate } = makeApp()
      const wss = new WebSocketServer({ noServer: true })
      serve(wss, gate as Gate, () => undefined)
      wss.on('connection', (ws, req) => gate.connection(req, ws)?.end('out'))
      app.use('/ws', requireKey, gate.accept(wss))
      gate.attach(server)
      await using listening = await listen(server)
      const { ws } = await dial(listening.port, '/ws', { headers: KEY }, protocol === undefined ? [] : [protocol])
      ws.pause()
      await listening.noneOpen(2500)
      assert.equal(gate.connections.size, 0)
      ws.terminate()
    })
  })
}
