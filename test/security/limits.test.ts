import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { after, before, describe, it } from 'node:test'
import type { WebSocket } from 'ws'
import { frame } from '../support/frames.ts'
import { connectRaw, halfClose, handshake, handshakeText, rawRequest, reset } from '../support/raw.ts'
import { listen } from '../support/servers.ts'
import { trapFaults } from '../support/trap.ts'
import { expressApp, KEY, pendingDecision } from './apps.ts'

const headers = { 'X-Api-Key': KEY }

let trap: ReturnType<typeof trapFaults>
before(() => {
  trap = trapFaults()
})
after(() => trap.assertNone())

describe('W1: a place is given back once, whatever became of the handshake', () => {
  /** How one handshake ends, by its path; what the client does where that ends it. */
  const ENDS = {
    '/ws': undefined,
    '/none': undefined,
    '/401': undefined,
    '/200': undefined,
    '/throws': undefined,
    '/hangs': undefined,
    '/destroys-response': undefined,
    '/destroys-socket': undefined,
    '/identify-throws': undefined,
    '/identify-hangs': undefined,
    '/library-throws': undefined,
    '/library-silent': undefined,
    '/streams': reset,
    '/waits': reset,
    '/waits?again': halfClose,
  } as const

  for (const limits of [
    { handshakes: 1, handshakesPerAddress: 1 },
    { handshakes: 2, handshakesPerAddress: 1 },
  ]) {
    it(`with ${limits.handshakes} in all and 1 for an address`, async () => {
      const { server, gate } = expressApp(
        (app, own) => {
          app.get(
            ['/ws', '/identify-throws', '/identify-hangs'],
            own.websocket(() => undefined),
          )
          app.get('/401', (_req, res) => void res.status(401).end('no'))
          app.get('/200', (_req, res) => void res.end('a page'))
          app.get('/throws', () => {
            throw new Error('broken')
          })
          app.get(['/hangs', '/waits'], () => undefined)
          app.get('/destroys-response', (_req, res) => void res.destroy())
          app.get('/destroys-socket', (req) => void req.socket.destroy())
          app.get('/streams', (_req, res) => void res.status(500).write('part'))
          app.get(
            '/library-throws',
            own.accept(() => {
              throw new Error('broken')
            }),
          )
          app.get(
            '/library-silent',
            own.accept(() => undefined),
          )
        },
        {
          limits: { ...limits, deadline: 150 },
          identify: (req) => {
            const { url = '' } = req as { url?: string }
            if (url.startsWith('/identify-throws')) throw new Error('broken')
            return url.startsWith('/identify-hangs') ? new Promise<never>(() => undefined) : { subject: 'ann' }
          },
        },
      )
      await using listening = await listen(server)
      const { port } = listening
      for (const [target, go] of Object.entries(ENDS)) {
        const over = new Promise<void>((resolve) => {
          for (const type of ['refused', 'accepted', 'aborted'] as const) gate.on(type, () => resolve())
        })
        const connection = await connectRaw({ port })
        connection.send(handshakeText({ target, headers }))
        if (go !== undefined) {
          if (target === '/streams') await connection.until((bytes) => bytes.includes('part') || undefined)
          go(connection.socket)
        }
        await over
        connection.destroy()
        await listening.noneOpen()
        const next = await rawRequest({ port, lines: handshake({ headers }) })
        assert.equal(next.status, 101, `the place of ${target} was not given back`)
      }
    })
  }

  it('refusals over the cap take no place themselves', async () => {
    const decision = pendingDecision()
    const { server } = expressApp(
      (app, own) => {
        app.get(
          '/ws',
          async (_req, _res, next) => {
            await decision.wait()
            next()
          },
          own.websocket(() => undefined),
        )
      },
      { limits: { handshakes: 1 } },
    )
    await using listening = await listen(server)
    const { port } = listening
    const held = rawRequest({ port, lines: handshake({ headers }) })
    await decision.asked
    for (let n = 0; n < 20; n++) {
      const answer = await rawRequest({ port, lines: handshake({ headers }) })
      assert.equal(answer.status, 503)
      assert.equal(answer.header('retry-after'), '1')
    }
    decision.decide()
    assert.equal((await held).status, 101)
    assert.equal((await rawRequest({ port, lines: handshake({ headers }) })).status, 101)
  })
})

