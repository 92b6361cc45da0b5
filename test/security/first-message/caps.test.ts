import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { connect } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { createProxyMiddleware } from 'http-proxy-middleware'
import { WebSocket } from 'ws'
import { closeFrame, frame } from '../../support/frames.ts'
import { halfClose, handshake, rawRequest, reset, type RawConnection } from '../../support/raw.ts'
import { parseResponse } from '../../support/response.ts'
import { listen, type Listening } from '../../support/servers.ts'
import { trapFaults } from '../../support/trap.ts'
import {
  assertOk,
  authFrame,
  byHand,
  closeOf,
  guard,
  make,
  nextEvent,
  NO,
  openWaiting,
  PASSWORD,
  serve,
  textsOf,
  type Say,
  type StackName,
} from './support.ts'

let trap: ReturnType<typeof trapFaults>
before(() => {
  trap = trapFaults()
})
after(() => trap.assertNone())

const withHeader = { Authorization: `Basic ${Buffer.from(`ann:${PASSWORD}`).toString('base64')}` }

/** Every way in which waiting ends. */
const ENDS: Readonly<Record<string, (connection: RawConnection) => void>> = {
  accepted: (connection) => connection.send(authFrame()),
  refused: (connection) => connection.send(authFrame('ann', 'wrong')),
  malformed: (connection) => connection.send(frame('hello')),
  'a second message': (connection) => connection.send(Buffer.concat([authFrame(), authFrame()])),
  'a bad frame': (connection) => connection.send(frame('x', { rsv: 7 })),
  'too big': (connection) => connection.send(frame('x'.repeat(5000))),
  'too many frames': (connection) =>
    connection.send(Buffer.concat(Array.from({ length: 6 }, () => frame('', { opcode: 9 })))),
  'too late': () => undefined,
  reset: ({ socket }) => reset(socket),
  'half-closed': ({ socket }) => halfClose(socket),
  Close: (connection) => connection.send(closeFrame(1000)),
  'gone while it is decided': (connection) => {
    connection.send(authFrame('slow'))
    setTimeout(() => reset(connection.socket), 20)
  },
  'not decided in time': (connection) => connection.send(authFrame('slow')),
  'a handler that throws': (connection) => connection.send(authFrame('broken')),
}

describe('a place is given back once, whatever became of it', () => {
  for (const stack of ['Express', 'Koa', 'no app'] as StackName[]) {
    it(stack, async () => {
      const made = await make(stack, {
        limits: { waiting: 1, waitingPerAddress: 1, firstMessage: 150, deadline: 150 },
        guard: (authorization, req) =>
          authorization !== undefined && Buffer.from(authorization.slice(6), 'base64').toString().startsWith('slow:')
            ? new Promise<Say>(() => undefined)
            : guard(authorization, req),
      })
      await using listening = await serve(made)
      for (const [name, end] of Object.entries(ENDS)) {
        const over = nextEvent(made.gate, 'accepted', 'refused', 'aborted')
        const connection = await openWaiting(listening)
        end(connection)
        await over
        connection.destroy()
        await listening.noneOpen(1500)
        const next = await openWaiting(listening).catch((error: unknown) => assert.fail(`${name}: ${String(error)}`))
        const { status } = await rawRequest({ port: listening.port, lines: handshake() })
        assert.ok(status === 503 || status === 429, `${name}: its place was given back twice (${status})`)
        const gone = nextEvent(made.gate, 'aborted', 'refused')
        next.destroy()
        await gone
        await listening.noneOpen(1500)
      }
    })
  }

  it('an accepted connection takes none: any number may stay open', async () => {
    const made = await make('Express', { limits: { waiting: 1, waitingPerAddress: 1 } })
    await using listening = await serve(made)
    const open = []
    for (let n = 0; n < 5; n++) {
      const connection = await openWaiting(listening)
      connection.send(authFrame())
      assertOk((await textsOf(connection, 1))[0])
      open.push(connection)
    }
    assert.equal(made.gate.connections.size, 5)
    for (const connection of open) connection.destroy()
  })

  it('one that is being closed keeps its place until its socket is gone', async () => {
    const made = await make('Express', { limits: { waitingPerAddress: 1 } })
    await using listening = await serve(made)
    await using connection = await openWaiting(listening)
    connection.send(frame('hello'))
    await closeOf(connection)
    assert.equal((await rawRequest({ port: listening.port, lines: handshake() })).status, 429)
  })

  it('refusals over the cap are HTTP, take no place, and say when to come again', async () => {
    const made = await make('Express', { limits: { waiting: 2, waitingPerAddress: 1 } })
    await using listening = await serve(made)
    await using connection = await openWaiting(listening)
    for (let n = 0; n < 20; n++) {
      const answer = await rawRequest({ port: listening.port, lines: handshake() })
      assert.equal(answer.status, 429)
      assert.equal(answer.header('retry-after'), '1')
    }
    connection.send(authFrame())
    assertOk((await textsOf(connection, 1))[0])
    assert.equal((await rawRequest({ port: listening.port, lines: handshake() })).status, 101)
  })
})

