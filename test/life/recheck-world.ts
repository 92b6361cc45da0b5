import { once, EventEmitter } from 'node:events'
import type { Server } from 'node:http'
import { mock } from 'node:test'
import { WebSocket } from 'ws'
import type { Connection, Gate, GateEvent, GateOptions, RecheckedEvent, SessionStoreLike } from '../../src/index.ts'
import { cookiesOf, PLAIN } from '../middleware/served.ts'
import { handshake, rawRequest, type RawResponse } from '../support/raw.ts'
import { listen, type Listening } from '../support/servers.ts'
import { HeldClock } from '../unit/credentials/helpers.ts'
import { Rows } from './recheck-rows.ts'

export const SECOND = 1000
export const MINUTE = 60 * SECOND
export const HOUR = 60 * MINUTE
/** How long a session lives that nobody uses. */
export const IDLE = 30 * MINUTE

/** The one time of all: session middlewares read `Date`, the gate reads its clock. */
export class Wall extends HeldClock {
  constructor() {
    super()
    mock.timers.reset()
    mock.timers.enable({ apis: ['Date'], now: this.now() })
  }

  override after(ms: number, call: () => void): () => void {
    return super.after(ms, () => {
      mock.timers.setTime(this.now())
      call()
    })
  }

  override pass(ms: number): void {
    super.pass(ms)
    mock.timers.setTime(this.now())
  }

  stop(): void {
    mock.timers.reset()
  }
}

/** Where code waits that a test holds up. */
export class Points {
  /** What was passed, in order. */
  readonly passed: string[] = []
  #wanted: { readonly label: string; readonly reached: (go: () => void) => void } | undefined

  async at(label: string): Promise<void> {
    this.passed.push(label)
    const wanted = this.#wanted
    if (wanted?.label !== label) return
    this.#wanted = undefined
    await new Promise<void>((go) => wanted.reached(go))
  }

  /** Holds up the next one who comes there, and nobody after; resolves with what lets it go on. */
  hold(label: string): Promise<() => void> {
    return new Promise((reached) => {
      this.#wanted = { label, reached }
    })
  }
}

/** The users of an app, as its guard knows them: the status that it answers with, 200 for those it lets in. */
export class People {
  readonly statuses = new Map<string, number>()
  /** How often the guard has asked. */
  asked = 0
  readonly #points: Points

  constructor(points: Points) {
    this.#points = points
  }

  async statusOf(name: string): Promise<number> {
    this.asked++
    await this.#points.at('guard: before the user is read')
    const status = this.statuses.get(name) ?? 200
    await this.#points.at('guard: after the user is read')
    return status
  }
}

/** What an app is made of. */
export interface World {
  readonly clock: Wall
  readonly points: Points
  readonly people: People
  readonly rows: Rows
  /** What each run of the app takes at its beginning and gives back at its end. */
  readonly resources: { taken: number; released: number }
  /** Gets the objects of each run of the app. */
  seen: (...objects: object[]) => void
}

/** How a test wants the app to be. */
export interface AppOptions {
  /** Writes into the session at each request, as many do with the time of the last one. */
  readonly notes?: boolean
  /** Gives the gate the store. */
  readonly watched?: boolean
  readonly gate?: Pick<GateOptions<never>, 'recheck' | 'limits' | 'maxAge' | 'secret'>
}

export interface Built {
  readonly server: Server
  readonly gate: Pick<Gate, 'on' | 'connections' | 'close' | 'attach' | 'revoke'>
  readonly store?: SessionStoreLike | undefined
  readonly close?: () => Promise<unknown>
}

/** One session middleware in one framework. */
export interface SessionStack {
  readonly name: string
  /** Where the session is: what is in a cookie cannot be withdrawn. */
  readonly keeps: 'store' | 'cookie'
  /** Whether using the session over HTTP gives it more time. */
  readonly moves: boolean
  build(world: World, options: AppOptions): Promise<Built>
}

export interface Opened {
  readonly ws: WebSocket
  readonly connection: Connection
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>
  /** Bytes that the server has sent to it. */
  received(): number
}

export interface Site extends World, AsyncDisposable {
  readonly port: number
  readonly server: Server
  readonly gate: Built['gate']
  readonly store: SessionStoreLike | undefined
  readonly events: GateEvent[]
  login(name?: string): Promise<string>
  /** A plain request. */
  ask(method: 'GET' | 'POST', path: string, cookie: string): Promise<RawResponse>
  open(headers: Readonly<Record<string, string>>, path?: string, localAddress?: string): Promise<Opened>
  openBy(cookie: string, path?: string): Promise<Opened>
  /** The next event that says that the app was asked again. */
  nextRecheck(): Promise<RecheckedEvent>
  /** Lets a minute pass, and waits until the app was asked again. */
  recheck(ms?: number): Promise<RecheckedEvent>
  /** Lets time pass a second at a time, and the app come to its end after each. */
  live(ms: number): Promise<void>
}

