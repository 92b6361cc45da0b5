import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { WebSocketServer } from 'ws'
import { acceptOf, closeFrame, frame, OPCODE, readFrames } from '../../support/frames.ts'
import { connectRaw, handshakeText } from '../../support/raw.ts'
import { listen } from '../../support/servers.ts'

test('the frames are those of RFC 6455 section 5.7', () => {
  assert.deepEqual(frame('Hello', { masked: false }), Buffer.from('810548656c6c6f', 'hex'))
  assert.deepEqual(
    Buffer.concat([frame('Hel', { masked: false, fin: false }), frame('lo', { masked: false, opcode: 0 })]),
    Buffer.from('010348656c80026c6f', 'hex'),
  )
  assert.deepEqual(
    frame(Buffer.alloc(256), { masked: false, opcode: 2 }).subarray(0, 4),
    Buffer.from('827e0100', 'hex'),
  )
  assert.deepEqual(
    frame(Buffer.alloc(65_536), { masked: false, opcode: 2 }).subarray(0, 10),
    Buffer.from('827f0000000000010000', 'hex'),
  )
})

for (const size of [0, 1, 125, 126, 65_535, 65_536]) {
  test(`a message of ${size} bytes is read by ws, and its echo by readFrames`, async () => {
    await using server = await listenEcho()
    await using client = await connectRaw({ port: server.port })
    const payload = Buffer.alloc(size, 'abc')
    client.send(handshakeText())
    client.send(frame(payload, { opcode: OPCODE.binary }))
    const [echo] = await client.frames(1)
    assert.deepEqual([echo?.masked, echo?.opcode, echo?.fin, echo?.rsv], [false, OPCODE.binary, true, 0])
    assert.deepEqual(echo?.payload, payload)
  })
}

async function listenEcho() {
  const http = createServer()
  new WebSocketServer({ server: http }).on('connection', (socket) => {
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }))
  })
  return await listen(http)
}

test('readFrames unmasks, and leaves an incomplete frame over', () => {
  const bytes = Buffer.concat([frame('text'), closeFrame(4401, 'why'), Buffer.from([0x81])])
  const { frames, rest } = readFrames(bytes)
  assert.deepEqual(
    frames.map(({ opcode, masked, text, closeCode }) => ({ opcode, masked, text, closeCode })),
    [
      { opcode: 1, masked: true, text: 'text', closeCode: undefined },
      { opcode: 8, masked: true, text: 'why', closeCode: 4401 },
    ],
  )
  assert.deepEqual(rest, Buffer.from([0x81]))
  assert.equal(readFrames(closeFrame()).frames[0]?.closeCode, undefined)
})

test('a frame may lie about its length and set reserved bits', () => {
  assert.deepEqual(readFrames(frame('abc', { claimedLength: 4 })).frames, [])
  assert.equal(readFrames(frame('abc', { rsv: 4 })).frames[0]?.rsv, 4)
})

test('acceptOf gives the value of RFC 6455 section 1.3', () => {
  assert.equal(acceptOf('dGhlIHNhbXBsZSBub25jZQ=='), 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=')
})
