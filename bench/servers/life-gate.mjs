// Connections with all that a gate can know of them: session, credential, tag, expiry, and the handshake for re-checks.
import { createServer } from 'node:http'
import { createGate } from '../../dist/index.js'
import { answersFor, join, subjectOf } from '../revoked.mjs'
import { guarded } from './express-get.mjs'

const HOUR = 3_600_000

const identify = (req) => ({
  subject: subjectOf(req),
  session: req.headers.cookie,
  credential: `key of ${req.headers.cookie}`,
  tags: ['everybody'],
  expiresAt: new Date(Date.now() + HOUR),
})

let gate

export const answers = answersFor({
  one: (subject) => gate.revoke({ subject }),
  all: () => gate.revoke({ tag: 'everybody' }),
})

export default function start() {
  const app = guarded()
  gate = createGate({ identify })
  app.get(
    '/ws',
    gate.websocket((ws, _req, { identity }) => join(ws, identity.subject)),
  )
  const server = createServer(app)
  gate.attach(server)
  return server
}
