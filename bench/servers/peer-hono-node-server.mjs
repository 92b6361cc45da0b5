import { serve, upgradeWebSocket } from '@hono/node-server'
import { Hono } from 'hono'
import { WebSocketServer } from 'ws'
import { isKey } from '../api-key.mjs'

export default function start() {
  const app = new Hono()
  app.use(async (c, next) => (isKey(c.req.header('x-api-key')) ? next() : c.json({ error: 'no key' }, 401)))
  app.get(
    '/ws',
    upgradeWebSocket(() => ({ onMessage: (event, ws) => ws.send(event.data) })),
  )
  return new Promise((resolve) => {
    const server = serve(
      {
        fetch: app.fetch,
        port: 0,
        hostname: '127.0.0.1',
        websocket: { server: new WebSocketServer({ noServer: true }) },
      },
      () => resolve(server),
    )
  })
}
