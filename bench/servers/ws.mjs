// The floor: `ws` with the key check, and nothing else.
import { createServer } from 'node:http'
import { WebSocketServer } from 'ws'
import { isKey } from '../api-key.mjs'
import { echo } from '../echo.mjs'

// Not a closure: one that shares a scope with `req` would keep it for as long as the connection lives.
const survive = () => {}

export default function start() {
  const wss = new WebSocketServer({ noServer: true, clientTracking: false })
  wss.on('connection', echo)
  const server = createServer((_req, res) => res.end('hello'))
  server.on('upgrade', (req, socket, head) => {
    socket.on('error', survive)
    if (!isKey(req.headers['x-api-key']))
      return socket.end('HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n', () => socket.destroy())
    wss.handleUpgrade(req, socket, head, (ws) => wss.emit('connection', ws, req))
  })
  return server
}
