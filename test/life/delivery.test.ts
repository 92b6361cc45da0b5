import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { describe, it } from 'node:test'
import express from 'express'
import fc from 'fast-check'
import { WebSocketServer, type WebSocket } from 'ws'
import { createGate, type Connection, type Gate, type GateOptions } from '../../src/index.ts'
import { KEY, dial, requireKey } from '../libraries/support.ts'
import { frame, OPCODE, readFrames, type Frame } from '../support/frames.ts'
import { connectRaw, handshakeText, type RawConnection } from '../support/raw.ts'
import { parseResponse } from '../support/response.ts'
import { listen, type Listening } from '../support/servers.ts'
import { trapFaults } from '../support/trap.ts'
import { HeldClock } from '../unit/credentials/helpers.ts'
import { ENDPOINTS, openingOf, type App, type Endpoint } from './delivery-endpoints.ts'

const turns = async (count = 20): Promise<void> => {
  for (let n = 0; n < count; n++) await new Promise(setImmediate)
}

interface Served extends AsyncDisposable {
  readonly gate: Gate
  readonly clock: HeldClock
  readonly listening: Listening
  readonly app: App
}

/** Serves one endpoint, by a clock that the test holds. */
async function serve(endpoint: Endpoint, options: Partial<GateOptions> = {}): Promise<Served> {
  const clock = new HeldClock()
  const app = express()
  const gate = createGate({
    identify: () => ({ subject: 'ann' }),
    firstMessage: { paths: ['/spoken'] },
    clock,
    ...options,
  } as GateOptions) as Gate
  const to: App = { seen: [], sayers: [] }
  const server = createServer(app)
  const remove = await endpoint.install(app, gate, server, to)
  gate.attach(server, { app })
  const listening = await listen(server)
  const dispose = async (): Promise<void> => {
    await listening.close()
    await remove?.()
  }
  return { gate, clock, listening, app: to, [Symbol.asyncDispose]: dispose }
}

async function enter({ listening, app }: Served, endpoint: Endpoint): Promise<RawConnection> {
  const client = await connectRaw(listening)
  client.send(openingOf(endpoint))
  const { status } = await client.response()
  assert.equal(status, 101)
  await endpoint.greet?.(client)
  client.send(frame(endpoint.encode('early')))
  await until(() => app.seen.includes('early') && app.sayers.length > 0)
  return client
}