/** How long a test waits for what never comes. It only ever ends one that fails. */
const PATIENCE = 30_000

export function makeWorld(): World {
  const clock = new Wall()
  const points = new Points()
  return {
    clock,
    points,
    people: new People(points),
    rows: new Rows(points),
    resources: { taken: 0, released: 0 },
    seen: () => undefined,
  }
}

export async function start(stack: Pick<SessionStack, 'build'>, options: AppOptions = {}): Promise<Site> {
  const world = makeWorld()
  const built = await stack.build(world, options)
  const { gate, server } = built
  const events: GateEvent[] = []
  gate.on('*', (event) => events.push(event))
  gate.attach(server)
  const listening = await listen(server)
  return Object.assign(world, requests(listening, gate), recheckOf(world, gate), {
    server,
    gate,
    store: built.store,
    events,
    port: listening.port,
    [Symbol.asyncDispose]: disposal(world, built, listening),
  })
}

/** What every app of these tests gives its gate. */
export function gateOptions(
  { clock }: World,
  { gate }: AppOptions,
): Pick<GateOptions<never>, 'clock' | 'recheck' | 'limits'> {
  return { clock, recheck: { every: '60s', jitter: 0 }, ...gate }
}

function disposal({ clock }: World, { gate, close }: Built, listening: Listening): () => Promise<void> {
  return async () => {
    clock.stop()
    await listening.close()
    await gate.close()
    await close?.()
  }
}

type Requests = Pick<Site, 'login' | 'ask' | 'open' | 'openBy'>

function requests({ port }: Listening, gate: Built['gate']): Requests {
  const origin = `http://127.0.0.1:${port}`
  const ask: Site['ask'] = async (method, path, cookie) => {
    const headers = {
      ...PLAIN,
      'Content-Length': method === 'POST' ? '0' : null,
      Cookie: cookie === '' ? null : cookie,
    }
    return await rawRequest({ port, lines: handshake({ method, target: path, headers }) })
  }
  const open: Site['open'] = async (headers, path = '/ws', localAddress = '127.0.0.1') => {
    const ws = new WebSocket(`ws://127.0.0.1:${port}${path}`, { headers, localAddress })
    const closed = once(ws, 'close').then(([code, reason]) => ({ code: code as number, reason: String(reason) }))
    ws.on('error', () => undefined)
    const before = new Set(gate.connections)
    let received: () => number = () => 0
    ws.on('upgrade', ({ socket }) => (received = () => socket.bytesRead))
    await once(ws, 'open', { signal: AbortSignal.timeout(PATIENCE) })
    const [connection] = [...gate.connections].filter((one) => !before.has(one))
    if (connection === undefined) throw new Error('The gate has no such connection.')
    return { ws, connection, closed, received: () => received() }
  }
  return {
    ask,
    open,
    openBy: async (cookie, path) => await open({ Cookie: cookie, Origin: origin }, path),
    login: async (name = 'alice') => {
      const answer = await ask('POST', `/login?name=${name}`, '')
      if (answer.status !== 200) throw new Error(`The login was answered with ${answer.status}: ${answer.text}`)
      return cookiesOf(answer)
    },
  }
}

/** Turns of the event loop after which an app that waits for nobody has come to its end. */
const TURNS = 12

export async function turns(count = TURNS): Promise<void> {
  for (let n = 0; n < count; n++) await new Promise(setImmediate)
}

function recheckOf({ clock }: World, gate: Built['gate']): Pick<Site, 'nextRecheck' | 'recheck' | 'live'> {
  const nextRecheck: Site['nextRecheck'] = async () => {
    const emitter = new EventEmitter()
    const off = gate.on('rechecked', (event) => emitter.emit('rechecked', event))
    try {
      const [event] = (await once(emitter, 'rechecked', { signal: AbortSignal.timeout(PATIENCE) })) as [RecheckedEvent]
      return event
    } finally {
      off()
    }
  }
  return {
    nextRecheck,
    live: async (ms) => {
      for (let left = ms; left > 0; left -= SECOND) {
        clock.pass(Math.min(left, SECOND))
        await turns()
      }
    },
    recheck: async (ms = MINUTE) => {
      const next = nextRecheck()
      clock.pass(ms)
      return await next
    },
  }
}
