import assert from 'node:assert/strict'
import { createServer } from 'node:https'
import { after, before, describe, it } from 'node:test'
import { WebSocketServer } from 'ws'
import { createGate } from '../../../src/index.ts'
import { basic } from '../../../src/schemes.ts'
import { makeCertificate } from '../../support/certs.ts'
import { closeFrame, frame, OPCODE, readFrames } from '../../support/frames.ts'
import { connectRaw, handshakeText } from '../../support/raw.ts'
import { listen } from '../../support/servers.ts'
import { trapFaults } from '../../support/trap.ts'
import {
  assertOk,
  assertServes,
  authFrame,
  authText,
  closeOf,
  make,
  openWaiting,
  PASSWORD,
  serve,
  textsOf,
  type StackName,
} from './support.ts'

let trap: ReturnType<typeof trapFaults>
before(() => {
  trap = trapFaults()
})
after(() => trap.assertNone())

const LONG = 4096
/** An auth message of exactly so many bytes. */
function sized(bytes: number): string {
  const text = authText()
  return `${text.slice(0, -1)},"x":"${'x'.repeat(bytes - text.length - 7)}"}`
}

function fragments(text: string, count: number): Buffer[] {
  const size = Math.ceil(text.length / count)
  return Array.from({ length: count }, (_, index) =>
    frame(text.slice(index * size, (index + 1) * size), {
      opcode: index === 0 ? OPCODE.text : OPCODE.continuation,
      fin: index === count - 1,
    }),
  )
}

const ping = (payload = ''): Buffer => frame(payload, { opcode: OPCODE.ping })
const pong = frame('', { opcode: OPCODE.pong })
const join = (...parts: Array<Buffer | Buffer[]>): Buffer => Buffer.concat(parts.flat())

/** What is one message of at most 4096 bytes in at most 16 fragments, and at most 5 control frames before it. */
const GOOD: ReadonlyArray<readonly [string, Buffer]> = [
  ['one frame', authFrame()],
  ['4096 bytes', frame(sized(LONG))],
  ['4096 bytes in 16 fragments', join(fragments(sized(LONG), 16))],
  [
    '16 fragments, some of them empty',
    join(
      fragments(authText(), 14).slice(0, -1),
      frame('', { opcode: 0, fin: false }),
      frame('', { opcode: 0, fin: false }),
      fragments(authText(), 14).slice(-1),
    ),
  ],
  ['pings between fragments', join(fragments(authText(), 3).flatMap((one) => [ping('x'), one]))],
  ['5 control frames before it', join(ping(), pong, ping('125'.repeat(41)), pong, ping(), authFrame())],
  [
    'a length written with 64 bits',
    (() => {
      const text = Buffer.from(authText())
      const head = Buffer.alloc(10)
      head[0] = 0x81
      head[1] = 0xff
      head.writeBigUInt64BE(BigInt(text.length), 2)
      return join(head, Buffer.alloc(4), text)
    })(),
  ],
]