/** Turns of the loop until it is so; the time-out of the test ends it otherwise. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise(setImmediate)
}

function framesOf(client: RawConnection): Frame[] {
  const response = parseResponse(client.received(), client.ending() !== 'open')
  return response === undefined ? [] : readFrames(response.rest).frames
}

const oneChunk = (endpoint: Endpoint, count: number, word: string): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_, n) => frame(endpoint.encode(`${word} ${n}`))))

for (const [name, endpoint] of Object.entries(ENDPOINTS)) {
  describe(`${name}: nothing is delivered after the end`, { timeout: 120_000 }, () => {
    it('to a client that ignores Close and floods; it is gone after a second', async () => {
      const trap = trapFaults()
      await using served = await serve(endpoint)
      const { gate, clock, listening, app } = served
      const client = await enter(served, endpoint)
      app.sayers[0]?.('hello')
      await client.until((bytes) => (bytes.includes('hello') ? true : undefined), 'hello')
      client.send(oneChunk(endpoint, 200, 'flood'))
      const revoked = gate.revoke({ subject: 'ann' })
      const seen = app.seen.length
      for (const say of app.sayers) say('late')
      await revoked
      for (let n = 0; n < 30; n++) {
        if (!client.socket.destroyed) client.send(oneChunk(endpoint, 20, 'late'))
        for (const say of app.sayers) say('late')
        await turns(3)
      }
      assert.deepEqual(
        app.seen.filter((text) => text.startsWith('late')),
        [],
      )
      if (endpoint.isRaw !== true) {
        assert.equal(app.seen.length, seen, 'messages came in')
        const last = framesOf(client).at(-1)
        assert.deepEqual([last?.closeCode, last?.text], [4401, 'revoked'])
        clock.pass(999)
        await turns()
        assert.equal(listening.openHandshakes(), 1)
        clock.pass(1)
      }
      await listening.noneOpen()
      assert.ok(!client.received().includes('late'), 'messages went out')
      assert.equal(gate.connections.size, 0)
      client.destroy()
      await trap.assertNone()
    })

    it('in the middle of 200 frames of one chunk', async () => {
      await using served = await serve(endpoint)
      const { gate, app, listening, clock } = served
      const client = await enter(served, endpoint)
      const { seen } = app
      let atEnd = -1
      // Whoever counts sees the message itself: the decision falls between two of them.
      const push = seen.push.bind(seen)
      seen.push = (...texts: string[]): number => {
        const length = push(...texts)
        if (length === 5) {
          void gate.revoke({ subject: 'ann' })
          atEnd = seen.length
        }
        return length
      }
      client.send(oneChunk(endpoint, 200, 'n'))
      await until(() => atEnd >= 0)
      await turns(60)
      if (endpoint.readsAhead !== true) assert.equal(seen.length, 5)
      const { length } = seen
      if (!client.socket.destroyed) client.send(oneChunk(endpoint, 200, 'n'))
      await turns(60)
      assert.equal(seen.length, length)
      clock.pass(1000)
      await listening.noneOpen()
    })

    it('of a message whose last part comes after it', async () => {
      await using served = await serve(endpoint)
      const { gate, app, listening, clock } = served
      const client = await enter(served, endpoint)
      const text = endpoint.encode('in two parts')
      client.send(frame(text.slice(0, 6), { fin: false }))
      await turns()
      await gate.revoke({ subject: 'ann' })
      if (!client.socket.destroyed) client.send(frame(text.slice(6), { opcode: OPCODE.continuation }))
      await turns()
      clock.pass(1000)
      await listening.noneOpen()
      assert.ok(!app.seen.includes('in two parts'))
    })
  })
}

type Handler = (socket: WebSocket, connection: Connection) => unknown

/** The same handler on a socket of the gate's own and on one of `ws`. */
const OWN: Readonly<
  Record<string, (handler: Handler, options?: ConstructorParameters<typeof WebSocketServer>[0]) => Endpoint>
> = {
  'gate.websocket()': (handler) => ({
    target: '/x',
    async install(app, gate) {
      app.get(
        '/x',
        requireKey,
        gate.websocket((socket, _req, connection) => handler(socket, connection)),
      )
    },
    encode: (text) => text,
  }),
  'accept(wss)': (handler, options = {}) => ({
    target: '/x',
    async install(app, gate) {
      const wss = new WebSocketServer({ ...options, noServer: true })
      wss.on('connection', (socket, req) => handler(socket, gate.connection(req, socket)!))
      app.get('/x', requireKey, gate.accept(wss))
    },
    encode: (text) => text,
  }),
}

async function openRaw({ listening }: Served): Promise<RawConnection> {
  const client = await connectRaw(listening)
  client.send(handshakeText({ target: '/x', headers: KEY }))
  assert.equal((await client.response()).status, 101)
  return client
}