describe('a flood of sockets that wait', () => {
  const limits = { waiting: 24, waitingPerAddress: 8 }

  async function flood(dial: () => Promise<number>, count: number): Promise<Map<number, number>> {
    const statuses = new Map<number, number>()
    await Promise.all(
      Array.from({ length: count }, async () => {
        const status = await dial()
        statuses.set(status, (statuses.get(status) ?? 0) + 1)
      }),
    )
    return statuses
  }

  for (const stack of ['Express', 'Fastify', 'no app'] as StackName[]) {
    it(`${stack}: 100 from one address: 8 wait, 92 are refused, and who sends a header is served at once`, async () => {
      const made = await make(stack, { limits })
      await using listening = await serve(made)
      const held: RawConnection[] = []
      const statuses = await flood(async () => {
        const { connectRaw, handshakeText } = await import('../../support/raw.ts')
        const connection = await connectRaw(listening)
        held.push(connection)
        connection.send(handshakeText())
        return (await connection.response()).status
      }, 100)
      assert.deepEqual([...statuses].toSorted(), [
        [101, 8],
        [429, 92],
      ])
      for (let n = 0; n < 20; n++) {
        const { status } = await rawRequest({ port: listening.port, lines: handshake({ headers: withHeader }) })
        assert.equal(status, 101)
      }
      for (const connection of held) connection.destroy()
      await listening.noneOpen()
      assert.equal(made.said.filter((one) => one === 'aborted').length, 8)
    })
  }

  /** A proxy of its own process would do: another server with the library that most use. */
  function proxyTo(port: number): Server {
    const proxy = createProxyMiddleware({
      target: `http://127.0.0.1:${port}`,
      ws: false,
      xfwd: true,
      logger: { info: () => undefined, warn: () => undefined, error: () => undefined },
    })
    const server = createServer((req, res) => void proxy(req, res))
    server.on('upgrade', (req, socket, head) => {
      socket.on('error', () => undefined)
      proxy.upgrade(req, socket as never, head)
    })
    return server
  }

  /** From an address of one's own: all of 127/8 is this machine. */
  async function dialFrom(
    localAddress: string,
    port: number,
    headers: Record<string, string>,
    keep: (() => void)[],
  ): Promise<number> {
    const socket = connect({ port, host: '127.0.0.1', localAddress })
    socket.on('error', () => undefined)
    keep.push(() => void socket.destroy())
    let bytes = Buffer.alloc(0)
    const answered = new Promise<number>((resolve) => {
      socket.on('data', (chunk: Buffer) => {
        bytes = Buffer.concat([bytes, chunk])
        const status = parseResponse(bytes, false)?.status
        if (status !== undefined) resolve(status)
      })
      socket.on('close', () => resolve(0))
    })
    await once(socket, 'connect')
    socket.write(`${handshake({ headers }).join('\r\n')}\r\n\r\n`)
    return await answered
  }

  async function behindProxy(trustedProxies: string[] | undefined): Promise<{
    dial: (from: string, headers?: Record<string, string>) => Promise<number>
    warned: () => number
    end: () => Promise<void>
  }> {
    const made = await make('Express', { limits, ...(trustedProxies === undefined ? {} : { trustedProxies }) })
    const behind: Listening = await serve(made)
    const front = await listen(proxyTo(behind.port))
    const keep: Array<() => void> = []
    return {
      dial: async (from, headers = {}) => await dialFrom(from, front.port, headers, keep),
      warned: () => made.events.filter((event) => event.type === 'warning' && event.code === 'unlisted_proxy').length,
      end: async () => {
        for (const drop of keep) drop()
        await front.close()
        await behind.close()
      },
    }
  }

  it('through a listed proxy: the flood of one client leaves another one its places', async () => {
    const { dial, end, warned } = await behindProxy(['127.0.0.1'])
    try {
      const statuses = await flood(() => dial('127.0.0.2'), 40)
      assert.equal(statuses.get(101), 8, JSON.stringify([...statuses]))
      assert.equal(await dial('127.0.0.3'), 101)
      // What the client itself puts in front moves nothing.
      assert.notEqual(await dial('127.0.0.2', { 'X-Forwarded-For': '9.9.9.9' }), 101)
      assert.equal(await dial('127.0.0.2', withHeader), 101)
      assert.equal(warned(), 0)
    } finally {
      await end()
    }
  })

  it('through an unlisted one: all count together, one warning says so, and headers are served', async () => {
    const { dial, end, warned } = await behindProxy(undefined)
    try {
      const statuses = await flood(() => dial('127.0.0.2'), 40)
      assert.equal(statuses.get(101), 24, JSON.stringify([...statuses]))
      assert.equal(await dial('127.0.0.3'), 503)
      assert.equal(await dial('127.0.0.3', withHeader), 101)
      assert.equal(warned(), 1)
    } finally {
      await end()
    }
  })
})

describe('handshakes under way', () => {
  it('a message that is being decided counts as one, and gives its place back', async () => {
    const hand = byHand<Say>()
    const made = await make('Express', {
      limits: { handshakes: 1 },
      guard: (authorization) => (authorization === undefined ? NO : hand.ask()),
    })
    await using listening = await serve(made)
    await using connection = await openWaiting(listening)
    await using other = await openWaiting(listening)
    connection.send(authFrame())
    await hand.asked
    assert.equal((await rawRequest({ port: listening.port, lines: handshake({ headers: withHeader }) })).status, 503)
    other.send(authFrame('bob'))
    const close = await closeOf(other)
    assert.deepEqual([close.code, close.reason], [1013, 'too_many_handshakes'])
    hand.settle('ann')
    assertOk((await textsOf(connection, 1))[0])
    assert.equal((await rawRequest({ port: listening.port, lines: handshake({ headers: withHeader }) })).status, 101)
  })

  it('a real client does all this, too', async () => {
    const made = await make('Express')
    await using listening = await serve(made)
    const ws = new WebSocket(`ws://127.0.0.1:${listening.port}/ws`)
    await once(ws, 'open')
    ws.send(JSON.stringify({ type: 'auth', username: 'ann', password: PASSWORD }))
    const [answer] = (await once(ws, 'message')) as [Buffer]
    assertOk(JSON.parse(String(answer)))
    ws.close()
    await once(ws, 'close')
  })
})
