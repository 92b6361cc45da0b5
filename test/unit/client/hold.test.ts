import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { dial, type DialSocket } from '../../../src/client.ts'
import { next } from '../../support/next.ts'
import type { Listening } from '../../support/servers.ts'
import { closing, malformed, switching, text, upgrading, urlOf } from './servers.ts'

/** A message that is lost would be awaited for ever. */
const LOSES = { timeout: 60_000 }

async function turns(count: number): Promise<void> {
  for (let done = 0; done < count; done += 1) await turn()
}

/** Writes the 101 and these frames as one packet. */
async function eager(...frames: readonly Buffer[]): Promise<Listening> {
  return await upgrading((socket, req) => socket.write(switching(req, ...frames)))
}

function recorder(socket: DialSocket): unknown[] {
  const seen: unknown[] = []
  socket.on('message', ({ data }) => seen.push(data))
  socket.on('close', ({ code }) => seen.push(`close ${code}`))
  return seen
}

for (const late of [0, 1, 5]) {
  test(`messages that came with the 101 are heard in order, before the close, ${late} turns later`, LOSES, async () => {
    await using server = await eager(text('one'), text('two'), text('three'), closing(4000))
    const socket = await dial(urlOf(server))
    await turns(late)
    const seen = recorder(socket)
    if (socket.readyState !== socket.CLOSED) await next(socket, 'close')
    await turns(5)
    assert.deepEqual(seen.slice(0, 3), ['one', 'two', 'three'])
    if (late === 0) assert.equal(seen[3], 'close 4000')
  })
}

test('messages that came before and after a late listener keep their order', LOSES, async () => {
  await using server = await upgrading((socket, req) => {
    socket.write(switching(req, text('1'), text('2')))
    socket.once('data', () => socket.write(Buffer.concat([text('3'), text('4'), closing(1000)])))
  })
  const socket = await dial(urlOf(server))
  await turns(5)
  socket.send('now')
  const seen = recorder(socket)
  await next(socket, 'close')
  assert.deepEqual(seen, ['1', '2', '3', '4', 'close 1000'])
})

test('a late caller who awaits each message gets each', LOSES, async () => {
  await using server = await eager(text('one'), text('two'), text('three'))
  const socket = await dial(urlOf(server))
  await turns(5)
  const seen: unknown[] = []
  while (seen.length < 3) {
    const { data } = await next(socket, 'message')
    seen.push(data)
    await turns(3)
  }
  assert.deepEqual(seen, ['one', 'two', 'three'])
  socket.terminate()
})

test('an error right after the 101 reaches a listener that is attached right after the await', LOSES, async () => {
  await using server = await eager(text('one'), malformed())
  const socket = await dial(urlOf(server))
  const seen = recorder(socket)
  const { error } = await next(socket, 'error')
  assert.deepEqual([error.code, error.phase, error.retryable], ['bad_response', 'session', false])
  assert.deepEqual(seen, ['one', 'close 1006'])
  socket.terminate()
})

test('a caller who never listens still answers pings and hears the close', LOSES, async () => {
  const ping = Buffer.from([0x89, 0])
  await using server = await upgrading((socket, req) => {
    socket.write(switching(req, text('one'), ping))
    socket.once('data', (pong: Buffer) => {
      assert.equal((pong[0] ?? 0) & 0x0f, 10)
      socket.end(closing(4001))
    })
  })
  const socket = await dial(urlOf(server))
  const { code } = await next(socket, 'close')
  assert.equal(code, 4001)
})

test('past 1024 messages nobody wants, they are dropped and the connection goes on', LOSES, async () => {
  const many = Array.from({ length: 2000 }, () => text('x'))
  await using server = await eager(...many, closing(4001))
  const socket = await dial(urlOf(server))
  const { code } = await next(socket, 'close')
  assert.equal(code, 4001)
  const seen = recorder(socket)
  await turns(3)
  assert.deepEqual(seen, [])
})

test('who takes a listener away and waits again loses nothing in between', LOSES, async () => {
  await using server = await upgrading((socket, req) => {
    socket.write(switching(req, text('one')))
    socket.once('data', () => socket.write(Buffer.concat([text('two'), text('three'), closing(1000)])))
  })
  const socket = await dial(urlOf(server))
  assert.equal((await next(socket, 'message')).data, 'one')
  socket.send('go on')
  await next(socket, 'close')
  assert.equal((await next(socket, 'message')).data, 'two')
  assert.equal((await next(socket, 'message')).data, 'three')
})
