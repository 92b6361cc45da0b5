import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { describe, it } from 'node:test'
import express from 'express'
import { WebSocketServer, type WebSocket } from 'ws'
import { createGate, type CloseCodesOption, type Gate } from '../../src/index.ts'
import { dial, KEY, requireKey } from '../libraries/support.ts'
import { listen, type Listening } from '../support/servers.ts'
import { HeldClock } from '../unit/credentials/helpers.ts'

interface Served {
  readonly gate: Gate
  readonly listening: Listening
}

async function serve(ofGate?: CloseCodesOption, ofRoute?: CloseCodesOption): Promise<Served> {
  const app = express()
  const gate = createGate({
    identify: () => ({ subject: 'ann' }),
    ...(ofGate === undefined ? {} : { closeCodes: ofGate }),
  })
  const options = ofRoute === undefined ? {} : { closeCodes: ofRoute }
  app.get(
    '/own',
    requireKey,
    gate.websocket(() => undefined, { ...options, protocols: ['graphql-transport-ws', 'chat'] }),
  )
  const select = (offered: Set<string>): string | false => [...offered][0] ?? false
  app.get(
    '/library',
    requireKey,
    gate.accept(new WebSocketServer({ noServer: true, handleProtocols: select }), options),
  )
  const server = createServer(app)
  gate.attach(server)
  return { gate, listening: await listen(server) }
}

async function open({ listening }: Served, path: string, protocols: string[] = []): Promise<WebSocket> {
  const { ws, status } = await dial(listening.port, path, { headers: KEY }, protocols)
  assert.equal(status, 101)
  return ws
}

async function closeOf(ws: WebSocket): Promise<[code: number, reason: string]> {
  const [code, reason] = (await once(ws, 'close')) as [number, Buffer]
  return [code, String(reason)]
}

/** What the client of each endpoint sees when its subject is revoked, and when the app ends it. */
async function codesOf(served: Served, path: string, protocols: string[] = []): Promise<number[]> {
  const codes: number[] = []
  const revoked = await open(served, path, protocols)
  const first = closeOf(revoked)
  await served.gate.revoke({ subject: 'ann' })
  const [code, reason] = await first
  assert.equal(reason, 'revoked')
  codes.push(code)
  const ended = await open(served, path, protocols)
  const second = closeOf(ended)
  for (const connection of served.gate.connections) connection.end('out')
  codes.push((await second)[0])
  return codes
}

const CASES: ReadonlyArray<
  readonly [name: string, ofGate: CloseCodesOption | undefined, ofRoute: CloseCodesOption | undefined, codes: number[]]
> = [
  ['by default', undefined, undefined, [4401, 4403]],
  ['iana', 'iana', undefined, [3000, 3003]],
  ['of the route', 'iana', 'default', [4401, 4403]],
  ['some kinds of its own', { revoked: 4999 }, undefined, [4999, 4403]],
  ['trpc', undefined, 'trpc', [4401, 4403]],
]

describe('close codes', () => {
  for (const path of ['/own', '/library']) {
    for (const [name, ofGate, ofRoute, codes] of CASES) {
      it(`${path}: ${name}`, async () => {
        const served = await serve(ofGate, ofRoute)
        await using _listening = served.listening
        assert.deepEqual(await codesOf(served, path), codes)
      })
    }

    it(`${path}: what a graphql-ws client understands, where that is what is spoken`, async () => {
      const served = await serve()
      await using _listening = served.listening
      const ws = await open(served, path, ['graphql-transport-ws'])
      const closed = closeOf(ws)
      for (const connection of served.gate.connections) connection.end('out')
      assert.equal((await closed)[0], 4403)
      assert.deepEqual(await codesOf(served, path, ['graphql-transport-ws']), [4401, 4403])
    })
  }

  it('an expired login comes back with graphql-ws: 4403, because its clients take 4401 for good', async () => {
    const app = express()
    const clock = new HeldClock()
    const gate = createGate({
      clock,
      identify: () => ({ subject: 'ann', expiresAt: new Date(clock.now() + 300) }),
      recheck: false,
    })
    app.get(
      '/own',
      requireKey,
      gate.websocket(() => undefined, { protocols: ['graphql-transport-ws', 'chat'] }),
    )
    const server = createServer(app)
    gate.attach(server)
    await using listening = await listen(server)
    const served = { gate, listening }
    const sockets = [await open(served, '/own', ['graphql-transport-ws']), await open(served, '/own', ['chat'])]
    const closes = sockets.map(closeOf)
    clock.pass(300)
    const [graphql, chat] = await Promise.all(closes)
    assert.deepEqual(
      [graphql, chat],
      [
        [4403, 'expired'],
        [4401, 'expired'],
      ],
    )
  })

  it('a route with codes that no server may send is an error at start', () => {
    const gate = createGate({ identify: () => null })
    const wrong = { code: 'GATE101_CONFIG', message: /closeCodes/ }
    assert.throws(() => gate.websocket(() => undefined, { closeCodes: { expired: 1000 } }), wrong)
    assert.throws(() => gate.accept(new WebSocketServer({ noServer: true }), { closeCodes: 'none' as 'iana' }), wrong)
  })
})
