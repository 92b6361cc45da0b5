import { createServer } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import { Hono } from 'hono'
import { websocket } from '../../dist/hono.js'
import { createGate } from '../../dist/index.js'
import { isKey } from '../api-key.mjs'
import { echo } from '../echo.mjs'
import { identify } from '../identity.mjs'

export default function start() {
  const app = new Hono()
  const gate = createGate({ identify })
  app.use(async (c, next) => (isKey(c.req.header('x-api-key')) ? next() : c.json({ error: 'no key' }, 401)))
  app.get('/ws', websocket(gate, echo))
  const server = createServer(getRequestListener(app.fetch))
  gate.attach(server)
  return server
}
