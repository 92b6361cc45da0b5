// `ws` with its own hook.
import { createServer } from 'node:http'
import { WebSocketServer } from 'ws'
import { isKey } from '../api-key.mjs'

export default function start() {
  const server = createServer()
  const wss = new WebSocketServer({
    server,
    clientTracking: false,
    verifyClient: ({ req }, done) => done(isKey(req.headers['x-api-key']), 401, 'Unauthorized'),
  })
  wss.on('connection', (ws) => ws.on('error', () => {}))
  return server
}
