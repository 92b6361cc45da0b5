import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { describe, it } from 'node:test'
import { systemClock } from '../../../src/core/clock.ts'
import { createWaiter, type WaitingSocket } from '../../../src/upgrade/waiting.ts'
import { closeFrame, frame, OPCODE } from '../../support/frames.ts'
import { connectRaw, handshakeText, type RawConnection } from '../../support/raw.ts'
import { listen, type Listening } from '../../support/servers.ts'

interface Opened {
  readonly waiting: WaitingSocket
  readonly socket: Socket
  readonly connection: RawConnection
  readonly listening: Listening
}

async function open(protocol?: string): Promise<Opened> {
  const server = createServer()
  const listening = await listen(server)
  const connection = await connectRaw(listening)
  const upgraded = once(server, 'upgrade')
  connection.send(
    handshakeText(protocol === undefined ? {} : { headers: { 'Sec-WebSocket-Protocol': `x, ${protocol}` } }),
  )
  const [req, socket, head] = (await upgraded) as [IncomingMessage, Socket, Buffer]
  socket.on('error', () => undefined)
  const waiting = createWaiter(systemClock).open(req, socket, head, protocol)
  assert.ok(waiting !== undefined)
  return { waiting, socket, connection, listening }
}

async function end({ connection, listening }: Opened): Promise<void> {
  connection.destroy()
  await listening.close()
}

describe('a socket that waits', () => {
  it('selects the subprotocol that it is told, and no extension', async () => {
    const opened = await open('chat')
    const { headers } = await opened.connection.response()
    assert.deepEqual(
      headers.filter(([name]) => name.startsWith('Sec-WebSocket-') && name !== 'Sec-WebSocket-Accept'),
      [['Sec-WebSocket-Protocol', 'chat']],
    )
    await end(opened)
  })

  it('gives the socket back with the bytes that are not its own, and reads it no more', async () => {
    const opened = await open()
    const { waiting, socket, connection } = opened
    const ping = frame('abc', { opcode: OPCODE.ping })
    connection.send(Buffer.concat([frame('{}'), ping.subarray(0, 4)]))
    const first = await waiting.first
    assert.ok(typeof first === 'object')
    assert.equal(first.data.toString(), '{}')
    assert.deepEqual(waiting.detach(), ping.subarray(0, 4))
    assert.equal(waiting.detach(), undefined, 'once')
    connection.send(ping.subarray(4))
    const [chunk] = (await once(socket, 'data')) as [Buffer]
    assert.deepEqual(chunk, ping.subarray(4))
    waiting.send('still')
    assert.equal((await connection.frames(1))[0]?.text, 'still')
    await end(opened)
  })

  it('is not given back before its message, nor to a client that is leaving', async () => {
    const opened = await open()
    const { waiting, connection } = opened
    assert.equal(waiting.detach(), undefined)
    connection.send(Buffer.concat([frame('{}'), closeFrame(1000)]))
    await waiting.first
    assert.equal(waiting.detach(), undefined)
    assert.equal(await waiting.fault, 'gone')
    assert.equal((await connection.frames(1))[0]?.closeCode, 1000)
    await end(opened)
  })

  it('says what the fault is where another message has begun', async () => {
    const opened = await open()
    opened.connection.send(Buffer.concat([frame('{}'), frame('more').subarray(0, 1)]))
    await opened.waiting.first
    assert.equal(opened.waiting.detach(), undefined)
    assert.equal(await opened.waiting.fault, 'second_message')
    await end(opened)
  })

  for (const when of ['before its message', 'after it', 'after it was given back'] as const) {
    it(`leaves no timer where it is closed after its socket has gone, ${when}`, async () => {
      const opened = await open()
      const { waiting, socket, connection, listening } = opened
      if (when !== 'before its message') {
        connection.send(frame('{}'))
        await waiting.first
      }
      if (when === 'after it was given back') waiting.detach()
      const gone = new Promise((resolve) => socket.once('close', resolve))
      socket.destroy()
      await gone
      waiting.close(1011, 'app_error')
      connection.destroy()
      await listening.close()
      await new Promise(setImmediate)
      assert.deepEqual(
        process.getActiveResourcesInfo().filter((name) => name === 'Timeout'),
        [],
      )
    })
  }
})
