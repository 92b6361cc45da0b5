import { createServer, type IncomingMessage, type Server } from 'node:http'
import {
  createGate,
  type ClusterEvent,
  type Gate,
  type GateEvent,
  type GateOptions,
  type IdentityInput,
} from '../../src/index.ts'
import type { Clock } from '../../src/core/clock.ts'
import { stateOf, type GateState } from '../../src/gate/state.ts'
import { dialWire, postWire, quiet, type Client } from '../life/races-wire.ts'
import { HeldClock } from '../unit/credentials/helpers.ts'
import { FaultyMemory, type FaultyEngine } from './faulty.ts'

export const OLD = 'Vq3kz0Wm8Lr5Tn1Xy7Hs2Bd9Gf4Jc6PaQeUoZiRt'
export const NEW = 'Kd7Wq1Zt5Yx9Nb3Vm8Cs2Rf6Hg4Lp0JoAeTuXiEy'

/** The clock of one node: as all of them go, and off by something. */
class SkewedClock implements Clock {
  readonly #true: Clock
  skew = 0

  constructor(clock: Clock) {
    this.#true = clock
  }

  now(): number {
    return this.#true.now() + this.skew
  }

  after(ms: number, call: () => void): () => void {
    return this.#true.after(ms, call)
  }
}

export interface Node {
  readonly gate: Gate
  readonly state: GateState
  readonly engine: FaultyEngine
  readonly clock: SkewedClock
  readonly events: GateEvent[]
  dial(login: string): Promise<Client>
  post(path: string, login: string): Promise<{ readonly status: number; readonly body: Record<string, unknown> }>
  /** What it has said of the cluster. */
  said(): string[]
  open(): string[]
  close(): Promise<void>
}

export type NodeOptions = Partial<GateOptions<IncomingMessage>> & {
  readonly skew?: number
  readonly prepare?: (engine: FaultyEngine) => unknown
}

const START = Date.UTC(2026, 10, 23)
const HOUR = 3_600_000

/** Several gates on one memory, with one time, and the logins of one app. */
export class ClusterWorld {
  readonly clock = new HeldClock()
  readonly memory = new FaultyMemory(this.clock)
  readonly nodes: Node[] = []
  readonly logins = new Map<string, IdentityInput>()

  /** So many nodes, all of them live. */
  static async of(count: number, options: NodeOptions = {}): Promise<ClusterWorld> {
    const world = new ClusterWorld()
    for (let n = 0; n < count; n++) world.add(options)
    await world.pass(4000)
    return world
  }

  add({ skew = 0, prepare = () => undefined, ...options }: NodeOptions = {}): Node {
    for (const name of ['ann', 'bob', 'eve'])
      if (!this.logins.has(name))
        this.logins.set(name, { subject: name, session: `s-${name}`, issuedAt: new Date(START - HOUR) })
    const node = makeNode(this, skew, prepare, options)
    this.nodes.push(node)
    return node
  }

  /** Who has logged in just now. */
  login(name: string, more: Partial<IdentityInput> = {}): string {
    this.logins.set(name, { subject: name, session: `s-${name}`, issuedAt: new Date(this.clock.now()), ...more })
    return name
  }

  /** Time goes on, and all that is to happen meanwhile happens. */
  async pass(ms: number): Promise<void> {
    await settle()
    for (let left = ms; left > 0; left -= 250) {
      this.clock.pass(Math.min(left, 250))
      await settle()
    }
  }

  /** What has become of it when so much time has passed. */
  async within<T>(ms: number, promise: Promise<T>): Promise<T | 'open' | Error> {
    const got: Array<{ readonly value: T | Error }> = []
    promise.then(
      (value) => got.push({ value }),
      (error: Error) => got.push({ value: error }),
    )
    await settle()
    for (let left = ms; left > 0 && got.length === 0; left -= 250) await this.pass(Math.min(left, 250))
    const [settled] = got
    return settled === undefined ? 'open' : settled.value
  }

  async stop(): Promise<void> {
    for (const { engine } of this.nodes) engine.heal()
    for (const node of this.nodes) {
      const closed = node.close()
      await this.within(30_000, closed)
    }
  }
}

async function settle(): Promise<void> {
  await quiet()
}

function makeNode(
  world: ClusterWorld,
  skew: number,
  prepare: (engine: FaultyEngine) => unknown,
  options: Partial<GateOptions<IncomingMessage>>,
): Node {
  const engine = world.memory.engine()
  prepare(engine)
  const clock = new SkewedClock(world.clock)
  clock.skew = skew
  const events: GateEvent[] = []
  const gate = createGate({
    clock,
    secret: OLD,
    cluster: engine.port,
    identify: (req: IncomingMessage) => world.logins.get(String(req.headers['x-login'])),
    credentialHeaders: ['x-login'],
    recheck: false,
    ...options,
  } as GateOptions<IncomingMessage>)
  gate.on('*', (event) => events.push(event))
  const server = makeServer(world, gate)
  gate.attach(server)
  return {
    gate,
    state: stateOf(gate),
    engine,
    clock,
    events,
    async dial(login) {
      const client = dialWire(server, '/ws', { 'x-login': login })
      await settle()
      return client
    },
    post: (path, login) => postWire(server, path, { 'x-login': login }),
    said: () => events.flatMap((event) => (event.type === 'cluster' ? [saying(event)] : [])),
    open: () => [...gate.connections].map(({ identity }) => identity.subject),
    close: () => gate.close(),
  }
}

function saying({ outcome, why }: ClusterEvent): string {
  return why === undefined ? outcome : `${outcome} ${why}`
}

function makeServer(world: ClusterWorld, gate: Gate): Server {
  const routes = new Map([
    ['/ws', gate.websocket((socket) => void socket.on('message', () => undefined))],
    ['/renew', gate.renew()],
    ['/ticket', gate.ticket('/ws')],
  ])
  return createServer((req, res) => {
    if (world.logins.has(String(req.headers['x-login']))) return routes.get(req.url?.split('?')[0] ?? '')?.(req, res)
    res.statusCode = 401
    res.end()
  })
}
