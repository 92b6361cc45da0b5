import { createServer } from 'node:http'
import { Server } from 'socket.io'
import { isKey } from '../api-key.mjs'

export default function start() {
  const server = createServer()
  const io = new Server(server, {
    transports: ['websocket'],
    path: '/ws',
    allowRequest: (req, done) => done(null, isKey(req.headers['x-api-key'])),
  })
  io.on('connection', (socket) => socket.on('message', (data) => socket.send(data)))
  return server
}
