import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { before, describe, it } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { WebSocket } from 'ws'
import { createGate, type Gate, type GateOptions, type IdentityInput } from '../../src/index.ts'
import { makeCertificate, type Certificate } from '../support/certs.ts'
import { listen } from '../support/servers.ts'
import { HeldClock } from '../unit/credentials/helpers.ts'
import { dialWire, quiet } from './races-wire.ts'
import { makeWorld } from './races-world.ts'

// Whoever is asked about together must be let in together: one question never answers for somebody else.

const MINUTE = 60_000
const START = Date.UTC(2026, 10, 23)

async function closeGate(gate: Pick<Gate, 'close'>, clock: HeldClock): Promise<void> {
  const closed = gate.close()
  await quiet()
  clock.pass(2000)
  await closed
}

interface Backend extends AsyncDisposable {
  readonly clock: HeldClock
  readonly server: Server
  readonly gate: Gate
  /** What the app does not let in any more: a value of either header. */
  readonly banned: Set<string>
}

/** An app behind one key, which other servers use for their users: who it is, and from which device, other headers say. */
function backend(options: Partial<GateOptions> = {}): Backend {
  const clock = new HeldClock()
  const banned = new Set<string>()
  const gate = createGate({
    clock,
    recheck: { every: '60s', jitter: 0 },
    identify: ({ headers }: IncomingMessage): IdentityInput => ({ subject: String(headers['x-on-behalf-of']) }),
    ...options,
  })
  const endpoint = gate.websocket(() => undefined)
  const server = createServer((req, res) => {
    const { 'x-api-key': key, 'x-on-behalf-of': user, 'x-device': device } = req.headers
    if (key === 'shared' && !banned.has(String(user)) && !banned.has(String(device))) return endpoint(req, res)
    res.statusCode = 401
    res.end()
  })
  gate.attach(server)
  return { clock, server, gate, banned, [Symbol.asyncDispose]: async () => await closeGate(gate, clock) }
}

const from = (user: string, device: string): Record<string, string> => ({
  'X-Api-Key': 'shared',
  'X-On-Behalf-Of': user,
  'X-Device': device,
})

describe('one credential, and other headers that the app judges by', () => {
  it('a user is not ended by the answer about another one', async () => {
    await using app = backend()
    const ann = dialWire(app.server, '/', from('ann', '1'))
    const bob = dialWire(app.server, '/', from('bob', '2'))
    await quiet()
    app.clock.pass(MINUTE)
    await quiet()
    assert.deepEqual([ann.closed, bob.closed], [undefined, undefined])
  })

  it('a ban of the first user leaves the second one alone', async () => {
    await using app = backend()
    const ann = dialWire(app.server, '/', from('ann', '1'))
    const bob = dialWire(app.server, '/', from('bob', '2'))
    await quiet()
    app.banned.add('ann')
    app.clock.pass(MINUTE)
    await quiet()
    assert.equal(ann.closed?.reason, 'unauthorized')
    assert.equal(bob.closed, undefined)
  })

  it('a device that is banned goes, though another device of the same user may stay', async () => {
    await using app = backend()
    const good = dialWire(app.server, '/', from('ann', '1'))
    const banned = dialWire(app.server, '/', from('ann', '2'))
    await quiet()
    app.banned.add('2')
    app.clock.pass(MINUTE)
    await quiet()
    assert.equal(good.closed, undefined)
    assert.equal(banned.closed?.reason, 'unauthorized')
  })
})

describe('a check that returns the identity that it was given', () => {
  it('gives nobody the rights or the time of another token', async () => {
    const logins = new Map<string, IdentityInput>([
      ['admin', { subject: 'ann', tags: ['read', 'admin'], expiresAt: new Date(START + 60 * MINUTE) }],
      ['reader', { subject: 'ann', tags: ['read'], expiresAt: new Date(START + 5 * MINUTE) }],
    ])
    const free = { at: async () => undefined }
    const world = makeWorld(free, logins, { recheck: { every: '60s', jitter: 0, check: (identity) => identity } })
    try {
      for (const name of logins.keys()) {
        world.dial('/ws', name)
        await quiet()
      }
      const [, reader] = [...world.gate.connections]
      world.clock.pass(MINUTE)
      await quiet()
      assert.deepEqual(reader?.identity.tags, ['read'])
      assert.equal(reader?.expiresAt?.getTime(), START + 5 * MINUTE)
    } finally {
      await world.dispose()
    }
  })
})

