// An identity for each connection, by whose parts it is found, and a timer that ends it, by hand.
import { createServer } from 'node:http'
import { WebSocketServer } from 'ws'
import { isKey } from '../api-key.mjs'
import { echo } from '../echo.mjs'

const HOUR = 3_600_000
const INDEXES = ['subject', 'session', 'credential']
const found = new Map(INDEXES.map((name) => [name, new Map()]))
const open = new Map()
let users = 0

// Not a closure: one that shares a scope with `req` would keep it for as long as the connection lives.
const survive = () => {}

function enter(ws, kept) {
  const n = users++
  const identity = {
    subject: `user-${n}`,
    session: `session-${n}`,
    credential: `credential-${n}`,
    expiresAt: new Date(Date.now() + HOUR),
  }
  const timer = setTimeout(expire, HOUR, ws)
  timer.unref()
  open.set(ws, { identity, openedAt: Date.now(), timer, kept })
  for (const name of INDEXES) {
    const index = found.get(name)
    index.set(identity[name], (index.get(identity[name]) ?? new Set()).add(ws))
  }
  ws.on('close', leave)
}

function expire(ws) {
  ws.close(4401, 'expired')
}

function leave() {
  const { identity, timer } = open.get(this)
  clearTimeout(timer)
  open.delete(this)
  for (const name of INDEXES) {
    const index = found.get(name)
    const those = index.get(identity[name])
    those.delete(this)
    if (those.size === 0) index.delete(identity[name])
  }
}

/** @param keep - what is kept of a handshake */
export function startWith(keep) {
  const wss = new WebSocketServer({ noServer: true, clientTracking: false })
  wss.on('connection', echo)
  const server = createServer((_req, res) => res.end('hello'))
  server.on('upgrade', (req, socket, head) => {
    socket.on('error', survive)
    if (!isKey(req.headers['x-api-key']))
      return socket.end('HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n', () => socket.destroy())
    wss.handleUpgrade(req, socket, head, (ws) => {
      enter(ws, keep(req))
      wss.emit('connection', ws, req)
    })
  })
  return server
}

export default () => startWith(() => undefined)
