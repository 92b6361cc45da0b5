import assert from 'node:assert/strict'
import { request, type IncomingHttpHeaders } from 'node:http'
import { duplexPair, type Duplex } from 'node:stream'
import { REFUSALS } from '../../src/core/refusals.ts'
import type { GateEvent, IdentityInput } from '../../src/index.ts'
import { HeldClock } from '../unit/credentials/helpers.ts'
import type { Door, LifeAdapter, Options, Person, Seen, Served, Shared } from './adapters-apps.ts'
import { dialWire, quiet, type Client } from './races-wire.ts'

export const SECOND = 1000
export const MINUTE = 60 * SECOND
export const HOUR = 60 * MINUTE
export const ORIGIN = 'http://localhost'

type Headers = Readonly<Record<string, string>>

/** Time that passes when it is told to, and a wall clock that can be set besides. */
class SetClock extends HeldClock {
  ahead = 0

  override now(): number {
    return super.now() + this.ahead
  }
}

/** Who has none comes with other headers. */
const keyOf = (key: string): Headers => (key === '' ? {} : { 'X-Api-Key': key })

/** What HTTP answers. */
export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  /** The code of the gate; undefined where somebody else has answered. */
  readonly error: unknown
}

/** Nest's exception filter writes the body anew, with what is wrong and what mends it in the place of the code. */
function codeIn(text: string): string | undefined {
  if (!text.startsWith('{')) return undefined
  const { error, statusCode, message } = JSON.parse(text) as Record<string, unknown>
  if (statusCode === undefined) return typeof error === 'string' ? error : undefined
  return Object.entries(REFUSALS).find(([, row]) => `${row.message} ${row.fix}` === message)?.[0]
}

/** What a server asks of its socket, beyond a stream. */
const SOCKET = Object.fromEntries(
  ['setTimeout', 'setNoDelay', 'setKeepAlive', 'ref', 'unref'].map((name) => [
    name,
    function (this: object) {
      return this
    },
  ]),
)

const UPGRADE: Headers = {
  Connection: 'Upgrade',
  Upgrade: 'websocket',
  'Sec-WebSocket-Version': '13',
  'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
}

/** An app of one adapter, and time that passes when it is told to. */
export class Site implements AsyncDisposable {
  /** Of the adapter. */
  readonly name: string
  readonly clock: SetClock
  readonly events: GateEvent[] = []
  /** Of the server, in order. */
  readonly sockets: Duplex[] = []
  /** Where clients dial. */
  readonly path: string
  /** The address that the server sees. */
  peer = '127.0.0.1'
  readonly #shared: Shared
  readonly #app: Awaited<ReturnType<LifeAdapter['build']>>

  static async start(
    adapter: LifeAdapter,
    { options = {}, door = 'app' }: Pick<LifeCase, 'options' | 'door'>,
    path: string,
  ): Promise<Site> {
    const clock = new SetClock()
    const shared: Shared = { door, people: new Map(), served: [], seen: [], hold: undefined }
    const recheck =
      options.recheck === false ? (false as const) : { every: '60s' as const, jitter: 0, ...options.recheck }
    const app = await adapter.build(shared, { ...options, clock, recheck })
    return new Site(adapter.name, clock, shared, app, path)
  }

  private constructor(name: string, clock: SetClock, shared: Shared, app: Site['app'], path: string) {
    this.name = name
    this.clock = clock
    this.path = path
    this.#shared = shared
    this.#app = app
    app.gate.on('*', (event) => this.events.push(event))
    app.server.prependListener('connection', (socket) => {
      Object.assign(socket, { remoteAddress: this.peer })
      this.sockets.push(socket)
    })
  }

  get app(): Awaited<ReturnType<LifeAdapter['build']>> {
    return this.#app
  }
  get gate(): Site['app']['gate'] {
    return this.#app.gate
  }
  get served(): readonly Served[] {
    return this.#shared.served
  }
  get seen(): readonly Seen[] {
    return this.#shared.seen
  }
  get phases(): Array<string | undefined> {
    return this.#shared.seen.map(({ phase }) => phase)
  }
  set hold(hold: Promise<void> | undefined) {
    this.#shared.hold = hold
  }