const BAD: ReadonlyArray<readonly [string, Buffer, code: number, event: string]> = [
  ['4097 bytes', frame(sized(LONG + 1)), 1009, 'refused message_too_big 413'],
  ['4097 bytes in 2 fragments', join(fragments(sized(LONG + 1), 2)), 1009, 'refused message_too_big 413'],
  ['65536 bytes', frame('x'.repeat(65_536)), 1009, 'refused message_too_big 413'],
  ['a frame that says 2^53', frame('abc', { claimedLength: 2 ** 53 }), 1009, 'refused message_too_big 413'],
  ['a frame that says 2^63', Buffer.from('81ff8000000000000000aabbccdd61', 'hex'), 1009, 'refused message_too_big 413'],
  ['17 fragments', join(fragments(authText(), 17)), 1009, 'refused message_too_big 413'],
  [
    '17 empty fragments',
    join(
      frame('', { fin: false }),
      Array.from({ length: 16 }, () => frame('', { opcode: 0, fin: false })),
    ),
    1009,
    'refused message_too_big 413',
  ],
  ['6 pings', join(Array.from({ length: 6 }, () => ping())), 4429, 'refused too_many_frames 429'],
  ['6 pongs', join(Array.from({ length: 6 }, () => pong)), 4429, 'refused too_many_frames 429'],
  ['10000 pings', join(Array.from({ length: 10_000 }, () => ping())), 4429, 'refused too_many_frames 429'],
  [
    '6 pings between fragments',
    join(fragments(authText(), 8).flatMap((one) => [ping(), one])),
    4429,
    'refused too_many_frames 429',
  ],
  ['the reserved bit 1, as of a compressed frame', frame(authText(), { rsv: 4 }), 1002, 'refused bad_frame 400'],
  ['the reserved bit 2', frame(authText(), { rsv: 2 }), 1002, 'refused bad_frame 400'],
  ['the reserved bit 3', frame(authText(), { rsv: 1 }), 1002, 'refused bad_frame 400'],
  ['a reserved bit on a ping', frame('', { opcode: OPCODE.ping, rsv: 4 }), 1002, 'refused bad_frame 400'],
  ['an unmasked frame', frame(authText(), { masked: false }), 1002, 'refused bad_frame 400'],
  ['an unmasked ping', frame('', { opcode: OPCODE.ping, masked: false }), 1002, 'refused bad_frame 400'],
  ['a reserved opcode', frame(authText(), { opcode: 3 }), 1002, 'refused bad_frame 400'],
  ['a reserved control opcode', frame('', { opcode: 11 }), 1002, 'refused bad_frame 400'],
  ['a fragmented ping', frame('', { opcode: OPCODE.ping, fin: false }), 1002, 'refused bad_frame 400'],
  ['a ping of 126 bytes', ping('x'.repeat(126)), 1002, 'refused bad_frame 400'],
  ['a continuation of nothing', frame(authText(), { opcode: OPCODE.continuation }), 1002, 'refused bad_frame 400'],
  ['a text inside a fragmented text', join(frame('{', { fin: false }), authFrame()), 1002, 'refused bad_frame 400'],
  ['invalid UTF-8', frame(Buffer.from('7b22a0a0ff227d', 'hex')), 1007, 'refused bad_frame 400'],
  ['UTF-8 that ends in the middle', frame(Buffer.from('7bc3', 'hex')), 1007, 'refused bad_frame 400'],
  ['a Close with a code that nobody may send', closeFrame(1005), 1002, 'refused bad_frame 400'],
  ['a Close of one byte', frame(Buffer.from([3]), { opcode: OPCODE.close }), 1002, 'refused bad_frame 400'],
  [
    'a Close with a reason that is no UTF-8',
    frame(Buffer.from('03e8ff', 'hex'), { opcode: OPCODE.close }),
    1007,
    'refused bad_frame 400',
  ],
  ['a binary message', frame(authText(), { opcode: OPCODE.binary }), 4400, 'refused bad_auth_message 400'],
]

/** What is a message, but no auth message. */
const MALFORMED: ReadonlyArray<readonly [string, string | Buffer]> = [
  ['nothing', ''],
  ['no JSON', 'hello'],
  ['null', 'null'],
  ['an array', '[]'],
  ['an array in the place of the object', `[${authText()}]`],
  ['a string', '"x"'],
  ['a number', '1e5'],
  ['nesting as deep as it gets', '['.repeat(2048) + ']'.repeat(2048)],
  ['an object as deep as it gets', '{"a":'.repeat(680) + '1' + '}'.repeat(680)],
  ['duplicate keys', `${authText().slice(0, -1)},"password":"other"}`],
  ['a byte order mark', `\ufeff${authText()}`],
  ['two objects', authText() + authText()],
  ['another type', '{"type":"subscribe","token":"abcdefgh"}'],
  ['no type', '{"token":"abcdefgh"}'],
  ['a type of its prototype', '{"__proto__":{"type":"auth","token":"abcdefgh"}}'],
  ['__proto__ beside no credential', '{"type":"auth","__proto__":{"token":"abcdefgh","admin":true}}'],
  ['constructor.prototype', '{"type":"auth","constructor":{"prototype":{"token":"abcdefgh","admin":true}}}'],
  ['a token and a username', '{"type":"auth","token":"abcdefgh","username":"ann","password":"p"}'],
  ['a token that is no string', '{"type":"auth","token":{"toString":"x"}}'],
  ['a password that is no string', '{"type":"auth","username":"ann","password":["p"]}'],
  ['no password', '{"type":"auth","username":"ann"}'],
  ['a username with a colon', '{"type":"auth","username":"ann:x","password":"p"}'],
  ['a password with a line end', '{"type":"auth","username":"ann","password":"p\\r\\nX-User: root"}'],
  ['a token with a line end', '{"type":"auth","token":"abc\\r\\nX-User: root"}'],
  ['an empty token', '{"type":"auth","token":""}'],
  ['a header that is not on the list', '{"type":"auth","headers":{"x-user":"root"}}'],
  ['a Cookie', '{"type":"auth","headers":{"cookie":"sid=1"}}'],
  [
    'a header beside a good one',
    '{"type":"auth","headers":{"authorization":"Bearer abcdefgh","x-forwarded-for":"1.1.1.1"}}',
  ],
  [
    'a header twice in two spellings',
    '{"type":"auth","headers":{"authorization":"Bearer a","Authorization":"Bearer b"}}',
  ],
  ['a header with a line end', '{"type":"auth","headers":{"authorization":"Bearer a\\r\\nX: y"}}'],
  ['a header that is no string', '{"type":"auth","headers":{"authorization":["Bearer a"]}}'],
  ['headers that are a list', '{"type":"auth","headers":["authorization"]}'],
  ['no headers', '{"type":"auth","headers":{}}'],
  ['__proto__ as a header', '{"type":"auth","headers":{"__proto__":{"authorization":"Bearer a"}}}'],
]

