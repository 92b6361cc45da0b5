// gate101 with a scheme and no app; a `ws` server takes over.
import { createServer } from 'node:http'
import { WebSocketServer } from 'ws'
import { createGate } from '../../dist/index.js'
import { apiKey } from '../../dist/schemes.js'
import { KEY } from '../api-key.mjs'
import { echo } from '../echo.mjs'

/**
 * @param options - of the gate
 * @param then - what is done with the gate before anyone comes
 */
export async function startWith(options, then = () => {}) {
  const server = createServer((_req, res) => res.end('hello'))
  const keys = [{ key: KEY, subject: 'demo', expiresAt: new Date('2099-01-01') }]
  const gate = createGate({ authenticate: apiKey({ keys }), ...options })
  new WebSocketServer({ server, clientTracking: false }).on('connection', echo)
  gate.attach(server)
  await then(gate)
  return server
}

export default () => startWith({})
