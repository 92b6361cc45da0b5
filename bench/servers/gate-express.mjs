import { createServer } from 'node:http'
import { createGate } from '../../dist/index.js'
import { echo } from '../echo.mjs'
import { identify } from '../identity.mjs'
import { guarded } from './express-get.mjs'

export default function start() {
  const app = guarded()
  const gate = createGate({ identify })
  app.get('/ws', gate.websocket(echo))
  const server = createServer(app)
  gate.attach(server)
  return server
}