it('all this over TLS', async () => {
  const server = createServer(makeCertificate())
  const gate = createGate({
    authenticate: basic({ verify: (username, password) => (password === PASSWORD ? { subject: username } : null) }),
    firstMessage: { paths: ['/ws'] },
  })
  new WebSocketServer({ server }).on('connection', (ws) => ws.on('message', (data) => ws.send(`echo ${String(data)}`)))
  gate.attach(server)
  await using listening = await listen(server)
  const target = { port: listening.port, tls: true }
  for (const how of ['apart', 'with the handshake'] as const) {
    await using connection = await openWaiting(target, how === 'apart' ? {} : { with: authFrame() })
    if (how === 'apart') for (const byte of authFrame()) connection.send(Buffer.from([byte]))
    assertOk((await textsOf(connection, 1))[0])
    connection.send(frame('hi'))
    assert.equal((await textsOf(connection, 2))[1], 'echo hi')
  }
  await using connection = await openWaiting(target)
  connection.send(authFrame('ann', 'wrong'))
  assert.equal((await closeOf(connection)).code, 4401)
  await using early = await openWaiting(target)
  early.send(join(authFrame(), authFrame()))
  assert.equal((await closeOf(early)).code, 4400)
})

for (const stack of ['Express', 'no app'] as StackName[]) {
  describe(`${stack}: what a client may send before its answer`, () => {
    for (const [name, bytes] of GOOD) {
      for (const how of ['in one packet', 'byte by byte', 'with the handshake'] as const) {
        it(`${name}, ${how}`, async () => {
          const made = await make(stack)
          await using listening = await serve(made)
          await using connection = await openWaiting(listening, how === 'with the handshake' ? { with: bytes } : {})
          if (how === 'in one packet') connection.send(bytes)
          if (how === 'byte by byte') {
            connection.socket.setNoDelay(true)
            for (const byte of bytes) if (!connection.socket.write(Buffer.from([byte]))) await new Promise(setImmediate)
          }
          assertOk((await textsOf(connection, 1))[0])
          connection.send(frame('after'))
          assert.equal((await textsOf(connection, 2))[1], 'echo after')
          assert.deepEqual(made.delivered, ['after'])
          connection.destroy()
          await listening.noneOpen()
          assert.deepEqual(made.said, ['accepted', 'ended closed'])
        })
      }
    }

    it('pings are answered while it waits, in their order', async () => {
      await using listening = await serve(await make(stack))
      await using connection = await openWaiting(listening)
      connection.send(join(ping('one'), ping('two')))
      const frames = await connection.frames(2)
      assert.deepEqual(
        frames.map(({ opcode, text }) => [opcode, text]),
        [
          [OPCODE.pong, 'one'],
          [OPCODE.pong, 'two'],
        ],
      )
    })

    it('the server does not speak first', async () => {
      const made = await make(stack)
      await using listening = await serve(made)
      await using connection = await openWaiting(listening)
      connection.send(ping('is there anything?'))
      const [first] = await connection.frames(1)
      assert.equal(first?.opcode, OPCODE.pong)
      assert.equal(made.opened(), 0)
      assert.equal(made.gate.connections.size, 0)
    })

    for (const [name, bytes, code, event] of BAD) {
      it(`not ${name}`, async () => {
        const made = await make(stack)
        await using listening = await serve(made)
        await using connection = await openWaiting(listening)
        connection.send(bytes)
        const close = await closeOf(connection)
        const [, reason] = event.split(' ')
        assert.deepEqual([close.code, close.reason, close.texts], [code, reason, []])
        connection.destroy()
        await listening.noneOpen()
        assert.deepEqual(made.said, [event])
        assert.equal(made.opened(), 0)
        await assertServes(listening)
      })
    }

    it('malformed messages: 4400, said with its reason', async () => {
      const made = await make(stack)
      await using listening = await serve(made)
      for (const [name, text] of MALFORMED) {
        await using connection = await openWaiting(listening)
        connection.send(frame(text))
        const close = await closeOf(connection)
        assert.deepEqual([close.code, close.reason], [4400, 'bad_auth_message'], name)
        assert.equal(({} as { admin?: boolean }).admin, undefined, name)
        connection.destroy()
      }
      await listening.noneOpen()
      assert.deepEqual([...new Set(made.said)], ['refused bad_auth_message 400'])
      assert.equal(made.said.length, MALFORMED.length)
      assert.equal(made.opened(), 0)
      await assertServes(listening)
    })

    it('names that a subject cannot have been given by a fault in JSON', async () => {
      const made = await make(stack)
      await using listening = await serve(made)
      for (const username of ['__proto__', 'constructor', 'hasOwnProperty', 'n\u00e3o \u65e5\u672c', 'a'.repeat(500)]) {
        await using connection = await openWaiting(listening)
        connection.send(authFrame(username))
        assertOk((await textsOf(connection, 1))[0], username)
      }
    })

    for (const when of ['in the same packet', 'right after it', 'begun in the same packet'] as const) {
      it(`not a second message ${when}: 4400, and none reaches the app`, async () => {
        const made = await make(stack)
        await using listening = await serve(made)
        await using connection = await openWaiting(listening)
        const second = frame('early')
        if (when === 'right after it') {
          connection.socket.setNoDelay(true)
          connection.send(authFrame())
          connection.send(second)
        } else connection.send(join(authFrame(), when === 'in the same packet' ? second : second.subarray(0, 3)))
        const close = await closeOf(connection).catch(() => undefined)
        connection.destroy()
        await listening.noneOpen()
        if (when === 'right after it' && made.said[0] === 'accepted') return // it came after the verdict
        assert.deepEqual([close?.code, close?.reason], [4400, 'bad_auth_message'])
        assert.deepEqual(made.said, ['refused bad_auth_message 400'])
        assert.deepEqual(made.delivered, [])
        assert.equal(made.opened(), 0)
      })
    }

    it('a ping that is half sent at the verdict arrives whole', async () => {
      const made = await make(stack)
      await using listening = await serve(made)
      for (let cut = 1; cut < 9; cut++) {
        const whole = ping('abc')
        await using connection = await openWaiting(listening)
        connection.send(join(authFrame(), whole.subarray(0, cut)))
        assertOk((await textsOf(connection, 1))[0])
        connection.send(join(whole.subarray(cut), frame('next')))
        const [, answer, echo] = await connection.frames(3)
        assert.deepEqual([answer?.opcode, answer?.text, echo?.text], [OPCODE.pong, 'abc', 'echo next'], `cut at ${cut}`)
      }
    })

    it('permessage-deflate is not negotiated, nor after the verdict', async () => {
      const made = await make(stack)
      await using listening = await serve(made)
      await using connection = await connectRaw(listening)
      connection.send(
        handshakeText({ headers: { 'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits' } }),
      )
      const { headers } = await connection.response()
      assert.ok(!headers.some(([name]) => /extensions/i.test(name)))
      connection.send(authFrame())
      connection.send(ping())
      assertOk((await textsOf(connection, 1))[0])
      connection.send(frame('z'.repeat(5000)))
      const bytes = await connection.until((all) => {
        const { frames } = readFrames(all.subarray(all.indexOf('\r\n\r\n') + 4))
        return frames.find(({ text }) => text.startsWith('echo'))
      })
      assert.equal(bytes.rsv, 0)
      assert.equal(bytes.text.length, 5005)
    })
  })
}
