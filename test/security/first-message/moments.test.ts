import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Socket } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { stopwatch } from '../../support/beats.ts'
import { closeFrame, frame, OPCODE, readFrames } from '../../support/frames.ts'
import { connectRaw, halfClose, handshakeText, reset, type RawConnection } from '../../support/raw.ts'
import { trapFaults } from '../../support/trap.ts'
import { HeldClock } from '../../unit/credentials/helpers.ts'
import {
  assertOk,
  assertServes,
  authFrame,
  byHand,
  closeOf,
  guard,
  make,
  NO,
  openWaiting,
  nextEvent,
  serve,
  STACK_NAMES,
  textsOf,
  type Guard,
  type Say,
  type StackName,
} from './support.ts'

let trap: ReturnType<typeof trapFaults>
before(() => {
  trap = trapFaults()
})
after(() => trap.assertNone())

const turns = async (count = 20): Promise<void> => {
  for (let n = 0; n < count; n++) await new Promise(setImmediate)
}

/** Lets the handshake wait, and then says what the test says. */
function guardByHand(): ReturnType<typeof byHand<Say>> & { readonly guard: Guard; readonly aborted: Promise<void> } {
  const hand = byHand<Say>()
  let onAborted: () => void = () => undefined
  const aborted = new Promise<void>((resolve) => {
    onAborted = resolve
  })
  return {
    ...hand,
    aborted,
    guard(authorization, req) {
      if (authorization === undefined) return NO
      req?.once('close', onAborted)
      return hand.ask()
    },
  }
}

const GOES: ReadonlyArray<readonly [string, (connection: RawConnection) => void]> = [
  ['resets', ({ socket }) => reset(socket)],
  ['half-closes', ({ socket }) => halfClose(socket)],
  ['sends Close', (connection) => connection.send(closeFrame(1000, 'bye'))],
  ['sends Close and half-closes', ({ socket }) => void socket.end(closeFrame())],
  ['sends half a frame and half-closes', ({ socket }) => void socket.end(authFrame().subarray(0, 20))],
]

describe('the deadline of the first message', () => {
  const deadline = 200
  const FEEDS: ReadonlyArray<readonly [string, (n: number) => Uint8Array | undefined]> = [
    ['silence', () => undefined],
    ['a ping now and then', (n) => (n % 10 === 0 ? frame('', { opcode: OPCODE.ping }) : undefined)],
    ['a trickle of bytes', (n) => authFrame().subarray(n, n + 1)],
    ['fragments without end', (n) => (n % 4 === 0 ? frame('{', { opcode: n === 0 ? 1 : 0, fin: false }) : undefined)],
  ]
  it('4408 on time, whatever trickles in; the socket is gone a second later', async () => {
    const onTime = async (stack: StackName): Promise<void> => {
      const made = await make(stack, { limits: { firstMessage: deadline } })
      await using listening = await serve(made)
      await Promise.all(
        FEEDS.map(async ([name, feed]) => {
          const connection = await openWaiting(listening)
          using watch = stopwatch()
          const began = performance.now()
          let n = 0
          const timer = setInterval(() => {
            const bytes = feed(n++)
            if (bytes !== undefined) connection.socket.write(bytes)
          }, 10)
          try {
            const close = await closeOf(connection)
            const ms = performance.now() - began
            assert.deepEqual([close.code, close.reason, close.texts], [4408, 'auth_timeout', []], name)
            assert.ok(ms > deadline - 50 && watch.felt() < deadline + 250, `${name}: ${ms} ms`)
            await connection.ended()
            assert.ok(watch.felt() < deadline + 1250, `${name}: it was not cut`)
          } finally {
            clearInterval(timer)
            connection.destroy()
          }
        }),
      )
      await listening.noneOpen(1500)
      assert.deepEqual(
        made.said,
        FEEDS.map(() => 'refused auth_timeout 408'),
      )
    }
    await Promise.all(STACK_NAMES.map(onTime))
  })

  it('a peer that ignores the Close and goes on sending is cut, and none of it is read by anybody', async () => {
    const made = await make('Express', { limits: { firstMessage: 50 } })
    await using listening = await serve(made)
    await using connection = await openWaiting(listening)
    const close = await closeOf(connection)
    assert.equal(close.code, 4408)
    const timer = setInterval(() => connection.socket.write(authFrame()), 5)
    await connection.ended().finally(() => {
      clearInterval(timer)
    })
    connection.destroy()
    await listening.noneOpen(1500)
    assert.deepEqual(made.said, ['refused auth_timeout 408'])
    assert.equal(made.opened(), 0)
  })

  it('a message at the very moment of the deadline has exactly one outcome', async () => {
    const made = await make('Express', { limits: { firstMessage: 30 } })
    await using listening = await serve(made)
    const outcomes = await Promise.all(
      Array.from({ length: 16 }, async (_, n) => {
        await using connection = await openWaiting(listening)
        await new Promise((resolve) => setTimeout(resolve, 24 + (n % 8)))
        connection.send(authFrame(`user ${n}`))
        const first = await connection.frames(1)
        await turns()
        connection.destroy()
        return first[0]?.closeCode ?? first[0]?.text.slice(9, 16)
      }),
    )
    await listening.noneOpen(1500)
    assert.ok(
      outcomes.every((one) => one === 4408 || one === 'auth_ok'),
      outcomes.join(),
    )
    const first = made.said.filter((one) => !one.startsWith('ended'))
    assert.equal(first.length, 16, made.said.join())
    assert.equal(
      made.said.filter((one) => one === 'accepted').length,
      made.said.filter((one) => one.startsWith('ended')).length,
    )
  })
})

