// What other runtimes can do with the built package: prints one line a case. Run by scripts/test-runtimes.mjs.
import { createServer } from 'node:http'
import express from 'express'
import { WebSocket, WebSocketServer } from 'ws'
import { createGate } from '../../dist/index.js'
import { apiKey } from '../../dist/schemes.js'

const KEY = 'a-key-of-this-test'
const echo = (socket) => socket.on('message', (data) => socket.send(String(data)))

function dial(port, headers = {}) {
  return new Promise((resolve) => {
    const ws = new WebSocket(`ws://127.0.0.1:${port}/ws`, { headers })
    ws.on('open', () => ws.send('hi'))
    ws.on('message', (data) => {
      resolve(`101 ${String(data)}`)
      ws.close()
    })
    ws.on('unexpected-response', (_request, response) => resolve(String(response.statusCode)))
    ws.on('error', (error) => resolve(error.message))
  })
}

async function report(name, server) {
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address()
  console.log(`${name}: ${await dial(port)}, ${await dial(port, { 'X-Api-Key': KEY })}`)
}

async function appDoor() {
  const app = express()
  const gate = createGate({ identify: () => ({ subject: 'ann' }) })
  app.use((req, res, next) => (req.headers['x-api-key'] === KEY ? next() : res.status(401).end()))
  app.get('/ws', gate.websocket(echo))
  const server = createServer(app)
  gate.attach(server)
  await report('app door', server)
}

async function schemeDoor() {
  const server = createServer()
  const gate = createGate({ authenticate: apiKey({ keys: [{ key: KEY, subject: 'ann' }] }) })
  new WebSocketServer({ server }).on('connection', echo)
  gate.attach(server)
  await report('scheme door', server)
}

await appDoor().catch((error) => console.log(`app door: ${error.code}`))
await schemeDoor().catch((error) => console.log(`scheme door: ${error.code}`))
process.exit()
