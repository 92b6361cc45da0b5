import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { Duplex } from 'node:stream'
import { it } from 'node:test'
import { createGate } from '../../../src/index.ts'
import { bearer } from '../../../src/schemes.ts'
import { frame } from '../../support/frames.ts'
import { connectRaw, handshake } from '../../support/raw.ts'
import { listen } from '../../support/servers.ts'

for (const [name, write] of [
  ['101', (socket: Duplex) => socket.write('HTTP/1.1 101 Switching Protocols\r\nX-Late: LEAK\r\n\r\n')],
  ['refusal', (socket: Duplex) => socket.end('HTTP/1.1 504 Gateway Timeout\r\nX-Late: LEAK\r\n\r\n')],
] as const) {
  it(`a library's ${name} that comes after the deadline is not written into the WebSocket`, async () => {
    const gate = createGate({
      authenticate: bearer({ verify: () => ({ subject: 'ann' }) }),
      firstMessage: { paths: ['/live'] },
      limits: { deadline: 100 },
    })
    const server = createServer()
    const handed = once(server, 'upgrade') as Promise<[req: unknown, socket: Duplex]>
    gate.attach(server)
    await using listening = await listen(server)
    await using connection = await connectRaw({ port: listening.port })
    connection.send(`${handshake({ target: '/live' }).join('\r\n')}\r\n\r\n`)
    await connection.response()
    connection.send(frame('{"type":"auth","token":"of-ann"}'))
    const frames = await connection.frames(1)
    assert.equal(frames.at(-1)?.closeCode, 1013)
    const [, socket] = await handed
    write(socket)
    await connection.ended()
    assert.ok(!connection.received().includes('LEAK'), connection.received().toString('latin1'))
  })
}
