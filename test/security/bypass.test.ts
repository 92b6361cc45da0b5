import assert from 'node:assert/strict'
import { createServer, type RequestListener, type Server } from 'node:http'
import { after, before, describe, it } from 'node:test'
import express from 'express'
import { WebSocketServer } from 'ws'
import { createGate, type Gate } from '../../src/index.ts'
import { connectRaw, handshake, handshakeText, rawRequest } from '../support/raw.ts'
import { listen } from '../support/servers.ts'
import { trapFaults } from '../support/trap.ts'
import { KEY } from './apps.ts'

const headers = { 'X-Api-Key': KEY }

let trap: ReturnType<typeof trapFaults>
before(() => {
  trap = trapFaults()
})
after(() => trap.assertNone())

interface Made {
  readonly server: Server
  readonly gate: Gate
  readonly warnings: string[]
  /** A second server that hands its upgrades on to the first, as Fastify has one for each further address. */
  second(): Server
}

function make(add: (app: express.Express, gate: Gate, server: Server) => void): Made {
  const app = express()
  const gate = createGate({ identify: () => ({ subject: 'ann' }) }) as unknown as Gate
  app.use((req, res, next) => (req.headers['x-api-key'] === KEY ? next() : void res.status(401).end()))
  const server = createServer(app)
  add(app, gate, server)
  const warnings: string[] = []
  gate.on('warning', ({ code }) => warnings.push(code))
  return {
    server,
    gate,
    warnings,
    second() {
      const other = createServer(app as RequestListener)
      other.on('upgrade', server.emit.bind(server, 'upgrade'))
      return other
    },
  }
}

describe('D4: an `emit` that was bound before attach() is no way past the gate', () => {
  it('bound after attach(): the gate decides as ever', async () => {
    const { gate, server, second } = make((app, own, of) => {
      new WebSocketServer({ server: of })
      app.get('/ws', own.accept())
    })
    gate.attach(server)
    await using listening = await listen(second())
    assert.equal((await rawRequest({ port: listening.port, lines: handshake() })).status, 401)
    assert.equal((await rawRequest({ port: listening.port, lines: handshake({ headers }) })).status, 101)
  })

  it('bound before, with a library that listens: cut, and told of', async () => {
    let opened = 0
    const { gate, server, second, warnings } = make((app, own, of) => {
      new WebSocketServer({ server: of }).on('connection', () => opened++)
      app.get('/ws', own.accept())
    })
    const other = second()
    gate.attach(server)
    await using listening = await listen(other)
    for (const sent of [{}, headers]) {
      await using connection = await connectRaw(listening)
      connection.send(handshakeText({ headers: sent }))
      await connection.ended()
      assert.equal(connection.received().length, 0)
    }
    assert.equal(opened, 0)
    assert.deepEqual(warnings, ['bypassed'])
    await listening.noneOpen()
  })

  it('bound before, where nobody else listens: the gate decides', async () => {
    const { gate, server, second, warnings } = make((app, own) => {
      app.get(
        '/ws',
        own.websocket(() => undefined),
      )
    })
    const other = second()
    gate.attach(server)
    await using listening = await listen(other)
    assert.equal((await rawRequest({ port: listening.port, lines: handshake() })).status, 401)
    assert.equal((await rawRequest({ port: listening.port, lines: handshake({ headers }) })).status, 101)
    assert.deepEqual(warnings, [])
  })

  it('bound before, with two gates: one of them decides, and once', async () => {
    const { gate, server, second } = make((app, own) => {
      app.get(
        '/ws',
        own.websocket(() => undefined),
      )
    })
    const other = second()
    const late = createGate({ identify: () => ({ subject: 'bob' }) })
    const refused: string[] = []
    late.on('refused', ({ code }) => refused.push(code))
    gate.on('refused', ({ code }) => refused.push(code))
    late.attach(server, { paths: ['/other'] })
    gate.attach(server)
    await using listening = await listen(other)
    assert.equal((await rawRequest({ port: listening.port, lines: handshake({ headers }) })).status, 101)
    assert.equal((await rawRequest({ port: listening.port, lines: handshake() })).status, 401)
    assert.equal(
      (await rawRequest({ port: listening.port, lines: handshake({ target: '/other', headers }) })).status,
      404,
    )
    assert.deepEqual(refused, ['app', 'app'])
  })

  it('what the gate does not hold goes to the others as it was', async () => {
    const { gate, server, second } = make((_app, _own, of) => {
      new WebSocketServer({ server: of, path: '/hot' })
    })
    const other = second()
    gate.attach(server, { paths: ['/ws'] })
    await using listening = await listen(other)
    assert.equal((await rawRequest({ port: listening.port, lines: handshake({ target: '/hot' }) })).status, 101)
  })
})
