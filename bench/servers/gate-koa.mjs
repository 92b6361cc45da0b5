import { createServer } from 'node:http'
import Koa from 'koa'
import { createGate } from '../../dist/index.js'
import { websocket } from '../../dist/koa.js'
import { isKey } from '../api-key.mjs'
import { echo } from '../echo.mjs'
import { identify } from '../identity.mjs'

export default function start() {
  const app = new Koa()
  const gate = createGate({ identify })
  const live = websocket(gate, echo)
  app.use((ctx, next) => {
    if (isKey(ctx.get('x-api-key'))) return next()
    ctx.status = 401
    ctx.body = { error: 'no key' }
  })
  app.use((ctx, next) => (ctx.path === '/ws' ? live(ctx, next) : next()))
  const server = createServer(app.callback())
  gate.attach(server)
  return server
}
