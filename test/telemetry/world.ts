import { EventEmitter, once } from 'node:events'
import { randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import { setImmediate } from 'node:timers/promises'
import express, { type RequestHandler } from 'express'
import { WebSocket, WebSocketServer } from 'ws'
import { createGate, memoryCluster, type Gate, type GateEvent, type IdentityInput } from '../../src/index.ts'
import { dial, type Dialled } from '../libraries/support.ts'
import { listen, type Listening } from '../support/servers.ts'
import { HeldClock } from '../unit/credentials/helpers.ts'

/** What the app says to whoever comes with a token. */
export interface Person {
  identity: IdentityInput
  /** Anything but 200 refuses. */
  status: number
  /** What `identify` throws. */
  fails?: Error
}

/** An app with a login by bearer token, its gate, and time that moves when it is told to. */
export interface World extends AsyncDisposable {
  readonly gate: Gate
  readonly clock: HeldClock
  readonly listening: Listening
  /** Says 'asked' when the app has got a handshake that it never answers. */
  readonly hanging: EventEmitter
  /** How long the app's login takes, in milliseconds. */
  delay: number
  /** The engine of the cluster gives no answer. */
  isCut: boolean
  /** Lets time pass, second by second, until it is so. */
  until(isSo: () => boolean): Promise<void>
  /** Somebody whom the app lets in. */
  meet(token: string, identity: IdentityInput): Person
  dial(token: string, path?: string, headers?: Readonly<Record<string, string>>): Promise<Dialled>
  /** @throws where the answer is not 101. */
  open(token: string, path?: string): Promise<WebSocket>
  post(token: string, path: string): Promise<Response>
}

/** Waits for so many events of this type. */
export async function heardTimes(gate: Gate, type: GateEvent['type'], times: number): Promise<void> {
  let left = times
  await new Promise<void>((resolve) => {
    const off = gate.on(type, () => {
      left -= 1
      if (left > 0) return
      off()
      resolve()
    })
  })
}

/** The next event of this type. */
export function heard<Type extends GateEvent['type']>(gate: Gate, type: Type): Promise<GateEvent & { type: Type }> {
  return new Promise((resolve) => {
    const off = gate.on(type, (event) => {
      off()
      resolve(event as GateEvent & { type: Type })
    })
  })
}

/** @param first - a middleware before all others. */
export async function createWorld(first?: RequestHandler): Promise<World> {
  const clock = new HeldClock()
  const hanging = new EventEmitter()
  const people = new Map<string, Person>()
  const personOf = (authorization = ''): Person | undefined => people.get(authorization.replace('Bearer ', ''))
  const engine = memoryCluster(clock)()
  const hung = new Promise<never>(() => undefined)
  const cluster = {
    ...engine,
    read: async (after: number, limit: number) => await (world.isCut ? hung : engine.read(after, limit)),
  }
  const gate = createGate({
    cluster,
    secret: randomBytes(32),
    onClusterLoss: { then: 'keep' },
    identify(req) {
      const person = personOf(req.headers.authorization)
      if (person?.fails) throw person.fails
      return person?.identity
    },
    clock,
    recheck: { every: '60s', jitter: 0 },
    firstMessage: { paths: ['/live/message'] },
  })
  const requireLogin: RequestHandler = (req, res, next) => {
    const status = personOf(req.headers.authorization)?.status ?? 401
    clock.pass(world.delay)
    // Never reaches the client, which the gate warns of.
    if (gate.phase(req) === 'message') res.cookie('login', 'cookie-of-the-app')
    if (status === 200) next()
    else res.status(status).end()
  }
  const app = express()
  const broken = gate.websocket(() => {
    throw new Error('the handler is broken')
  })
  const endpoint = gate.websocket((socket) => socket.on('message', (data) => socket.send(data)))
  if (first !== undefined) app.use(first)
  app.get('/hang', () => hanging.emit('asked'))
  app.post('/live/ticket', requireLogin, gate.ticket('/live'))
  app.post('/live/renew', requireLogin, gate.renew())
  app.get('/live/broken', requireLogin, broken)
  const library = new WebSocketServer({ noServer: true, verifyClient: () => false })
  app.get('/live/library', requireLogin, gate.accept(library))
  app.get(/^\/live/, requireLogin, endpoint)
  const server = createServer(app)
  gate.attach(server)
  const listening = await listen(server)
  const { port } = listening
  const authorization = (token: string): Record<string, string> =>
    token === '' ? {} : { Authorization: `Bearer ${token}` }
  const world: World = {
    gate,
    clock,
    listening,
    hanging,
    delay: 0,
    isCut: false,
    async until(isSo) {
      while (!isSo()) {
        clock.pass(1000)
        await setImmediate()
      }
    },
    meet(token, identity) {
      const person = { identity, status: 200 }
      people.set(token, person)
      return person
    },
    dial: async (token, path = '/live', headers = {}) =>
      await dial(port, path, { headers: { ...authorization(token), ...headers } }),
    async open(token, path) {
      const { ws, status } = await world.dial(token, path)
      if (status !== 101) throw new Error(`The answer is ${status}.`)
      return ws
    },
    post: async (token, path) =>
      await fetch(`http://127.0.0.1:${port}${path}`, {
        method: 'POST',
        headers: { ...authorization(token), 'Content-Type': 'application/json' },
        body: '{}',
      }),
    [Symbol.asyncDispose]: () => listening.close(),
  }
  await world.until(() => gate.ready)
  return world
}

/** Opens a WebSocket without a credential, and sends it as a message: again for each call of `send`. */
export async function openByMessage(world: World): Promise<{ ws: WebSocket; send(token: string): Promise<unknown> }> {
  const ws = await world.open('', '/live/message')
  const send = async (token: string): Promise<unknown> => {
    const answer = once(ws, 'message')
    ws.send(JSON.stringify({ type: 'auth', token }))
    return JSON.parse(String((await answer)[0]))
  }
  return { ws, send }
}

/** Starts a handshake that gets no answer, and goes away. */
export async function abandon({ gate, listening, hanging }: World): Promise<void> {
  const aborted = heard(gate, 'aborted')
  const asked = once(hanging, 'asked')
  const ws = new WebSocket(`ws://127.0.0.1:${listening.port}/hang`)
  ws.on('error', () => undefined)
  await asked
  ws.terminate()
  await aborted
}
