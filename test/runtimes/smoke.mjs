// What other runtimes can do with the built package: prints one line a case. Run by scripts/test-runtimes.mjs.
import { createServer } from 'node:http'
import express from 'express'
import { WebSocket, WebSocketServer } from 'ws'
import { dial as dialClient } from 'gate101/client'
import { createGate } from '../../dist/index.js'
import { apiKey, bearer } from '../../dist/schemes.js'

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

/** A server with every road that needs no app, and the client that this runtime gets of `gate101/client`. */
async function roads() {
  const server = createServer((req, res) => (req.url === '/ticket' ? ticket(req, res) : res.writeHead(404).end()))
  const gate = createGate({
    authenticate: bearer({ verify: (token) => (token === KEY ? { subject: 'ann' } : null) }),
    subprotocolTokens: true,
    ...(process.versions.bun === undefined ? { firstMessage: { paths: ['/ws'] } } : {}),
  })
  const ticket = gate.ticket('/ws')
  const handleProtocols = (offered) => offered.has('gate101') && 'gate101'
  new WebSocketServer({ server, handleProtocols }).on('connection', echo)
  gate.attach(server)
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `ws://127.0.0.1:${server.address().port}/ws`
  for (const road of ['headers', 'ticket', 'subprotocol', ...(process.versions.bun === undefined ? ['message'] : [])]) {
    const outcomes = []
    for (const token of [KEY, 'wrong']) outcomes.push(await byRoad(url, road, token)) // one after the other
    console.log(`${road}: ${outcomes.join(', ')}`)
  }
}

async function byRoad(url, road, token) {
  try {
    const socket = await dialClient(url, { roads: [road], ticket: '/ticket', credentials: async () => ({ token }) })
    const answer = new Promise((resolve) => socket.addEventListener('message', ({ data }) => resolve(data)))
    socket.send('hi')
    const text = await answer
    socket.close()
    return `101 ${text}`
  } catch (error) {
    return String(error.status ?? error.code)
  }
}

await appDoor().catch((error) => console.log(`app door: ${error.code}`))
await schemeDoor().catch((error) => console.log(`scheme door: ${error.code}`))
/** On Bun a gate with first messages is an error at start. */
function firstMessageOnBun() {
  if (process.versions.bun === undefined) return
  createGate({ authenticate: bearer({ verify: () => null }), firstMessage: { paths: ['/ws'] } })
}

await roads().catch((error) => console.log(`roads: ${error.code ?? error.message}`))
try {
  firstMessageOnBun()
} catch (error) {
  console.log(`first message: ${error.code}`)
}
process.exit()