/** What a connection was told; its client goes then. */
async function outcomeOfOne(connection: RawConnection): Promise<string> {
  const [answer] = await textsOf(connection, 1)
  await turns(5)
  const { frames } = readFrames(connection.received().subarray(connection.received().indexOf('\r\n\r\n') + 4))
  connection.destroy()
  const { type } = answer as { type: string }
  assert.equal(frames.length, type === 'auth_ok' ? 1 : 2, 'nothing after auth_ok, Close after auth_error')
  return type
}

for (const stack of STACK_NAMES) {
  describe(`${stack}: the client goes`, { timeout: 240_000 }, () => {
    for (const [how, go] of GOES) {
      it(`${how} before its message`, async () => {
        const made = await make(stack)
        await using listening = await serve(made)
        const connection = await openWaiting(listening)
        const aborted = nextEvent(made.gate, 'aborted', 'refused', 'accepted')
        go(connection)
        assert.equal((await aborted).type, 'aborted')
        await listening.noneOpen(1500)
        connection.destroy()
        assert.deepEqual(made.said, ['aborted'])
        await assertServes(listening)
      })

      it(`${how} while the app decides, which hears of it; what it says then is nothing`, async () => {
        const hand = guardByHand()
        const made = await make(stack, { guard: hand.guard })
        await using listening = await serve(made)
        const connection = await openWaiting(listening)
        connection.send(authFrame())
        await hand.asked
        const over = nextEvent(made.gate, 'aborted', 'refused', 'accepted')
        go(connection)
        const { type } = await over
        if (stack !== 'no app') await hand.aborted
        hand.settle('ann')
        await turns()
        await listening.noneOpen(1500)
        const received = connection.received()
        connection.destroy()
        // Half a frame is a second message that has begun.
        assert.equal(type, 'aborted')
        assert.deepEqual(made.said, ['aborted'])
        assert.equal(made.opened(), 0)
        assert.equal(received.includes('auth_ok'), false)
      })

      it(`${how} at the tick of the verdict`, async () => {
        const hand = guardByHand()
        const made = await make(stack, { guard: hand.guard })
        await using listening = await serve(made)
        const connection = await openWaiting(listening)
        connection.send(authFrame())
        await hand.asked
        const over = nextEvent(made.gate, 'aborted', 'refused', 'accepted')
        go(connection)
        hand.settle('ann')
        await over
        await turns()
        connection.destroy()
        await listening.noneOpen(1500)
        const begun = how.startsWith('sends half') ? 'refused bad_auth_message 400' : 'aborted'
        assert.ok(['aborted', 'accepted,ended closed', begun].includes(made.said.join()), made.said.join())
        assert.equal(made.gate.connections.size, 0)
      })

      it(`${how} right after the verdict`, async () => {
        const made = await make(stack)
        await using listening = await serve(made)
        const connection = await openWaiting(listening)
        connection.send(authFrame())
        assertOk((await textsOf(connection, 1))[0])
        const ended = nextEvent(made.gate, 'ended')
        go(connection)
        if (how.startsWith('sends')) {
          if (how.startsWith('sends Close')) await connection.frames(2)
          connection.destroy()
        }
        await ended
        connection.destroy()
        await listening.noneOpen(1500)
        assert.deepEqual(made.said, ['accepted', 'ended closed'])
        assert.equal(made.gate.connections.size, 0)
      })
    }

    it('resets right behind the handshake and the message, thirty times', async () => {
      const made = await make(stack)
      await using listening = await serve(made)
      await Promise.all(
        Array.from({ length: 30 }, async (_, n) => {
          const { socket } = await connectRaw(listening)
          socket.write(Buffer.concat([Buffer.from(handshakeText()), n % 2 === 0 ? authFrame() : Buffer.alloc(0)]), () =>
            reset(socket),
          )
          await once(socket, 'close')
        }),
      )
      await listening.noneOpen()
      assert.equal(made.gate.connections.size, 0)
      const first = made.said.filter((one) => !one.startsWith('ended'))
      // A peer that is gone before Node has read a byte is no handshake.
      assert.ok(first.length <= 30, made.said.join())
      await assertServes(listening)
    })
  })

  describe(`${stack}: the verdict and the deadline`, { timeout: 240_000 }, () => {
    it('an app that hangs: 1013 at its deadline, and what it says later is nothing', async () => {
      const hand = guardByHand()
      const clock = new HeldClock()
      const made = await make(stack, { guard: hand.guard, clock })
      await using listening = await serve(made)
      await using connection = await openWaiting(listening)
      connection.send(authFrame())
      await hand.asked
      clock.pass(10_000)
      const close = await closeOf(connection)
      assert.deepEqual([close.code, close.reason], [1013, 'handshake_timeout'])
      assert.deepEqual(close.texts, [{ type: 'auth_error', status: 503, code: 'handshake_timeout', retryAfter: 1 }])
      if (stack !== 'no app') await hand.aborted
      hand.settle('ann')
      await turns()
      connection.destroy()
      await listening.noneOpen()
      assert.deepEqual(made.said, ['refused handshake_timeout 503'])
      assert.equal(made.opened(), 0)
    })

    for (const later of [0, 1, 2, 4]) {
      it(`a verdict ${later} turns before the deadline, or at its tick, has exactly one outcome`, async () => {
        const pending = new Set<(say: Say) => void>()
        const clock = new HeldClock()
        const made = await make(stack, {
          clock,
          guard: (authorization) =>
            authorization === undefined ? NO : new Promise<Say>((resolve) => pending.add(resolve)),
        })
        await using listening = await serve(made)
        const connections = await Promise.all(
          Array.from({ length: 12 }, async (_, n) => {
            const connection = await openWaiting(listening)
            connection.send(authFrame(`user ${n}`))
            return connection
          }),
        )
        while (pending.size < connections.length) await turns(1)
        let n = 0
        for (const settle of pending) if (n++ % 2 === 0) settle('ann')
        await turns(later)
        clock.pass(10_000)
        for (const settle of pending) settle('ann')
        const outcomes = await Promise.all(connections.map(outcomeOfOne))
        await listening.noneOpen()
        const accepted = outcomes.filter((one) => one === 'auth_ok').length
        assert.equal(made.said.filter((one) => one === 'accepted').length, accepted)
        assert.equal(made.said.filter((one) => one.startsWith('refused')).length, outcomes.length - accepted)
        assert.equal(made.gate.connections.size, 0)
      })
    }

    for (const [what, say] of [
      ['lets in', 'ann'],
      ['refuses', NO],
    ] as const) {
      it(`a second message, read before the app decides that it ${what}`, async () => {
        const hand = guardByHand()
        const made = await make(stack, { guard: hand.guard })
        await using listening = await serve(made)
        const refused = nextEvent(made.gate, 'refused')
        await using connection = await openWaiting(listening)
        connection.send(authFrame())
        await hand.asked
        connection.send(authFrame('eve'))
        await refused
        hand.settle(say)
        const close = await closeOf(connection)
        assert.deepEqual([close.code, close.reason, close.texts], [4400, 'bad_auth_message', []])
        await turns()
        connection.destroy()
        await listening.noneOpen()
        assert.deepEqual(made.said, ['refused bad_auth_message 400'])
        assert.equal(made.opened(), 0)
      })
    }
  })

  describe(`${stack}: gate.close()`, { timeout: 240_000 }, () => {
    it('while a socket waits: it is not left waiting', async () => {
      const made = await make(stack)
      await using listening = await serve(made)
      await using connection = await openWaiting(listening)
      using watch = stopwatch()
      await made.gate.close()
      const close = await closeOf(connection)
      assert.ok([1012, 1013].includes(close.code ?? 0), `${close.code} ${close.reason}`)
      assert.ok(watch.felt() < 1000)
      connection.destroy()
      await listening.noneOpen(1500)
      assert.deepEqual(made.said, ['refused closing 503'])
    })

    it('while the app decides: it is not let in', async () => {
      const hand = guardByHand()
      const made = await make(stack, { guard: hand.guard })
      await using listening = await serve(made)
      await using connection = await openWaiting(listening)
      connection.send(authFrame())
      await hand.asked
      const closed = made.gate.close()
      hand.settle('ann')
      const close = await closeOf(connection)
      await closed
      assert.ok([1012, 1013].includes(close.code ?? 0), `${close.code} ${close.reason}`)
      assert.equal(close.reason, 'closing')
      connection.destroy()
      await listening.noneOpen(1500)
      assert.deepEqual(made.said, ['refused closing 503'])
      assert.equal(made.opened(), 0)
    })
  })
}

