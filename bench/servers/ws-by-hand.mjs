// What a careful author writes around `ws` to do the same work: one credential, shape, Host, Origin, caps, deadline,
// a registry with identity and expiry, counters, a clean refusal.
import { createServer } from 'node:http'
import { WebSocketServer } from 'ws'
import { isKey } from '../api-key.mjs'
import { echo } from '../echo.mjs'
import { misshapen } from '../shape.mjs'

// Not a closure: one that shares a scope with `req` would keep it for as long as the connection lives.
const survive = () => {}

export default function start() {
  const wss = new WebSocketServer({ noServer: true, clientTracking: false })
  const open = new Map()
  const counters = { accepted: 0, refused: 0 }
  let pending = 0
  let id = 0
  wss.on('connection', echo)
  const identity = { issuer: 'apiKey', subject: 'demo', expiresAt: new Date('2099-01-01') }
  function forget() {
    open.delete(this)
  }
  const server = createServer((_req, res) => res.end('hello'))
  server.on('upgrade', async (req, socket, head) => {
    const deadline = setTimeout(() => socket.destroy(), 10_000)
    socket.on('error', survive)
    if (pending >= 2048) return socket.destroy()
    pending++
    const status = await (misshapen(req) || (isKey(req.headers['x-api-key']) ? 0 : 401))
    pending--
    clearTimeout(deadline)
    if (status !== 0) {
      counters.refused++
      const body = JSON.stringify({ error: 'refused', message: 'The handshake was refused.', fix: 'Send the key.' })
      socket.end(
        `HTTP/1.1 ${status} Refused\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\nCache-Control: no-store\r\n\r\n${body}`,
        () => socket.destroy(),
      )
      return
    }
    wss.handleUpgrade(req, socket, head, (ws) => {
      open.set(ws, { id: `c${id++}`, identity, openedAt: Date.now(), expiresAt: identity.expiresAt.getTime() })
      ws.once('close', forget)
      counters.accepted++
      wss.emit('connection', ws, req)
    })
  })
  return server
}
