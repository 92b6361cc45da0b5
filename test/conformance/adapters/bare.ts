import type { IncomingMessage } from 'node:http'
import { WebSocketServer } from 'ws'
import { makeGate, serve, type Adapter } from './types.ts'

/**
 * No app at all: a `ws` server that the gate finds as the only other `upgrade` listener. The gate's schemes decide alone.
 */
export const bareWs: Adapter = {
  framework: 'http',
  async build(setup) {
    const gate = makeGate(setup, (req: IncomingMessage) => req)
    const wss = new WebSocketServer({ noServer: true })
    wss.on('connection', (socket) => {
      socket.on('error', () => undefined)
      socket.on('message', (data, isBinary) => {
        socket.send(data, { binary: isBinary })
      })
    })
    const server = serve(setup, (_req, res) => {
      res.statusCode = 404
      res.end()
    })
    server.on('upgrade', (req, socket, head) => {
      wss.handleUpgrade(req, socket, head, (ws) => wss.emit('connection', ws, req))
    })
    gate.attach(server)
    return { server, gate }
  },
}
