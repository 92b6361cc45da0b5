import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { after, before, describe, it } from 'node:test'
import { WebSocketServer } from 'ws'
import { createGate, type Library } from '../../../src/index.ts'
import { patientClock, stopwatch } from '../../support/beats.ts'
import { closeFrame, frame } from '../../support/frames.ts'
import { halfClose, reset, type RawConnection } from '../../support/raw.ts'
import { listen } from '../../support/servers.ts'
import { trapFaults } from '../../support/trap.ts'
import {
  authFrame,
  guard,
  make,
  nextEvent,
  openWaiting,
  outcomeOf,
  record,
  type Say,
  type StackName,
} from './support.ts'

let trap: ReturnType<typeof trapFaults>
before(() => {
  trap = trapFaults()
})
after(() => trap.assertNone())

/** What keeps the process alive, without the streams that it began with. */
function resources(): string[] {
  return process.getActiveResourcesInfo().filter((name) => name !== 'PipeWrap' && name !== 'TTYWrap')
}

/** What there is now and was not before; something of the test runner itself may have gone meanwhile. */
function more(now: readonly string[], before: readonly string[]): string[] {
  const left = [...before]
  return now.filter((name) => {
    const at = left.indexOf(name)
    if (at >= 0) left.splice(at, 1)
    return at < 0
  })
}

/** A server and its sockets are gone some turns of the event loop after they were closed. */
async function assertNoMore(before: readonly string[]): Promise<void> {
  using watch = stopwatch()
  while (more(resources(), before).length > 0 && watch.felt() < 1000) await new Promise(setImmediate)
  assert.deepEqual(more(resources(), before), [])
}

const WAYS: ReadonlyArray<readonly [string, (connection: RawConnection) => void]> = [
  ['accepted', (connection) => connection.send(authFrame())],
  ['refused', (connection) => connection.send(authFrame('ann', 'wrong'))],
  ['malformed', (connection) => connection.send(frame('x'))],
  ['second message', (connection) => connection.send(Buffer.concat([authFrame(), authFrame()]))],
  ['bad frame', (connection) => connection.send(frame('x', { rsv: 1 }))],
  ['too big', (connection) => connection.send(frame('x'.repeat(5000)))],
  ['Close', (connection) => connection.send(closeFrame(1000))],
  ['reset', ({ socket }) => reset(socket)],
  ['half-closed', ({ socket }) => halfClose(socket)],
  ['never decided', (connection) => connection.send(authFrame('slow'))],
  [
    'gone while it is decided',
    (connection) => {
      connection.send(authFrame('slow'))
      setTimeout(() => reset(connection.socket), 20)
    },
  ],
  ['silent', () => undefined],
]

describe('nothing is left that would keep a process alive', () => {
  for (const stack of ['Express', 'Fastify', 'no app'] as StackName[]) {
    it(stack, async () => {
      const before = resources()
      const made = await make(stack, {
        limits: { firstMessage: 100, deadline: 100 },
        guard: (authorization, req) =>
          Buffer.from((authorization ?? '').slice(6), 'base64')
            .toString()
            .startsWith('slow:')
            ? new Promise<Say>(() => undefined)
            : guard(authorization, req),
      })
      const listening = await listen(made.server)
      await Promise.all(
        WAYS.map(async ([, go]) => {
          const connection = await openWaiting(listening)
          go(connection)
          await outcomeOf(connection).catch(() => undefined)
          connection.destroy()
        }),
      )
      await listening.noneOpen(1500)
      await listening.close()
      await assertNoMore(before)
      assert.equal(made.said.filter((one) => !one.startsWith('ended')).length, WAYS.length, made.said.join())
    })
  }

  for (const [name, to] of [
    ['takes it', () => new WebSocketServer({ noServer: true })],
    ['refuses it', () => new WebSocketServer({ noServer: true, verifyClient: () => false })],
    [
      'throws',
      () => () => {
        throw new Error('broken')
      },
    ],
    ['never answers', () => () => undefined],
    [
      'rejects when its client has gone',
      () => async (_req: unknown, socket: { once(event: 'close', call: () => void): unknown }) => {
        await new Promise<void>((resolve) => socket.once('close', resolve))
        throw new Error('gone')
      },
    ],
  ] as ReadonlyArray<readonly [string, () => Library]>) {
    it(`where a library ${name}`, async () => {
      const before = resources()
      const gate = createGate({
        identify: () => ({ subject: 'ann' }),
        firstMessage: { paths: ['/ws'] },
        clock: patientClock,
        limits: { deadline: 100 },
      })
      const route = gate.accept(to())
      const server = createServer(async (req, res) => {
        if (typeof (await guard(req.headers.authorization, req)) === 'string') await route(req, res)
        else res.writeHead(401).end()
      })
      gate.attach(server)
      const { said } = record(gate as never)
      const listening = await listen(server)
      const over = nextEvent(gate as never, 'accepted', 'refused', 'aborted')
      const connection = await openWaiting(listening)
      connection.send(authFrame())
      if (name.startsWith('rejects')) setTimeout(() => reset(connection.socket), 30)
      await over
      connection.destroy()
      await listening.noneOpen(1500)
      await listening.close()
      await assertNoMore(before)
      assert.equal(said.filter((one) => !one.startsWith('ended')).length, 1, said.join())
    })
  }
})
