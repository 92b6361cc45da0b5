import assert from 'node:assert/strict'
import { once, type EventEmitter } from 'node:events'
import { createServer, get, type IncomingMessage, type ServerResponse } from 'node:http'
import { after, describe, test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import onFinished from 'on-finished'
import type { LiveConnection } from '../../src/connections/connection.ts'
import { createGate } from '../../src/index.ts'
import { trapFaults } from '../support/trap.ts'
import { HONO } from './recheck-hono.ts'
import { NEST } from './recheck-nest.ts'
import { gateOptions, start, turns, type Opened, type SessionStack } from './recheck-world.ts'
import { EXPRESS, FASTIFY, KOA } from './session-apps.ts'

const trap = trapFaults()
after(async () => await trap.assertNone())

const STACKS = [EXPRESS[3]!, KOA[0]!, FASTIFY[0]!, HONO[0]!, ...NEST]

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc') as () => void

function listenersOf({ connection }: Opened): Record<string, number> {
  const { socket }: { socket: EventEmitter } = connection as LiveConnection
  return Object.fromEntries(socket.eventNames().map((name) => [String(name), socket.listenerCount(name)]))
}

describe('1000 re-checks of one connection', () => {
  for (const stack of STACKS) {
    test(stack.name, { timeout: 240_000 }, async () => {
      await using site = await start(stack, { gate: { recheck: { every: 100, jitter: 0 } } })
      const warnings: Error[] = []
      const onWarning = (warning: Error): void => void warnings.push(warning)
      process.on('warning', onWarning)
      const opened = await site.openBy(await site.login())
      await turns()
      const before = listenersOf(opened)
      assert.ok(Object.keys(before).length > 0)
      const bytes = opened.received()
      for (let n = 0; n < 1000; n++) await site.recheck(100)
      await turns()
      assert.deepEqual(listenersOf(opened), before)
      assert.equal(opened.received(), bytes)
      assert.equal(site.resources.taken, site.resources.released)
      assert.ok(site.resources.taken >= 1000)
      process.off('warning', onWarning)
      assert.deepEqual(
        warnings.filter(({ name }) => name === 'MaxListenersExceededWarning'),
        [],
      )
    })
  }
})

describe('what the app was asked with is garbage afterwards', () => {
  for (const stack of STACKS) {
    test(stack.name, { timeout: 240_000 }, async () => {
      await using site = await start(stack)
      await site.openBy(await site.login())
      const held = { made: 0, count: 0 }
      const registry = new FinalizationRegistry(() => held.count--)
      site.seen = (...objects) => {
        for (const one of objects) registry.register(one, held.made++)
        held.count += objects.length
      }
      for (let n = 0; n < 25; n++) await site.recheck()
      assert.ok(held.made >= 50)
      // The last one may be held by what Node itself keeps of its last request.
      for (let n = 0; n < 50 && held.count > 4; n++) {
        gc()
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
      assert.ok(held.count <= 4, `${held.count} of ${held.made} are held`)
    })
  }
})

describe('resources that a run of the app holds', () => {
  for (const stack of STACKS) {
    for (const status of [200, 503, 401]) {
      test(`${stack.name}: are let go of where it answers ${status}`, async () => {
        await using site = await start(stack)
        await site.openBy(await site.login())
        site.people.statuses.set('alice', status)
        await site.recheck()
        await turns()
        const { taken, released } = site.resources
        assert.deepEqual([taken, released], [3, 3], 'the login, the handshake, the re-check')
      })
    }
  }
})

/** What an app can see of the end of a response. */
function watch(req: IncomingMessage, res: ServerResponse): string[] {
  const seen: string[] = []
  for (const event of ['close', 'finish', 'error'] as const) res.on(event, () => seen.push(`res ${event}`))
  req.on('close', () => seen.push('req close'))
  req.on('error', () => seen.push('req error'))
  onFinished(res, (_error, { writableFinished, headersSent }) => {
    seen.push(`finished: ${writableFinished}, ${headersSent}`)
  })
  return seen
}

const bare: Pick<SessionStack, 'build'> = {
  async build(world, options) {
    const gate = createGate({ ...gateOptions(world, options), identify: () => ({ subject: 'alice' }) })
    const live = gate.websocket(() => undefined)
    const server = createServer((req, res) => {
      world.seen(req, res)
      if (req.url === '/ws') live(req, res)
    })
    return { server, gate }
  },
}

test('Express and node:http see of an accepted re-check what they see of a client that goes', async () => {
  await using site = await start(bare)
  await site.open({ 'X-Api-Key': 'k' })
  let seen: string[] = []
  let came = (): void => undefined
  site.seen = (req, res) => {
    seen = watch(req as IncomingMessage, res as ServerResponse)
    came()
  }
  await site.recheck()
  await turns()
  const ofRecheck = [...seen]

  const arrived = new Promise<void>((resolve) => (came = resolve))
  const client = get({ port: site.port, host: '127.0.0.1', path: '/hangs' })
  client.on('error', () => undefined)
  await arrived
  client.destroy()
  for (let n = 0; n < 500 && !seen.includes('res close'); n++) await turns(1)
  await turns()
  assert.ok(ofRecheck.includes('res close') && ofRecheck.includes('finished: false, false'))
  assert.deepEqual(ofRecheck.toSorted(), seen.filter((what) => what !== 'req error').toSorted())
})

test('the socket of a re-check has the facts of the real one, and reaches nothing', async () => {
  await using site = await start(bare)
  const opened = await site.open({ 'X-Api-Key': 'k' })
  const real = (opened.connection as LiveConnection).socket as unknown as Record<string, unknown>
  let socket: IncomingMessage['socket'] | undefined
  site.seen = (req) => (socket = (req as IncomingMessage).socket)
  const bytes = opened.received()
  await site.recheck()
  assert.ok(socket !== undefined && (socket as unknown) !== real)
  for (const fact of ['remoteAddress', 'remotePort', 'remoteFamily', 'localAddress', 'localPort'] as const)
    assert.equal(socket[fact], real[fact])
  socket.write('HTTP/1.1 200 OK\r\n\r\n')
  socket.end('more')
  socket.destroy()
  await turns()
  const pong = once(opened.ws, 'pong')
  opened.ws.ping()
  await pong
  assert.equal(opened.received(), bytes + 2, 'more than the pong')
})
