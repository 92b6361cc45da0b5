import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { ConnectionOptions, TLSSocket } from 'node:tls'
import { describe, it } from 'node:test'
import { WebSocket, type ClientOptions } from 'ws'
import { createGate, type Gate, type IdentityInput } from '../../src/index.ts'
import { makeCertificate } from '../support/certs.ts'
import { listen } from '../support/servers.ts'
import { HeldClock } from '../unit/credentials/helpers.ts'
import { quiet } from './races-wire.ts'

// Sockets of the kernel: one that is gone does not know any more what it knew.

interface Tabs {
  readonly gate: Gate
  readonly clock: HeldClock
  /** Settles when the app is asked again. */
  readonly asked: Promise<void>
  /** Lets the app go on, which has read the session. */
  go(): void
  readonly app: RequestListener
}

/** An app that looks at the socket after it has read the session. */
function tabsOf(lets: (req: IncomingMessage) => boolean): Tabs {
  const clock = new HeldClock()
  const gate = createGate({
    clock,
    recheck: { every: '60s', jitter: 0 },
    identify: (): IdentityInput => ({ subject: 'ann' }),
  })
  const endpoint = gate.websocket(() => undefined)
  let begun = (): void => undefined
  let go = (): void => undefined
  const asked = new Promise<void>((resolve) => (begun = resolve))
  const session = new Promise<void>((resolve) => (go = resolve))
  const app: RequestListener = (req, res) => {
    void (async () => {
      if (gate.phase(req) === 'recheck') {
        begun()
        await session
      }
      if (lets(req)) return endpoint(req, res)
      res.statusCode = 403
      return res.end()
    })()
  }
  return { gate, clock, asked, go: () => go(), app }
}

/** One of two goes while both are asked about. @returns the code with which the other one was closed. */
async function oneGoes({ gate, clock, asked, go }: Tabs, dial: () => WebSocket): Promise<number | undefined> {
  const [first, second] = [dial(), dial()]
  for (const ws of [first, second]) await once(ws, 'open')
  let code: number | undefined
  const closed = once(second, 'close').then(([given]) => void (code = given as number))
  clock.pass(60_000)
  await asked
  const gone = new Promise<void>((resolve) => void gate.on('ended', () => resolve()))
  first.terminate()
  await gone
  const rechecked = new Promise<void>((resolve) => void gate.on('rechecked', () => resolve()))
  go()
  await rechecked
  await quiet()
  const end = gate.connections.size === 0 ? closed : undefined
  await end
  second.terminate()
  await closed
  const over = gate.close()
  await quiet()
  clock.pass(2000)
  await over
  return end === undefined ? undefined : code
}

describe('two connections of one credential, of which one goes while the app is asked', () => {
  it('the app looks at the address: the other one stays', async () => {
    const tabs = tabsOf(({ socket }) => socket.remoteAddress === '127.0.0.1')
    const server = createServer(tabs.app)
    tabs.gate.attach(server)
    await using at = await listen(server)
    const options: ClientOptions = { headers: { 'X-Api-Key': 'shared' } }
    assert.equal(await oneGoes(tabs, () => new WebSocket(`ws://127.0.0.1:${at.port}/`, options)), undefined)
  })

  it('the app looks at the port that it was reached by: the other one stays', async () => {
    let port = 0
    const tabs = tabsOf(({ socket }) => socket.localPort === port)
    const server = createServer(tabs.app)
    tabs.gate.attach(server)
    await using at = await listen(server)
    port = at.port
    const options: ClientOptions = { headers: { 'X-Api-Key': 'shared' } }
    assert.equal(await oneGoes(tabs, () => new WebSocket(`ws://127.0.0.1:${at.port}/`, options)), undefined)
  })

  it('the app looks at the client certificate: the other one stays', async () => {
    const [certificate, client] = [makeCertificate(), makeCertificate('one')]
    const tabs = tabsOf(({ socket }) => (socket as TLSSocket).getPeerCertificate().fingerprint256 !== undefined)
    const server = createTlsServer({ ...certificate, requestCert: true, rejectUnauthorized: false }, tabs.app)
    tabs.gate.attach(server)
    await using at = await listen(server as unknown as Server)
    const { key, cert } = client
    const options = { key, cert, ca: certificate.cert, host: '127.0.0.1', headers: { 'X-Api-Key': 'shared' } }
    assert.equal(await oneGoes(tabs, () => new WebSocket(`wss://localhost:${at.port}/`, options)), undefined)
  })
})