  /** Somebody whom the app lets in. */
  meet(key: string, identity: Partial<IdentityInput> = {}): Person {
    const person: Person = { identity: { subject: key, ...identity }, status: 200 }
    this.#shared.people.set(key, person)
    return person
  }

  at(ms: number): Date {
    return new Date(this.clock.now() + ms)
  }

  /** Opens, or is refused: by then it is settled. */
  async dial(key: string, headers: Headers = {}, query = ''): Promise<Client> {
    const client = this.begin(key, headers, query)
    await quiet()
    return client
  }

  /** Dials, and waits for nothing. */
  begin(key: string, headers: Headers = {}, query = ''): Client {
    return dialWire(this.#app.server, this.path + query, { ...keyOf(key), ...headers })
  }

  async open(key: string, headers: Headers = {}, query = ''): Promise<Client & Served> {
    const client = await this.dial(key, headers, query)
    assert.equal(client.status, 101)
    const served = this.served.at(-1)
    assert.ok(served)
    return Object.assign(client, served)
  }

  async get(path: string, headers: Headers): Promise<Answer> {
    return await this.#ask('GET', path, headers)
  }

  async post(path: string, headers: Headers): Promise<Answer> {
    return await this.#ask('POST', path, { 'Content-Type': 'application/json', ...headers })
  }

  /** A handshake of which the whole refusal is looked at. */
  async knock(key: string, headers: Headers = {}): Promise<Answer> {
    return await this.#ask('GET', this.path, { ...UPGRADE, ...keyOf(key), ...headers })
  }

  /** Makes one end of a wire a socket of the server. */
  plug(there: Duplex): void {
    this.#app.server.emit('connection', Object.assign(there, SOCKET, { localAddress: '127.0.0.1' }))
  }

  /** All events of a kind. */
  told<Type extends GateEvent['type']>(type: Type): Array<Extract<GateEvent, { type: Type }>> {
    return this.events.filter((event): event is Extract<GateEvent, { type: Type }> => event.type === type)
  }

  async #ask(method: string, path: string, headers: Headers): Promise<Answer> {
    const [here, there] = duplexPair()
    const createConnection = (): never => {
      this.plug(there)
      return Object.assign(here, SOCKET) as never
    }
    return await new Promise((resolve, reject) => {
      const asked = request({ method, path, headers: { Host: 'localhost', ...headers }, createConnection })
      asked.on('error', reject)
      asked.on('upgrade', () => reject(new Error('It was let in.')))
      asked.on('response', (response) => {
        let text = ''
        response.on('data', (chunk) => (text += String(chunk)))
        response.on('end', () => {
          here.destroy()
          there.destroy()
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text, error: codeIn(text) })
        })
      })
      asked.end(method === 'POST' ? '{}' : undefined)
    })
  }

  /** In steps within which every question gets its answer. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 9 * SECOND) {
      this.clock.pass(Math.min(left, 9 * SECOND))
      await quiet()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = this.gate.close()
    this.clock.pass(2 * SECOND)
    await quiet()
    this.clock.pass(2 * SECOND)
    await closed
    await this.#app.close?.()
  }
}

/** One thing that can happen in the life of a connection, the same on every adapter. */
export interface LifeCase {
  /** Of the list of cases that this table is made from, where it is one of them. */
  readonly id?: string
  readonly name: string
  readonly options?: Options
  readonly door?: Door
  /** Asked of `websocket()` alone: with `accept()` it is the library's, or nothing else is asked. */
  readonly own?: boolean
  readonly todo?: string
  run(site: Site): Promise<void>
}

export const closed = (client: Client, code: number, reason: string): void =>
  assert.deepEqual(client.closed, { code, reason })
export const isOpen = (client: Client): void => assert.equal(client.closed, undefined)
