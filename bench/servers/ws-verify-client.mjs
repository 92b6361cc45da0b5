// `ws` with its own hook.
import { createServer } from 'node:http'
import { WebSocketServer } from 'ws'
import { isKey } from '../api-key.mjs'
import { echo } from '../echo.mjs'

export default function start() {
  const server = createServer()
  const verifyClient = ({ req }, done) => done(isKey(req.headers['x-api-key']), 401, 'Unauthorized')
  new WebSocketServer({ server, clientTracking: false, verifyClient }).on('connection', echo)
  return server
}
