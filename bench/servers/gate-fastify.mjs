import Fastify from 'fastify'
import { createGate } from '../../dist/index.js'
import { websocket } from '../../dist/fastify.js'
import { isKey } from '../api-key.mjs'

export default async function start() {
  const app = Fastify()
  const gate = createGate({ identify: () => ({ subject: 'demo' }) })
  const preHandler = (request, reply, done) => (isKey(request.headers['x-api-key']) ? done() : reply.code(401).send({ error: 'no key' }))
  app.get('/ws', { preHandler }, websocket(gate, (socket) => socket.on('message', (data) => socket.send(data))))
  await app.ready()
  gate.attach(app.server)
  return app.server
}
