// gate101 with a scheme and no app, and every road on: the same bearer token comes by header, ticket, subprotocol or message.
import { createServer } from 'node:http'
import { WebSocketServer } from 'ws'
import { createGate } from '../../dist/index.js'
import { bearer } from '../../dist/schemes.js'
import { isKey } from '../api-key.mjs'
import { echo } from '../echo.mjs'

const identity = { subject: 'demo', expiresAt: new Date('2099-01-01') }

export default function start() {
  const server = createServer((req, res) => (req.url === '/ws/ticket' ? ticket(req, res) : res.end('hello')))
  const gate = createGate({
    authenticate: bearer({ verify: (token) => (isKey(token) ? identity : null) }),
    subprotocolTokens: true,
    firstMessage: { paths: ['/ws/login'] },
    limits: { waitingPerAddress: 1024 },
    tickets: { perSession: 10_000 },
  })
  const ticket = gate.ticket('/ws')
  const handleProtocols = () => 'gate101'
  new WebSocketServer({ server, clientTracking: false, handleProtocols }).on('connection', echo)
  gate.attach(server)
  return server
}
