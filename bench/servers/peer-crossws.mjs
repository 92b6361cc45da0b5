import { createServer } from 'node:http'
import crossws from 'crossws/adapters/node'
import { isKey } from '../api-key.mjs'

export default function start() {
  const ws = crossws({
    hooks: {
      upgrade: (request) =>
        isKey(request.headers.get('x-api-key')) ? undefined : new Response('no key', { status: 401 }),
      message: (peer, message) => peer.send(message.text()),
    },
  })
  const server = createServer()
  server.on('upgrade', ws.handleUpgrade)
  return server
}
