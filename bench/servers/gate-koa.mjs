import { createServer } from 'node:http'
import Koa from 'koa'
import { createGate } from '../../dist/index.js'
import { websocket } from '../../dist/koa.js'
import { isKey } from '../api-key.mjs'

export default function start() {
  const app = new Koa()
  const gate = createGate({ identify: () => ({ subject: 'demo' }) })
  const live = websocket(gate, (socket) => socket.on('message', (data) => socket.send(data)))
  app.use((ctx, next) => (isKey(ctx.get('x-api-key')) ? next() : ctx.throw(401)))
  app.use((ctx, next) => (ctx.path === '/ws' ? live(ctx, next) : next()))
  const server = createServer(app.callback())
  gate.attach(server)
  return server
}
