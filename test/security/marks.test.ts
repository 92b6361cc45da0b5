import assert from 'node:assert/strict'
import { createServer, IncomingMessage, ServerResponse } from 'node:http'
import { after, before, describe, it } from 'node:test'
import express from 'express'
import { WebSocketServer } from 'ws'
import { createGate, type Gate } from '../../src/index.ts'
import { handshake, rawRequest, type RawResponse } from '../support/raw.ts'
import { listen } from '../support/servers.ts'
import { trapFaults } from '../support/trap.ts'
import { expressApp, KEY } from './apps.ts'

const headers = { 'X-Api-Key': KEY }
const identify = (): { subject: string } => ({ subject: 'ann' })

async function knock(port: number, target = '/ws'): Promise<RawResponse> {
  return await rawRequest({ port, lines: handshake({ target, headers }) })
}

let trap: ReturnType<typeof trapFaults>
before(() => {
  trap = trapFaults()
})
after(() => trap.assertNone())

describe('D1: an acceptance cannot be forged, borrowed or kept', () => {
  it("another gate's route marks nothing", async () => {
    const other = createGate({ identify })
    const { server } = expressApp((app) => {
      app.get(
        '/ws',
        other.websocket(() => assert.fail('the handler of the other gate ran')),
      )
    })
    await using listening = await listen(server)
    const { status, header, text } = await knock(listening.port)
    assert.equal(status, 426)
    assert.equal(header('connection'), 'close, Upgrade')
    assert.equal(JSON.parse(text).error, 'websocket_only')
  })

  it('two gates on one server: the later one asks, and the earlier one never hears of it', async () => {
    const app = express()
    const [early, late] = [createGate({ identify }), createGate({ identify })] as unknown as [Gate, Gate]
    app.get(
      '/early',
      early.websocket(() => undefined),
    )
    app.get(
      '/late',
      late.websocket(() => undefined),
    )
    const server = createServer(app)
    early.attach(server)
    const detach = late.attach(server)
    await using listening = await listen(server)
    assert.equal((await knock(listening.port, '/early')).status, 426)
    assert.equal((await knock(listening.port, '/late')).status, 101)
    detach()
    assert.equal((await knock(listening.port, '/early')).status, 101)
    assert.equal((await knock(listening.port, '/late')).status, 426)
  })

  it('two gates with paths of their own decide each about its own; what neither holds is 404', async () => {
    const app = express()
    const [one, two] = [createGate({ identify }), createGate({ identify })] as unknown as [Gate, Gate]
    app.get(
      '/one',
      one.websocket(() => undefined),
    )
    app.get(
      '/two',
      two.websocket(() => undefined),
    )
    const server = createServer(app)
    one.attach(server, { paths: ['/one'] })
    two.attach(server, { paths: ['/two'] })
    await using listening = await listen(server)
    assert.equal((await knock(listening.port, '/one')).status, 101)
    assert.equal((await knock(listening.port, '/two')).status, 101)
    const neither = await knock(listening.port, '/three')
    assert.equal(neither.status, 404)
    assert.ok(neither.closed)
    await listening.noneOpen(1500)
  })

  it('a route called for the request of an earlier handshake, or for a look-alike, accepts nobody', async () => {
    const earlier: Array<[IncomingMessage, ServerResponse]> = []
    let opened = 0
    const { server, gate } = expressApp((app, own) => {
      const route = own.websocket(() => opened++)
      app.get('/first', (req, res) => {
        earlier.push([req, res])
        res.status(401).end()
      })
      app.get('/ws', (req, res) => {
        for (const [oldReq, oldRes] of earlier) {
          route(oldReq, oldRes)
          route(oldReq, res)
        }
        const lookAlike = Object.create(req) as IncomingMessage
        route(lookAlike, new ServerResponse(req))
        setTimeout(() => {
          if (!res.headersSent) res.status(403).end()
        }, 30)
      })
    })
    await using listening = await listen(server)
    assert.equal((await knock(listening.port, '/first')).status, 401)
    const { status } = await knock(listening.port)
    assert.ok(status === 426 || status === 403, String(status))
    assert.equal(opened, 0)
    assert.equal(gate.connections.size, 0)
  })

  it('a plain GET that claims to be an upgrade stays one: 426, and no handler runs', async () => {
    const { server } = expressApp((app, own) => {
      app.get(
        '/ws',
        own.websocket(() => assert.fail('the handler ran')),
      )
    })
    await using listening = await listen(server)
    for (const lines of [
      ['GET /ws HTTP/1.1', 'Host: localhost', `X-Api-Key: ${KEY}`],
      ['GET /ws HTTP/1.1', 'Host: localhost', `X-Api-Key: ${KEY}`, 'Upgrade: websocket', 'Connection: close'],
    ]) {
      const { status, header } = await rawRequest({ port: listening.port, lines })
      assert.equal(status, 426)
      assert.equal(header('upgrade'), 'websocket')
    }
  })

  for (const [name, hook] of [
    [
      'end() replaced to answer 401',
      (res: ServerResponse) => {
        const end = res.end
        res.end = ((...args: unknown[]) => {
          res.end = end
          res.statusCode = 401
          return Reflect.apply(end, res, args)
        }) as never
      },
    ],
    [
      'writeHead() replaced to answer 401',
      (res: ServerResponse) => {
        const writeHead = res.writeHead
        res.writeHead = ((...args: unknown[]) => Reflect.apply(writeHead, res, [401, ...args.slice(1)])) as never
      },
    ],
    [
      'the status changed when the head has gone',
      (res: ServerResponse) => {
        const end = res.end
        res.end = ((...args: unknown[]) => {
          const returned = Reflect.apply(end, res, args)
          res.statusCode = 401
          return returned
        }) as never
      },
    ],
  ] as const) {
    it(`after the mark, ${name}: refused`, async () => {
      const { server, gate } = expressApp((app, own) => {
        app.use((_req, res, next) => {
          hook(res)
          next()
        })
        app.get(
          '/ws',
          own.websocket(() => assert.fail('the handler ran')),
        )
      })
      await using listening = await listen(server)
      const { status } = await knock(listening.port)
      assert.ok(status === 401 || status === 403, String(status))
      assert.equal(gate.connections.size, 0)
    })
  }

  it('a route marked twice opens once', async () => {
    let opened = 0
    const { server, gate } = expressApp((app, own) => {
      const route = own.websocket(() => opened++)
      app.get('/ws', (req, res) => {
        route(req, res)
        route(req, res)
      })
    })
    await using listening = await listen(server)
    assert.equal((await knock(listening.port)).status, 101)
    assert.equal(opened, 1)
    await listening.noneOpen()
    assert.equal(gate.connections.size, 0)
  })

  it('the proof of a Hono route never leaves the process, on an answer or on the 101', async () => {
    const { Hono } = await import('hono')
    const { getRequestListener } = await import('@hono/node-server')
    const { websocket } = await import('../../src/hono.ts')
    const gate = createGate<{ env: unknown }>({ identify })
    const app = new Hono()
    app.use(async (c, next) => {
      await next()
      if (c.req.query('late') !== undefined) c.res = new Response('no', { status: 403, headers: c.res.headers })
    })
    app.get('/ws', websocket(gate as never, () => undefined) as never)
    const server = createServer(getRequestListener(app.fetch))
    gate.attach(server)
    await using listening = await listen(server)
    for (const [target, wanted] of [
      ['/ws', 101],
      ['/ws?late=1', 403],
    ] as const) {
      const { status, headers: got } = await knock(listening.port, target)
      assert.equal(status, wanted)
      assert.deepEqual(
        got.filter(([field]) => /gate101/i.test(field)),
        [],
      )
    }
  })
})

