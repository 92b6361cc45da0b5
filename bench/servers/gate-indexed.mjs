// Each connection has a subject, session, credential and expiry of its own. No re-checks: nothing of a handshake is kept.
import { createServer } from 'node:http'
import { createGate } from '../../dist/index.js'
import { echo } from '../echo.mjs'
import { guarded } from './express-get.mjs'

const HOUR = 3_600_000
let users = 0

function identify() {
  const n = users++
  return {
    subject: `user-${n}`,
    session: `session-${n}`,
    credential: `credential-${n}`,
    expiresAt: new Date(Date.now() + HOUR),
  }
}

/** @param options - of the gate */
export function startWith(options) {
  const app = guarded()
  const gate = createGate({ identify, ...options })
  app.get('/ws', gate.websocket(echo))
  const server = createServer(app)
  gate.attach(server)
  return server
}

export default () => startWith({ recheck: false })