describe('W1: whom a place counts for', () => {
  const CASES: ReadonlyArray<readonly [string, readonly string[] | undefined, string, string, number]> = [
    ['the last hop that a trusted proxy names', ['127.0.0.1'], '9.9.9.9', '9.9.9.9', 429],
    ['another client of that proxy is another', ['127.0.0.1'], '9.9.9.9', '8.8.8.8', 401],
    ['what the client itself put in front moves nothing', ['127.0.0.1'], '1.1.1.1, 9.9.9.9', '2.2.2.2, 9.9.9.9', 429],
    ['one IPv6 /64 is one client', ['127.0.0.1'], '2001:db8:0:1::1', '2001:db8:0:1:ffff::2', 429],
    ['another /64 is another', ['127.0.0.1'], '2001:db8:0:1::1', '2001:db8:0:2::1', 401],
    ['IPv4 in IPv6 is IPv4', ['127.0.0.1'], '::ffff:9.9.9.9', '9.9.9.9', 429],
    ['rubbish counts for the proxy', ['127.0.0.1'], 'unknown', '_hidden', 429],
    ['an unlisted loopback peer counts in the total alone', undefined, '9.9.9.9', '9.9.9.9', 401],
  ]
  for (const [name, trustedProxies, first, second, status] of CASES) {
    it(name, async () => {
      const decision = pendingDecision()
      let asked = 0
      const { server } = expressApp(
        (app) => {
          app.get('/ws', async (_req, res) => {
            if (++asked === 1) await decision.wait()
            res.status(401).end()
          })
        },
        {
          limits: { handshakesPerAddress: 1 },
          ...(trustedProxies === undefined ? {} : { trustedProxies }),
        },
      )
      await using listening = await listen(server)
      const knock = (forwarded: string): ReturnType<typeof rawRequest> =>
        rawRequest({
          port: listening.port,
          lines: handshake({ headers: { ...headers, 'X-Forwarded-For': forwarded } }),
        })
      const held = knock(first)
      await decision.asked
      assert.equal((await knock(second)).status, status)
      decision.decide()
      assert.equal((await held).status, 401)
    })
  }
})

describe('memory stays bounded', () => {
  const FLOOD = Buffer.concat(Array.from({ length: 256 }, () => frame('x'.repeat(64 * 1024))))

  it('where the handler never listens and never settles: TCP holds the client back', async () => {
    let opened: (socket: WebSocket) => void = () => undefined
    const open = new Promise<WebSocket>((resolve) => {
      opened = resolve
    })
    const { server, gate } = expressApp((app, own) => {
      app.get(
        '/ws',
        own.websocket((socket) => {
          opened(socket)
          return new Promise(() => undefined)
        }),
      )
    })
    await using listening = await listen(server)
    const connected = once(server, 'connection')
    const connection = await connectRaw(listening)
    const [raw] = (await connected) as [Socket]
    connection.send(handshakeText({ headers }))
    connection.send(FLOOD)
    const socket = await open
    while (!socket.isPaused) await new Promise(setImmediate)
    for (let n = 0; n < 200; n++) await new Promise(setImmediate)
    assert.ok(raw.bytesRead < 1_000_000, `${raw.bytesRead} bytes of ${FLOOD.length} were read`)
    for (const one of gate.connections) one.end()
    await listening.noneOpen(2000)
    assert.equal(gate.connections.size, 0)
    connection.destroy()
  })

  it('while the app decides: 16 MiB are not read', async () => {
    const decision = pendingDecision()
    const { server } = expressApp((app) => {
      app.get('/ws', async (_req, res) => {
        await decision.wait()
        res.status(401).end('no')
      })
    })
    await using listening = await listen(server)
    const connected = once(server, 'connection')
    const connection = await connectRaw(listening)
    const [raw] = (await connected) as [Socket]
    connection.send(handshakeText({ headers }))
    connection.send(FLOOD)
    await decision.asked
    for (let n = 0; n < 200; n++) await new Promise(setImmediate)
    assert.ok(raw.bytesRead < 300_000, `${raw.bytesRead} bytes were read`)
    decision.decide()
    await listening.noneOpen(1500)
    connection.destroy()
  })

  it('a message beyond the limit ends the connection with 1009', async () => {
    const { server, gate } = expressApp(
      (app, own) => {
        app.get(
          '/ws',
          own.websocket((socket) => socket.on('message', () => assert.fail('it was delivered'))),
        )
      },
      { limits: { message: 1000 } },
    )
    await using listening = await listen(server)
    await using connection = await connectRaw(listening)
    connection.send(handshakeText({ headers }))
    connection.send(frame('x'.repeat(1001)))
    const [close] = await connection.frames(1)
    assert.equal(close?.closeCode, 1009)
    connection.destroy()
    await listening.noneOpen()
    assert.equal(gate.connections.size, 0)
  })
})