describe('S1: what attach() sets is taken off again', () => {
  it('gates that leave in any order leave nothing behind', () => {
    for (const order of [
      [0, 1, 2],
      [2, 1, 0],
      [1, 0, 2],
      [1, 2, 0],
    ]) {
      const server = createServer()
      const before = Object.getOwnPropertyDescriptors(server)
      const events = server.eventNames().map((event) => [event, server.listenerCount(event)])
      const detach = [0, 1, 2].map(() => createGate({ identify }).attach(server))
      for (const n of order) detach[n]?.()
      assert.deepEqual(Object.keys(Object.getOwnPropertyDescriptors(server)), Object.keys(before))
      assert.deepEqual(
        server.eventNames().map((event) => [event, server.listenerCount(event)]),
        events,
      )
    }
  })

  it('a detach called twice does not take a later gate off', async () => {
    const app = express()
    const gate = createGate({ identify }) as unknown as Gate
    app.get(
      '/ws',
      gate.websocket(() => undefined),
    )
    const server = createServer(app)
    const first = gate.attach(server)
    first()
    gate.attach(server)
    first()
    await using listening = await listen(server)
    assert.equal((await knock(listening.port)).status, 101)
    assert.equal((await knock(listening.port, '/none')).status, 404)
  })

  it('an emit that someone has wrapped since stays, and works', async () => {
    const server = createServer()
    const wss = new WebSocketServer({ server })
    const detach = createGate({ identify }).attach(server)
    const below = server.emit
    let heard = 0
    server.emit = function wrapped(this: typeof server, ...args: unknown[]): boolean {
      heard++
      return Reflect.apply(below, this, args) as boolean
    } as typeof server.emit
    await using listening = await listen(server)
    assert.equal((await knock(listening.port)).status, 500, 'the gate decides: there is no app')
    detach()
    assert.equal((await knock(listening.port)).status, 101, 'ws takes it, without a gate')
    assert.ok(heard > 0)
    wss.close()
  })
})