for (const [name, make] of Object.entries(OWN)) {
  describe(`${name}: whatever the handler does`, { timeout: 120_000 }, () => {
    for (const [how, listenOn] of Object.entries<(socket: WebSocket, take: (data: unknown) => void) => void>({
      'one listener': (socket, take) => void socket.on('message', take),
      'a listener that is set anew for each message': (socket, take) => {
        const next = (data: unknown): void => {
          take(data)
          socket.once('message', next)
        }
        socket.once('message', next)
      },
      onmessage: (socket, take) => {
        // oxlint-disable-next-line prefer-add-event-listener -- this is what is tried
        socket.onmessage = ({ data }) => {
          take(data)
          // oxlint-disable-next-line prefer-add-event-listener -- this is what is tried
          socket.onmessage = ({ data }) => take(data)
        }
      },
      addEventListener: (socket, take) => {
        const next = ({ data }: { data: unknown }): void => {
          take(data)
          socket.addEventListener('message', next, { once: true })
        }
        socket.addEventListener('message', next, { once: true })
      },
    })) {
      it(`it ends the connection by the third of 200 frames: ${how}`, async () => {
        const seen: string[] = []
        await using served = await serve(
          make((socket, connection) => {
            listenOn(socket, (data) => {
              if (seen.push(String(data)) === 3) connection.end('enough')
            })
          }),
        )
        const client = await openRaw(served)
        client.send(Buffer.concat(Array.from({ length: 200 }, (_, n) => frame(String(n)))))
        await client.until((bytes) => (bytes.includes('enough') ? true : undefined), 'Close')
        await turns()
        assert.deepEqual(seen, ['0', '1', '2'])
        served.clock.pass(1000)
        await served.listening.noneOpen()
      })
    }

    it('it waits for something else: what came early is not given to it, what it sends is dropped', async () => {
      const seen: string[] = []
      let goOn: () => void = () => undefined
      const waiting = new Promise<void>((resolve) => (goOn = resolve))
      let after: { aborted: boolean; state: number; error: unknown } | undefined
      await using served = await serve(
        make(async (socket, connection) => {
          await waiting
          socket.on('message', (data) => seen.push(String(data)))
          const error = await new Promise((resolve) => socket.send('late', resolve))
          after = { aborted: connection.signal.aborted, state: socket.readyState, error }
        }),
      )
      const client = await openRaw(served)
      client.send(Buffer.concat(Array.from({ length: 200 }, (_, n) => frame(String(n)))))
      await turns()
      await served.gate.revoke({ subject: 'ann' })
      goOn()
      await until(() => after !== undefined)
      client.send(frame('late'))
      await turns(40)
      assert.deepEqual(seen, [])
      assert.equal(after?.aborted, true)
      assert.ok((after?.state ?? 0) >= 2)
      assert.ok(after?.error instanceof Error)
      assert.deepEqual(
        framesOf(client).map(({ closeCode }) => closeCode),
        [4401],
      )
      served.clock.pass(1000)
      await served.listening.noneOpen()
    })

    it('a broadcast in the turn of the revoke: what was sent before it arrives, what comes after it does not', async () => {
      let socket: WebSocket | undefined
      await using served = await serve(make((one) => void (socket = one)))
      const client = await openRaw(served)
      socket?.send('before')
      const revoked = served.gate.revoke({ subject: 'ann' })
      socket?.send('after', () => undefined)
      await revoked
      socket?.send('after', () => undefined)
      await turns()
      const said = (await client.frames(2)).map(({ text, closeCode }) => [text, closeCode])
      assert.deepEqual(said, [
        ['before', undefined],
        ['revoked', 4401],
      ])
      served.clock.pass(1000)
      await served.listening.noneOpen()
    })

    it('a broadcast in the turn of the revoke reaches none of several, whoever is slow to hear of the end', async (t) => {
      const sockets: WebSocket[] = []
      let now = 0
      await using served = await serve(
        make((socket, connection) => {
          sockets.push(socket)
          connection.on('end', () => (now += 5))
        }),
      )
      const clients = [await openRaw(served), await openRaw(served), await openRaw(served)]
      // Many are ended a few milliseconds at a time: here nobody takes time but who hears of the end.
      t.mock.method(performance, 'now', () => now)
      const revoked = served.gate.revoke({ subject: 'ann' })
      for (const socket of sockets) socket.send('after', () => undefined)
      await revoked
      await turns()
      served.clock.pass(1000)
      await served.listening.noneOpen()
      for (const client of clients) {
        await client.ended()
        assert.deepEqual(
          framesOf(client).map(({ text }) => text),
          ['revoked'],
        )
      }
    })

    it('a listener of the end, or of the signal, that sends and listens', async () => {
      const seen: string[] = []
      await using served = await serve(
        make((socket, connection) => {
          socket.on('message', (data) => seen.push(String(data)))
          const late = (): void => {
            socket.send('late', () => undefined)
            socket.on('message', (data) => seen.push(String(data)))
          }
          connection.on('end', late)
          connection.signal.addEventListener('abort', late)
        }),
      )
      const client = await openRaw(served)
      await served.gate.revoke({ subject: 'ann' })
      client.send(Buffer.concat(Array.from({ length: 50 }, () => frame('late'))))
      await turns(40)
      assert.deepEqual(seen, [])
      assert.deepEqual(
        framesOf(client).map(({ closeCode }) => closeCode),
        [4401],
      )
      served.clock.pass(1000)
      await served.listening.noneOpen()
    })

    it('it has paused the socket: nothing more comes, and a client that answers Close is gone at once', async () => {
      const seen: string[] = []
      let paused: WebSocket | undefined
      await using served = await serve(
        make((socket) => {
          socket.on('message', (data) => seen.push(String(data)))
          socket.pause()
          paused = socket
        }),
      )
      const { ws } = await dial(served.listening.port, '/x', { headers: KEY })
      for (let n = 0; n < 200; n++) ws.send(String(n))
      await turns()
      assert.equal(paused?.isPaused, true)
      const closed = new Promise<number>((resolve) => ws.on('close', resolve))
      await served.gate.revoke({ subject: 'ann' })
      assert.equal(await closed, 4401)
      await served.listening.noneOpen()
      assert.deepEqual(seen, [])
    })

    it('more than 64 KiB wait for a client that does not read: it is destroyed at once', async () => {
      let socket: WebSocket | undefined
      await using served = await serve(make((one) => void (socket = one)))
      const client = await openRaw(served)
      client.socket.pause()
      const chunk = Buffer.alloc(256 * 1024)
      await until(() => {
        socket?.send(chunk)
        return (socket?.bufferedAmount ?? 0) > 1024 * 1024
      })
      const ended = new Promise<number | undefined>((resolve) => served.gate.on('ended', ({ code }) => resolve(code)))
      const revoked = served.gate.revoke({ subject: 'ann' })
      assert.equal(socket?.readyState, 2)
      assert.equal(await ended, undefined)
      await revoked
      await served.listening.noneOpen()
      assert.equal(served.clock.now(), Date.UTC(2026, 10, 23), 'no time has passed')
    })

    it('64 KiB and less: Close follows them, and a second is all that the client gets', async () => {
      let socket: WebSocket | undefined
      await using served = await serve(make((one) => void (socket = one)))
      const client = await openRaw(served)
      client.socket.pause()
      const chunk = Buffer.alloc(8 * 1024)
      await until(() => {
        socket?.send(chunk)
        return (socket?.bufferedAmount ?? 0) > 32 * 1024
      })
      assert.ok((socket?.bufferedAmount ?? 0) <= 64 * 1024)
      await served.gate.revoke({ subject: 'ann' })
      await turns()
      assert.equal(served.listening.openHandshakes(), 1)
      served.clock.pass(1000)
      await served.listening.noneOpen()
    })

    for (const [what, misbehave] of Object.entries<(client: RawConnection) => void>({
      'sends nothing': () => undefined,
      'sends half a frame': (client) => client.send(frame('x'.repeat(100)).subarray(0, 20)),
      'sends pings': (client) =>
        client.send(Buffer.concat(Array.from({ length: 100 }, () => frame('', { opcode: OPCODE.ping })))),
      'sends a broken frame': (client) => client.send(frame('x', { rsv: 7 })),
      'sends a message that is too big': (client) => client.send(frame('', { claimedLength: 2 ** 31 - 1 })),
      'ends its side': (client) => void client.socket.end(),
      'stops reading': (client) => void client.socket.pause(),
    })) {
      it(`a client that ${what} after the Close is gone after a second at most`, async () => {
        const trap = trapFaults()
        const seen: string[] = []
        await using served = await serve(make((socket) => void socket.on('message', (data) => seen.push(String(data)))))
        const client = await openRaw(served)
        await served.gate.revoke({ subject: 'ann' })
        await client.frames(1)
        misbehave(client)
        await turns(40)
        served.clock.pass(1000)
        await served.listening.noneOpen()
        assert.deepEqual(seen, [])
        assert.equal(served.clock.timers, served.gate.connections.size + 1, 'one for what is remembered')
        await trap.assertNone()
      })
    }

    it('property: whatever is sent when, nothing passes after the decision', async () => {
      const step = fc.oneof(
        fc.record({ do: fc.constant('client' as const), frames: fc.integer({ min: 1, max: 80 }) }),
        fc.record({ do: fc.constant('app' as const), frames: fc.integer({ min: 1, max: 20 }) }),
        fc.record({ do: fc.constant('turns' as const), frames: fc.integer({ min: 1, max: 4 }) }),
        fc.constantFrom({ do: 'pause' as const, frames: 0 }, { do: 'resume' as const, frames: 0 }),
      )
      const plan = fc.record({
        before: fc.array(step, { maxLength: 6 }),
        after: fc.array(step, { maxLength: 6 }),
        by: fc.constantFrom('revoke', 'end', 'close'),
      })
      await fc.assert(
        fc.asyncProperty(plan, async ({ before, after, by }) => {
          let isOver = false
          const late: string[] = []
          let seen = 0
          let socket: WebSocket | undefined
          let connection: Connection | undefined
          await using served = await serve(
            make((one, its) => {
              ;[socket, connection] = [one, its]
              one.on('message', (data) => {
                seen++
                if (isOver) late.push(String(data))
              })
            }),
          )
          const client = await openRaw(served)
          let sent = 0
          const run = async (steps: typeof before): Promise<void> => {
            for (const { do: what, frames } of steps) {
              if (what === 'client' && !client.socket.destroyed)
                client.send(Buffer.concat(Array.from({ length: frames }, (_, n) => frame(`c${n}`))))
              if (what === 'app')
                for (let n = 0; n < frames; n++) socket?.send(isOver ? 'late' : String(sent++), () => undefined)
              if (what === 'turns') await turns(frames)
              if (what === 'pause') socket?.pause()
              if (what === 'resume') socket?.resume()
            }
          }
          await run(before)
          const decide = {
            revoke: () => served.gate.revoke({ subject: 'ann' }),
            end: () => connection?.end(),
            close: () => served.gate.close(),
          }
          const decided = decide[by as keyof typeof decide]()
          isOver = true
          await run(after)
          await turns(10)
          served.clock.pass(1000)
          await decided
          await served.listening.noneOpen()
          await client.ended()
          const frames = framesOf(client)
          assert.deepEqual(late, [], `after ${seen} messages`)
          assert.equal(frames.filter(({ text }) => text === 'late').length, 0)
          const data = frames.filter(({ opcode }) => opcode === OPCODE.text)
          assert.deepEqual(
            data.map(({ text }) => text),
            Array.from({ length: data.length }, (_, n) => String(n)),
          )
        }),
        { numRuns: 40 },
      )
    })
  })
}

it('a client that compresses: what is being unpacked at the end is not delivered', async () => {
  const seen: string[] = []
  const endpoint = OWN['accept(wss)']!(
    (socket) => void socket.on('message', (data) => seen.push(String(data).slice(0, 5))),
    { perMessageDeflate: { threshold: 0 } },
  )
  await using served = await serve(endpoint)
  const { ws } = await dial(served.listening.port, '/x', { headers: KEY })
  assert.match(ws.extensions, /permessage-deflate/)
  for (let n = 0; n < 200; n++) ws.send(`${n} `.repeat(2000))
  await until(() => seen.length > 0)
  const revoked = served.gate.revoke({ subject: 'ann' })
  const { length } = seen
  assert.ok(length < 200, 'all were there before')
  await revoked
  await turns(100)
  assert.equal(seen.length, length)
  served.clock.pass(1000)
  await served.listening.noneOpen()
  ws.terminate()
})
