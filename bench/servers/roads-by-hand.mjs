// What a careful author writes around `ws` for the same four roads: the token verified in each, single-use random tickets
// that expire, one message within five seconds and 4 KiB, deadlines and caps, a registry with identity and expiry.
import { createHash, randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import { WebSocketServer } from 'ws'
import { isKey } from '../api-key.mjs'
import { echo } from '../echo.mjs'
import { misshapen } from '../shape.mjs'

const FORM = 'base64url.bearer.authorization.gate101.'
const identity = { issuer: 'bearer', subject: 'demo', expiresAt: new Date('2099-01-01') }
const survive = () => {}
const bearerOf = (header) => /^Bearer ([A-Za-z0-9._~+/-]+=*)$/.exec(header ?? '')?.[1]
const sha256 = (text) => createHash('sha256').update(text).digest('base64url')

export default function start() {
  const open = new Map()
  const tickets = new Map()
  const handleProtocols = () => 'gate101'
  const wss = new WebSocketServer({ noServer: true, clientTracking: false, handleProtocols })
  const waiting = new WebSocketServer({ noServer: true, clientTracking: false, handleProtocols, maxPayload: 4096 })
  let pending = 0
  let id = 0
  function forget() {
    open.delete(this)
  }
  const register = (ws) => {
    open.set(ws, { id: `c${id++}`, identity, openedAt: Date.now(), expiresAt: identity.expiresAt.getTime() })
    ws.once('close', forget)
    echo(ws)
  }
  const refuse = (socket, status) =>
    socket.end(`HTTP/1.1 ${status} Refused\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () => socket.destroy())

  const server = createServer((req, res) => {
    if (req.url !== '/ws/ticket') return res.end('hello')
    if (req.method !== 'POST' || req.headers['content-type'] !== 'application/json' || !originIsOwn(req))
      return res.writeHead(400).end()
    const token = bearerOf(req.headers.authorization)
    if (!isKey(token)) return res.writeHead(401).end()
    const ticket = randomBytes(32).toString('base64url')
    tickets.set(sha256(ticket), { token, origin: req.headers.origin, until: Date.now() + 15_000 })
    const body = JSON.stringify({ ticket, expiresIn: 15, url: `/ws?ticket=${ticket}` })
    res.writeHead(200, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' }).end(body)
  })

  function takeTicket(req, ticket) {
    const key = sha256(ticket)
    const found = tickets.get(key)
    tickets.delete(key)
    return found !== undefined && found.until > Date.now() && found.origin === req.headers.origin
      ? found.token
      : undefined
  }

  /** The token, wherever it came from; undefined where there is none. */
  function tokenOf(req) {
    const ticket = /[?&]ticket=([A-Za-z0-9_-]+)/.exec(req.url)?.[1]
    if (ticket !== undefined) return takeTicket(req, ticket)
    const item = (req.headers['sec-websocket-protocol'] ?? '').split(/, */).find((one) => one.startsWith(FORM))
    if (item !== undefined) return Buffer.from(item.slice(FORM.length), 'base64url').toString()
    return bearerOf(req.headers.authorization)
  }

  function waitForMessage(req, socket, head) {
    waiting.handleUpgrade(req, socket, head, (ws) => {
      ws.on('error', survive)
      const timer = setTimeout(() => ws.close(4408), 5000)
      ws.once('message', async (data) => {
        clearTimeout(timer)
        const { type, token } = JSON.parse(data.toString())
        if (type !== 'auth' || !(await isKey(token))) return ws.close(4401)
        ws.send(
          JSON.stringify({ type: 'auth_ok', subject: identity.subject, expiresAt: identity.expiresAt, expiresIn: 1e9 }),
        )
        register(ws)
      })
    })
  }

  server.on('upgrade', async (req, socket, head) => {
    const deadline = setTimeout(() => socket.destroy(), 10_000)
    socket.on('error', survive)
    const wrong = misshapen(req)
    if (pending >= 2048 || wrong !== 0) return refuse(socket, wrong || 503)
    pending++
    const token = await tokenOf(req)
    pending--
    clearTimeout(deadline)
    if (token === undefined && req.url === '/ws/login') return waitForMessage(req, socket, head)
    if (!isKey(token)) return refuse(socket, 401)
    wss.handleUpgrade(req, socket, head, register)
  })
  return server
}

function originIsOwn({ headers }) {
  return headers.origin === undefined || headers.origin === `http://${headers.host}`
}