describe('the raw socket after the hand-over', () => {
  const counts = (socket: Socket): Record<string, number> =>
    Object.fromEntries(socket.eventNames().map((event) => [String(event), socket.listenerCount(event)]))

  for (const stack of STACK_NAMES) {
    it(`${stack}: has the listeners that it has without a first message`, async () => {
      const seen: Array<Record<string, number>> = []
      for (const headers of [
        { Authorization: `Basic ${Buffer.from('ann:pw-Zx81-swordfish').toString('base64')}` },
        {},
      ]) {
        const made = await make(stack)
        const connected = once(made.server, 'connection')
        await using listening = await serve(made)
        await using connection = await openWaiting(listening, { headers })
        if (!('Authorization' in headers)) connection.send(authFrame())
        connection.send(Buffer.alloc(0))
        if (!('Authorization' in headers)) assertOk((await textsOf(connection, 1))[0])
        connection.send(frame('x'))
        await connection.until((bytes) => bytes.includes('echo x') || undefined)
        const [socket] = (await connected) as [Socket]
        seen.push(counts(socket))
        assert.equal(socket.readableFlowing, true)
        assert.deepEqual([socket.write, socket.end], [Socket.prototype.write, Socket.prototype.end])
      }
      assert.deepEqual(seen[1], seen[0])
    })
  }

  it('a handler that pauses its socket at once gets nothing before it resumes', async () => {
    let resume: () => void = () => undefined
    let paused = true
    let early = 0
    const made = await make('Express', {
      handler: (socket) => {
        const ws = socket as unknown as import('ws').WebSocket
        ws.pause()
        resume = () => {
          paused = false
          ws.resume()
        }
        ws.on('message', (data) => {
          if (paused) early++
          ws.send(`echo ${String(data)}`)
        })
      },
    })
    await using listening = await serve(made)
    await using connection = await openWaiting(listening)
    connection.send(authFrame())
    assertOk((await textsOf(connection, 1))[0])
    connection.send(frame('one'))
    await turns(50)
    assert.equal(early, 0)
    resume()
    assert.equal((await textsOf(connection, 2))[1], 'echo one')
  })

  it('a library that reads later, with a turn of the event loop between, loses nothing', async () => {
    const made = await make('Express', { guard })
    await using listening = await serve(made)
    await using connection = await openWaiting(listening)
    connection.send(authFrame())
    assertOk((await textsOf(connection, 1))[0])
    for (let n = 0; n < 50; n++) connection.send(frame(`m${n}`))
    const texts = await textsOf(connection, 51)
    assert.deepEqual(
      texts.slice(1),
      Array.from({ length: 50 }, (_, n) => `echo m${n}`),
    )
  })
})
