// What a careful author writes around `ws` to do the same work: one credential, shape, Host, Origin, caps, deadline,
// a registry with identity and expiry, counters, a clean refusal.
import { createServer } from 'node:http'
import { WebSocketServer } from 'ws'
import { isKey } from '../api-key.mjs'
import { echo } from '../echo.mjs'

const PATH = /^(?:\/[A-Za-z0-9_~-]+)+(?:\?[A-Za-z0-9_~.&=-]*)?$/
const SINGLE = new Set(['host', 'origin', 'x-api-key', 'authorization', 'sec-websocket-key', 'sec-websocket-version'])

// Not a closure: one that shares a scope with `req` would keep it for as long as the connection lives.
const survive = () => {}

function refusal(req) {
  const { headers, rawHeaders } = req
  if (rawHeaders.length > 128) return 431
  const seen = new Set()
  for (let n = 0; n < rawHeaders.length; n += 2) {
    const name = rawHeaders[n].toLowerCase()
    if (!SINGLE.has(name)) continue
    if (seen.has(name)) return 400
    seen.add(name)
  }
  if (req.method !== 'GET' || req.httpVersion !== '1.1' || headers['sec-websocket-version'] !== '13') return 400
  if (headers['transfer-encoding'] !== undefined || headers['content-length'] !== undefined) return 400
  if (!PATH.test(req.url)) return 400
  const host = headers.host ?? ''
  if (!/^(?:127\.0\.0\.1|localhost)(?::\d+)?$/.test(host)) return 421
  if (headers.origin !== undefined && headers.origin !== `http://${host}`) return 403
  return isKey(headers['x-api-key']) ? 0 : 401
}

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
    const status = await refusal(req)
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
