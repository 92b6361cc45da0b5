import assert from 'node:assert/strict'
import { createReadStream } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import { connect } from 'node:net'
import { pipeline, Readable } from 'node:stream'
import { describe, it } from 'node:test'
import express from 'express'
import { createGate } from '../../src/index.ts'
import { makeCertificate } from '../support/certs.ts'
import { findOpenssl, skipWithout } from '../support/debian.ts'
import { frame } from '../support/frames.ts'
import { connectRaw, halfClose, handshakeText, reset, type RawConnection } from '../support/raw.ts'
import { listen, type Listening } from '../support/servers.ts'
import { trapFaults } from '../support/trap.ts'
import { APPS, KEY, pendingDecision } from './apps.ts'

const headers = { 'X-Api-Key': KEY }
const text = handshakeText({ headers })
const turns = async (count = 20): Promise<void> => {
  for (let n = 0; n < count; n++) await new Promise(setImmediate)
}

/** Everything that an app may still do with a response whose verdict has fallen. Each alone, and what it throws is the app's. */
const LATE: Readonly<Record<string, (res: ServerResponse, req: IncomingMessage) => unknown>> = {
  'end()': (res) => res.end('late'),
  'write()': (res) => res.write('late'),
  'write() with a callback': (res) => new Promise((resolve) => res.write('late', resolve)),
  'writeHead(101)': (res) => res.writeHead(101, { Upgrade: 'websocket' }).end(),
  'flushHeaders()': (res) => res.flushHeaders(),
  'writeContinue()': (res) => res.writeContinue(),
  'writeEarlyHints()': (res) => res.writeEarlyHints({ link: '</a>; rel=preload' }),
  'raw bytes on its socket': (res) => res.socket?.write('HTTP/1.1 101 Switching Protocols\r\n\r\n'),
  'end of its socket': (res) => res.socket?.end('late'),
  'pipe()': (res) => Readable.from(['late']).pipe(res),
  'pipeline()': (res) => pipeline(createReadStream(import.meta.filename), res, () => undefined),
  'pipeline() of a broken stream': (res) =>
    pipeline(
      new Readable({
        read() {
          this.destroy(new Error('broken'))
        },
      }),
      res,
      () => undefined,
    ),
  'destroy() with an error': (res) => res.destroy(new Error('late')),
  'reading the request': (_res, req) => req.on('data', () => undefined).resume(),
}

/** How the verdict came about; after it the app goes on. */
const VERDICTS = ['accepted', 'refused', 'deadline', 'gone'] as const

for (const [name, make] of Object.entries(APPS)) {
  describe(`${name}: what the app does after the verdict reaches nobody, and harms nobody`, () => {
    for (const verdict of VERDICTS) {
      it(verdict, async () => {
        const trap = trapFaults()
        for (const [what, late] of Object.entries(LATE)) {
          let kept: [IncomingMessage, ServerResponse] | undefined
          const decision = pendingDecision()
          const made = await make(
            async (req, res) => {
              if (req.headers['x-first'] === undefined) return
              kept = [req, res]
              if (verdict === 'deadline' || verdict === 'gone') await decision.wait()
            },
            { limits: { deadline: verdict === 'deadline' ? 60 : 5000 } },
          )
          await using listening = await listen(made.server)
          await using connection = await connectRaw(listening)
          connection.send(
            handshakeText({ headers: { 'X-First': '1', 'X-Api-Key': verdict === 'refused' ? 'wrong' : KEY } }),
          )
          await settle(verdict, connection, decision)
          const before = connection.received().length
          assert.ok(kept !== undefined)
          try {
            const [req, res] = kept
            // A callback that never comes is the app's own wait.
            await Promise.race([late(res, req), turns()])
          } catch {
            // Thrown at the app, as over HTTP.
          }
          await turns()
          if (verdict === 'accepted') await assertEcho(connection, before, what)
          else assert.equal(connection.received().length, before, what)
          decision.decide()
          await turns(3)
          await assertAlive(listening, what)
        }
        await trap.assertNone()
      })
    }
  })
}

async function settle(
  verdict: (typeof VERDICTS)[number],
  connection: RawConnection,
  decision: ReturnType<typeof pendingDecision>,
): Promise<void> {
  if (verdict !== 'gone') {
    const { status } = await connection.response()
    assert.equal(status, { accepted: 101, refused: 401, deadline: 503 }[verdict])
    return
  }
  await decision.asked
  reset(connection.socket)
  await turns()
}

/** Nothing but the echo comes: no byte of HTTP has got in between. */
async function assertEcho(connection: RawConnection, before: number, what: string): Promise<void> {
  connection.send(frame('still'))
  const [first] = await connection.frames(1)
  assert.equal(first?.text, 'still', what)
  assert.equal(connection.received().length, before + 2 + 'still'.length, what)
}

async function assertAlive(listening: Listening, what: string): Promise<void> {
  await using connection = await connectRaw(listening)
  connection.send(text)
  assert.equal((await connection.response()).status, 101, `control after ${what}`)
}

describe('on TLS', { skip: skipWithout(findOpenssl()) }, () => {
  for (const [how, go] of [
    ['resets', reset],
    ['half-closes', halfClose],
  ] as const) {
    it(`a client that ${how} while the app decides harms nobody`, async () => {
      const trap = trapFaults()
      const decision = pendingDecision()
      const app = express()
      const gate = createGate({ identify: () => ({ subject: 'ann' }) })
      let first = true
      app.get(
        '/ws',
        async (_req, _res, next) => {
          if (first) await decision.wait()
          first = false
          next()
        },
        gate.websocket((socket) => socket.on('message', (data) => socket.send(String(data)))),
      )
      const server = createServer(makeCertificate(), app)
      gate.attach(server)
      const aborted = new Promise((resolve) => {
        gate.on('aborted', resolve)
      })
      await using listening = await listen(server)
      const tcp = connect(listening.port, '127.0.0.1')
      const connection = await connectRaw({ port: listening.port, tls: { socket: tcp } })
      connection.send(text)
      await decision.asked
      go(how === 'resets' ? tcp : connection.socket)
      await aborted
      decision.decide()
      await listening.noneOpen()
      assert.equal(gate.connections.size, 0)
      connection.destroy()
      await using next = await connectRaw({ port: listening.port, tls: true })
      next.send(text)
      next.send(frame('alive'))
      assert.equal((await next.frames(1))[0]?.text, 'alive')
      await trap.assertNone()
    })
  }

  it('a refused client that never closes is gone all the same', async () => {
    const app = express()
    const gate = createGate({ identify: () => ({ subject: 'ann' }) })
    const server = createServer(makeCertificate(), app)
    gate.attach(server)
    await using listening = await listen(server)
    const connections = await Promise.all(
      Array.from({ length: 10 }, async (_, n) => {
        const connection = await connectRaw({ port: listening.port, tls: true })
        connection.send(n % 2 === 0 ? text : handshakeText({ target: '//' }))
        await connection.response()
        return connection
      }),
    )
    await listening.noneOpen(1500)
    for (const connection of connections) connection.destroy()
  })
})