describe('client certificates that the app looks at itself', () => {
  let server: Certificate
  let clients: readonly Certificate[]
  before(() => {
    server = makeCertificate()
    clients = [makeCertificate('one'), makeCertificate('two')]
  })

  const fingerprintOf = ({ socket }: IncomingMessage): string =>
    (socket as TLSSocket).getPeerCertificate().fingerprint256 ?? ''

  it('one that was taken off the list ends, though another one may stay', async () => {
    const clock = new HeldClock()
    const known = new Set<string>()
    let isEnrolling = true
    const gate = createGate({ clock, recheck: { every: '60s', jitter: 0 }, identify: () => ({ subject: 'devices' }) })
    const endpoint = gate.websocket(() => undefined)
    const app: RequestListener = (req, res) => {
      if (isEnrolling) known.add(fingerprintOf(req))
      if (known.has(fingerprintOf(req))) return endpoint(req, res)
      res.statusCode = 403
      res.end()
    }
    // Devices have certificates of their own making: no authority has signed them.
    const tls = createTlsServer({ ...server, requestCert: true, rejectUnauthorized: false }, app)
    gate.attach(tls)
    await using at = await listen(tls as unknown as Server)
    const sockets = clients.map(
      ({ key, cert }) =>
        new WebSocket(`wss://localhost:${at.port}/`, {
          key,
          cert,
          ca: server.cert,
          host: '127.0.0.1',
          headers: { 'X-Api-Key': 'shared' },
        }),
    )
    for (const socket of sockets) await once(socket, 'open')
    isEnrolling = false
    const [, second = ''] = known
    known.delete(second)
    const closed = Promise.race(
      sockets.map((socket, n) => once(socket, 'close').then(([code]) => ({ n, code: code as number }))),
    )
    const asked = new Promise<unknown>((resolve) => gate.on('rechecked', resolve))
    clock.pass(MINUTE)
    await asked
    const still = new Promise<string>((resolve) => setTimeout(resolve, 30_000, 'both are open').unref())
    assert.deepEqual(await Promise.race([closed, still]), { n: 1, code: 4403 })
    for (const socket of sockets) socket.terminate()
    await closeGate(gate, clock)
  })
})

describe('one app behind two servers', () => {
  it('what may come by one of them only is asked about there', async () => {
    const clock = new HeldClock()
    const gate = createGate({ clock, recheck: { every: '60s', jitter: 0 }, identify: () => ({ subject: 'ann' }) })
    const endpoint = gate.websocket(() => undefined)
    const shut = new Set<number | undefined>()
    const app: RequestListener = (req, res) => {
      if (!shut.has(req.socket.localPort)) return endpoint(req, res)
      res.statusCode = 403
      res.end()
    }
    const servers = [createServer(), createServer()] as const
    for (const server of servers) {
      server.on('request', app)
      gate.attach(server, { app })
    }
    await using inner = await listen(servers[0])
    await using outer = await listen(servers[1])
    const sockets = [inner, outer].map(
      ({ port }) => new WebSocket(`ws://127.0.0.1:${port}/`, { headers: { Host: 'localhost', 'X-Api-Key': 'shared' } }),
    )
    for (const socket of sockets) await once(socket, 'open')
    shut.add(outer.port)
    const closed = once(sockets[1]!, 'close').then(([code]) => code as number)
    const asked = new Promise<unknown>((resolve) => gate.on('rechecked', resolve))
    clock.pass(MINUTE)
    await asked
    const still = new Promise<string>((resolve) => setTimeout(resolve, 30_000, 'it is open').unref())
    assert.equal(await Promise.race([closed, still]), 4403)
    for (const socket of sockets) socket.terminate()
    await closeGate(gate, clock)
  })
})
