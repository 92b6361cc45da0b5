import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, describe, it } from 'node:test'
import { WebSocketServer, type WebSocket } from 'ws'
import type { Connection } from '../../src/index.ts'
import { frame, OPCODE } from '../support/frames.ts'
import { connectRaw, handshakeText } from '../support/raw.ts'
import { listen } from '../support/servers.ts'
import { trapFaults } from '../support/trap.ts'
import { expressApp, KEY } from './apps.ts'

const text = handshakeText({ headers: { 'X-Api-Key': KEY } })
const turns = async (count = 20): Promise<void> => {
  for (let n = 0; n < count; n++) await new Promise(setImmediate)
}

let trap: ReturnType<typeof trapFaults>
before(() => {
  trap = trapFaults()
})
after(() => trap.assertNone())

/** Each way in which an app listens for messages. */
const LISTENERS: Readonly<Record<string, (socket: WebSocket, heard: (data: unknown) => void) => void>> = {
  on: (socket, heard) => void socket.on('message', heard),
  once: (socket, heard) => void socket.once('message', heard),
  addEventListener: (socket, heard) => socket.addEventListener('message', ({ data }) => heard(data)),
  onmessage: (socket, heard) =>
    void Reflect.set(socket, 'onmessage', ({ data }: { data: unknown }) => {
      heard(data)
    }),
  'events.once': (socket, heard) => void once(socket, 'message').then(heard),
  prependListener: (socket, heard) => void socket.prependListener('message', heard),
}

describe(
  'after end() no message reaches the app, from a client that ignores the Close frame',
  { concurrency: 8 },
  () => {
    for (const where of ['gate.websocket()', 'a library'] as const) {
      for (const when of ['before', 'after'] as const) {
        for (const [how, add] of Object.entries(LISTENERS)) {
          it(`${where}: a listener added by ${how} ${when} the end`, async () => {
            const heard: unknown[] = []
            const hear = (data: unknown): void => void heard.push(String(data))
            let onOpen: (opened: { socket: WebSocket; connection: Connection }) => void = () => undefined
            const open = new Promise<{ socket: WebSocket; connection: Connection }>((resolve) => {
              onOpen = resolve
            })
            const { server } = expressApp((app, own) => {
              const wss = new WebSocketServer({ noServer: true })
              wss.on('connection', (socket, req) => {
                const connection = own.connection(req, socket)
                if (connection !== undefined) onOpen({ socket, connection })
              })
              app.get(
                '/ws',
                where === 'a library'
                  ? own.accept(wss)
                  : own.websocket((socket, _req, connection) => {
                      onOpen({ socket, connection })
                      return new Promise(() => undefined)
                    }),
              )
            })
            await using listening = await listen(server)
            await using connection = await connectRaw(listening)
            connection.send(text)
            const opened = await open
            if (when === 'before') add(opened.socket, hear)
            opened.connection.end('out')
            if (when === 'after') add(opened.socket, hear)
            const [close] = await connection.frames(1)
            assert.equal(close?.closeCode, 4403)
            for (let n = 0; n < 5; n++) {
              connection.send(frame(`late ${n}`))
              await turns(3)
            }
            opened.socket.send('never', () => undefined)
            await turns()
            assert.deepEqual(heard, [])
            await listening.noneOpen(2500)
            const frames = await connection.frames(1)
            assert.deepEqual(
              frames.map(({ opcode }) => opcode),
              [OPCODE.close],
              'and nothing goes out behind the Close frame',
            )
          })
        }
      }
    }

    it('held ones neither', async () => {
      const heard: unknown[] = []
      let onOpen: (connection: Connection) => void = () => undefined
      const open = new Promise<Connection>((resolve) => {
        onOpen = resolve
      })
      let onListen: () => void = () => undefined
      const listenNow = new Promise<void>((resolve) => {
        onListen = resolve
      })
      const { server } = expressApp((app, own) => {
        app.get(
          '/ws',
          own.websocket(async (socket, _req, connection) => {
            onOpen(connection)
            await listenNow
            socket.on('message', (data) => heard.push(String(data)))
          }),
        )
      })
      await using listening = await listen(server)
      await using connection = await connectRaw(listening)
      connection.send(Buffer.concat([Buffer.from(text), frame('held 1'), frame('held 2')]))
      const opened = await open
      await turns()
      opened.end('out')
      onListen()
      await turns()
      assert.deepEqual(heard, [])
      await listening.noneOpen(2500)
    })
  },
)
