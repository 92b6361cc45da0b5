import { createServer } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import { Hono } from 'hono'
import { createGate } from '../../dist/index.js'
import { websocket } from '../../dist/hono.js'
import { isKey } from '../api-key.mjs'

export default function start() {
  const app = new Hono()
  const gate = createGate({ identify: () => ({ subject: 'demo' }) })
  app.use(async (c, next) => (isKey(c.req.header('x-api-key')) ? next() : c.json({ error: 'no key' }, 401)))
  app.get('/ws', websocket(gate, (socket) => socket.on('message', (data) => socket.send(data))))
  const server = createServer(getRequestListener(app.fetch))
  gate.attach(server)
  return server
}