describe('one credential, by two addresses or names of one server', () => {
  /** @returns the codes with which they were closed, after the app has shut one of both doors. */
  async function oneIsShut(
    gate: Gate,
    clock: HeldClock,
    shut: () => void,
    dials: ReadonlyArray<() => WebSocket>,
  ): Promise<ReadonlyArray<number | undefined>> {
    const codes: Array<number | undefined> = dials.map(() => undefined)
    const sockets: WebSocket[] = []
    for (const dial of dials) {
      const ws = dial()
      sockets.push(ws)
      await once(ws, 'open')
    }
    const closed = sockets.map((ws, n) => once(ws, 'close').then(([code]) => void (codes[n] = code as number)))
    shut()
    const rechecked = new Promise<void>((resolve) => void gate.on('rechecked', () => resolve()))
    clock.pass(60_000)
    await rechecked
    await quiet()
    if (gate.connections.size < sockets.length) await Promise.race(closed)
    const found = [...codes]
    for (const ws of sockets) ws.terminate()
    await Promise.all(closed)
    const over = gate.close()
    await quiet()
    clock.pass(2000)
    await over
    return found
  }

  const gateOf = (clock: HeldClock): Gate =>
    createGate({ clock, recheck: { every: '60s', jitter: 0 }, identify: (): IdentityInput => ({ subject: 'ann' }) })

  it('what may come by one address only is asked about there', async () => {
    const clock = new HeldClock()
    const gate = gateOf(clock)
    const endpoint = gate.websocket(() => undefined)
    const shut = new Set<string | undefined>()
    const server = createServer((req, res) => {
      if (!shut.has(req.socket.localAddress)) return endpoint(req, res)
      res.statusCode = 403
      return res.end()
    })
    gate.attach(server)
    await using at = await listen(server, '0.0.0.0')
    const options = { localAddress: '127.0.0.1', headers: { Host: 'localhost', 'X-Api-Key': 'shared' } }
    const dials = ['127.0.0.1', '127.0.0.2'].map((to) => () => new WebSocket(`ws://${to}:${at.port}/`, options))
    assert.deepEqual(await oneIsShut(gate, clock, () => shut.add('127.0.0.2'), dials), [undefined, 4403])
  })

  it('what may come by one TLS name only is asked about there', async () => {
    const certificate = makeCertificate()
    const clock = new HeldClock()
    const gate = gateOf(clock)
    const endpoint = gate.websocket(() => undefined)
    const shut = new Set<unknown>()
    const server = createTlsServer(certificate, (req, res) => {
      if (!shut.has((req.socket as TLSSocket & { servername?: unknown }).servername)) return endpoint(req, res)
      res.statusCode = 403
      return res.end()
    }) as unknown as Server
    gate.attach(server)
    await using at = await listen(server)
    const dials = ['one.example', 'two.example'].map((servername) => {
      const headers = { Host: 'localhost', 'X-Api-Key': 'shared' }
      const options: ConnectionOptions & ClientOptions = { servername, rejectUnauthorized: false, headers }
      return () => new WebSocket(`wss://127.0.0.1:${at.port}/`, options)
    })
    assert.deepEqual(await oneIsShut(gate, clock, () => shut.add('two.example'), dials), [undefined, 4403])
  })
})
