import websocket from '@fastify/websocket'
import Fastify from 'fastify'
import { isKey } from '../api-key.mjs'
import { echo } from '../echo.mjs'

export default async function start() {
  const app = Fastify()
  await app.register(websocket)
  const preHandler = (request, reply, done) =>
    isKey(request.headers['x-api-key']) ? done() : reply.code(401).send({ error: 'no key' })
  app.get('/ws', { websocket: true, preHandler }, echo)
  await app.ready()
  return app.server
}
