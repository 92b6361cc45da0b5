import Fastify from 'fastify'
import { websocket } from '../../dist/fastify.js'
import { createGate } from '../../dist/index.js'
import { isKey } from '../api-key.mjs'
import { echo } from '../echo.mjs'
import { identify } from '../identity.mjs'

export default async function start() {
  const app = Fastify()
  const gate = createGate({ identify })
  const preHandler = (request, reply, done) =>
    isKey(request.headers['x-api-key']) ? done() : reply.code(401).send({ error: 'no key' })
  app.get('/ws', { preHandler }, websocket(gate, echo))
  await app.ready()
  gate.attach(app.server)
  return app.server
}
