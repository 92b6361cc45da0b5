import { createServer } from 'node:http'
import { createGate } from '../../dist/index.js'
import { guarded } from './express-get.mjs'

export default function start() {
  const app = guarded()
  const gate = createGate({ identify: () => ({ subject: 'demo' }) })
  app.get('/ws', gate.websocket((socket) => socket.on('message', (data) => socket.send(data))))
  const server = createServer(app)
  gate.attach(server)
  return server
}
