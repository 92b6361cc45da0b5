// Revocation as a careful author writes it by hand: the sockets of each subject in a map, and a loop that closes them in slices.
import { createServer } from 'node:http'
import { WebSocketServer } from 'ws'
import { isKey } from '../api-key.mjs'
import { answersFor, join, rooms, subjectOf } from '../revoked.mjs'

/** Milliseconds of closing after which others are let in between. */
const SLICE = 4

// Not a closure: one that shares a scope with `req` would keep it for as long as the connection lives.
const survive = () => {}

function end(ws) {
  ws.close(4401, 'revoked')
  const guard = setTimeout(() => ws.terminate(), 1000)
  guard.unref()
  ws.once('close', () => clearTimeout(guard))
}

export const answers = answersFor({
  one: (subject) => rooms.get(subject).forEach(end),
  async all() {
    let began = performance.now()
    for (const ws of [...rooms.values()].flatMap((room) => [...room])) {
      if (performance.now() - began > SLICE) {
        await new Promise((resolve) => setImmediate(resolve))
        began = performance.now()
      }
      // Its client may have gone while others had their turn.
      if (ws.readyState === ws.OPEN) end(ws)
    }
  },
})

export default function start() {
  const wss = new WebSocketServer({ noServer: true, clientTracking: false })
  const server = createServer((_req, res) => res.end('hello'))
  server.on('upgrade', (req, socket, head) => {
    socket.on('error', survive)
    if (!isKey(req.headers['x-api-key']))
      return socket.end('HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n', () => socket.destroy())
    wss.handleUpgrade(req, socket, head, (ws) => join(ws, subjectOf(req)))
  })
  return server
}
