// gate101 with a scheme and no app; a `ws` server takes over.
import { createServer } from 'node:http'
import { WebSocketServer } from 'ws'
import { createGate } from '../../dist/index.js'
import { apiKey } from '../../dist/schemes.js'
import { KEY } from '../api-key.mjs'

export default function start() {
  const server = createServer((_req, res) => res.end('hello'))
  const gate = createGate({ authenticate: apiKey({ keys: [{ key: KEY, subject: 'demo' }] }) })
  const wss = new WebSocketServer({ server, clientTracking: false })
  wss.on('connection', (ws) => {
    ws.on('error', () => {})
    ws.on('message', (data) => ws.send(data))
  })
  gate.attach(server)
  return server
}
