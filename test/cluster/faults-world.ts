import assert from 'node:assert/strict'
import { fork, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { fileURLToPath } from 'node:url'
import { WebSocket } from 'ws'
import type { Revoked } from '../../src/index.ts'
import { Cable } from './faults-cable.ts'
import {
  check,
  type History,
  type NodeEvent,
  type Out,
  type RevocationRecord,
  type SocketRecord,
  type Who,
} from './faults-checker.ts'
import type { NodeOptions, Said, Told } from './faults-node.ts'
import { waitUntilStopped } from '../support/stopped.ts'

export const SPEED = 4
export const LIMIT = 4
export const NAMES = ['a', 'b', 'c'] as const
/** What a node that reaches the engine may take, on a machine that is busy with others. */
const BOUND = 3000
/** What is waited for comes long before, or never. */
const PATIENCE = 12_000
const HOUR = 60 * 60_000

export interface Opened {
  /** 101 where it is open. */
  readonly status: number
  readonly record?: SocketRecord
  readonly ws?: WebSocket
}

/** Nothing else tells when it is so. */
export async function until(what: string, isSo: () => boolean | Promise<boolean>, ms = PATIENCE): Promise<void> {
  const begin = Date.now()
  while (!(await isSo())) {
    if (Date.now() - begin > ms) assert.fail(`Not within ${ms} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** One process with a gate, and the cable to its engine. */
export class FaultyNode {
  readonly name: string
  readonly cable: Cable | undefined
  readonly process: ChildProcess
  readonly skew: number
  readonly printed: string[] = []
  port = 0
  isLive = false
  isPaused = false
  /** Why it was lost last. */
  why: string | undefined

  constructor(name: string, process: ChildProcess, cable: Cable | undefined, skew: number) {
    this.name = name
    this.process = process
    this.cable = cable
    this.skew = skew
  }

  pause(): void {
    this.isPaused = true
    this.process.kill('SIGSTOP')
    waitUntilStopped(this.process.pid)
  }

  resume(): void {
    this.isPaused = false
    this.process.kill('SIGCONT')
  }
}

type NodeExtras = Partial<Pick<NodeOptions, 'limit' | 'onClusterLoss' | 'dangerouslyAcceptWhenStale' | 'skew'>>

/** The nodes of one engine, those who come to them, and what has happened. */
export class World {
  readonly nodes: FaultyNode[] = []
  readonly #engine: NodeOptions['engine']
  readonly #added: (child: ChildProcess) => void
  readonly #secret = randomBytes(32).toString('base64url')
  readonly #begin = Date.now()
  readonly #waiting = new Map<number, (said: Extract<Said, { faults: 'revoked' }>) => void>()
  readonly #ended = new Set<string>()
  #sockets: SocketRecord[] = []
  #revocations: RevocationRecord[] = []
  #events: NodeEvent[] = []
  #open = new Set<WebSocket>()
  #lastId = 0

  constructor(engine: NodeOptions['engine'], added: (child: ChildProcess) => void = () => undefined) {
    this.#engine = engine
    this.#added = added
  }

  /**
   * Three nodes: `a` closes what is open after a second without its engine, the others keep it. `b` has no limit, so its door needs no answer of
   * the engine. The clock of `c` is an hour ahead.
   */
  static async start(
    engine: NodeOptions['engine'],
    port?: number,
    added?: (child: ChildProcess) => void,
  ): Promise<World> {
    const world = new World(engine, added)
    try {
      await Promise.all([
        world.add('a', port, { limit: LIMIT, onClusterLoss: { after: '1s', then: 'close' } }),
        world.add('b', port),
        world.add('c', port, { limit: LIMIT, skew: HOUR }),
      ])
      await world.allLive()
      return world
    } catch (error) {
      await world.stop()
      throw error
    }
  }

  async add(name: string, port: number | undefined, extras: NodeExtras = {}): Promise<FaultyNode> {
    const cable = port === undefined ? undefined : await Cable.to(port)
    const options: NodeOptions = {
      engine: this.#engine,
      port: cable?.port ?? 0,
      secret: this.#secret,
      begin: this.#begin,
      speed: SPEED,
      skew: 0,
      onClusterLoss: { then: 'keep' },
      ...extras,
    }
    const child = fork(fileURLToPath(new URL('faults-node.ts', import.meta.url)), {
      execArgv: ['--import', 'tsx'],
      env: { ...process.env, FAULTS_NODE: JSON.stringify(options) },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    })
    this.#added(child)
    const node = new FaultyNode(name, child, cable, options.skew)
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (data: Buffer) => node.printed.push(String(data)))
    child.on('message', (said: Said) => this.#hear(node, said))
    // What the hub sends to one that was killed.
    child.on('error', () => undefined)
    child.once('exit', () => {
      this.#ended.add(name)
      this.#events.push({ node: name, time: Date.now(), type: 'dead' })
    })
    this.nodes.push(node)
    await until(`${name} listens`, () => node.port > 0 || this.#ended.has(name), 60_000)
    assert.ok(node.port > 0, node.printed.join(''))
    return node
  }

  node(name: string): FaultyNode {
    const node = this.nodes.find((one) => one.name === name)
    assert.ok(node)
    return node
  }

  /** By the clock of the gates, without the hour. */
  get now(): number {
    return this.#begin + (Date.now() - this.#begin) * SPEED
  }

  /** The next millisecond: what is asked from now on was asked later. */
  async tick(): Promise<void> {
    const begin = Date.now()
    await until('a millisecond', () => Date.now() > begin)
  }

  async live(...names: readonly string[]): Promise<void> {
    await until(`${names.join(', ')} live`, () => names.every((name) => this.node(name).isLive))
  }

  async lost(...names: readonly string[]): Promise<void> {
    await until(`${names.join(', ')} lost`, () => names.every((name) => !this.node(name).isLive))
  }

  async allLive(): Promise<void> {
    await this.live(...this.nodes.flatMap(({ name }) => (this.#ended.has(name) ? [] : [name])))
  }

  /** Opens a WebSocket, or is refused. */
  async dial(name: string, who: Who, ticket?: string): Promise<Opened> {
    const askedAt = Date.now()
    const url = `ws://127.0.0.1:${this.node(name).port}/live`
    const ws =
      ticket === undefined
        ? new WebSocket(url, { headers: { 'x-api-key': JSON.stringify(who) } })
        : new WebSocket(`${url}?ticket=${ticket}`)
    ws.on('error', () => undefined)
    return await new Promise((resolve) => {
      ws.once('unexpected-response', (_req: unknown, res: IncomingMessage) => {
        ws.terminate()
        resolve({ status: res.statusCode ?? 0 })
      })
      ws.once('close', () => resolve({ status: 0 }))
      ws.once('open', () => {
        const record: SocketRecord = { node: name, who, ticket, askedAt, openedAt: Date.now() }
        this.#sockets.push(record)
        this.#open.add(ws)
        ws.once('close', (code: number, reason: Buffer) => {
          record.closedAt = Date.now()
          record.reason = String(reason) || String(code)
          this.#open.delete(ws)
        })
        resolve({ status: 101, record, ws })
      })
    })
  }

  /** Opens one where it must be let in. A node that has no time for a moment is asked again. */
  async open(name: string, who: Who): Promise<Required<Opened>> {
    let opened: Opened = { status: 0 }
    await until(`${name} lets in ${JSON.stringify(who)}, not ${opened.status}`, async () => {
      opened = await this.dial(name, who)
      return ![503, 0].includes(opened.status)
    })
    assert.equal(opened.status, 101, `${name} refuses ${JSON.stringify(who)}`)
    return opened as Required<Opened>
  }

  async ticket(name: string, who: Who): Promise<string> {
    const address = `http://127.0.0.1:${this.node(name).port}/live/ticket`
    const headers = { 'Content-Type': 'application/json', 'x-api-key': JSON.stringify(who) }
    let url = ''
    await until(`a ticket of ${name}`, async () => {
      const response = await fetch(address, { method: 'POST', headers, body: '{}' })
      ;({ url = '' } = (await response.json()) as { url?: string })
      return url !== ''
    })
    return new URL(url, 'http://localhost').searchParams.get('ticket') ?? ''
  }

  /** Never rejects. @returns the answer; the code where it was rejected. */
  async revoke(name: string, out: Out, except?: string): Promise<Revoked | string> {
    const node = this.node(name)
    const record: RevocationRecord = { node: name, out, except, at: this.now + node.skew, askedAt: Date.now() }
    this.#revocations.push(record)
    this.#lastId += 1
    const id = this.#lastId
    const told = { faults: 'revoke', id, out, ...(except === undefined ? {} : { except: { session: except } }) } as Told
    const said = await new Promise<Extract<Said, { faults: 'revoked' }>>((resolve) => {
      this.#waiting.set(id, resolve)
      node.process.send(told)
    })
    record.settledAt = Date.now()
    const { answer, code = '' } = said
    if (answer === undefined) return code
    record.holdsFrom = record.settledAt
    record.done = answer.nodes.flatMap((one) => (one.lagMs === null ? [] : this.#nameOf(one.node)))
    record.unheard = answer.nodes.flatMap((one) => (one.lagMs === null ? this.#nameOf(one.node) : []))
    return answer
  }

  /** All of them reach the engine, and each other: what was rejected holds from now on. */
  async back(): Promise<void> {
    const there = this.nodes.filter(({ name }) => !this.#ended.has(name))
    for (const { name } of there) {
      await until(`${name} reaches all`, async () => {
        const answer = await this.revoke(name, { session: 'nobody' })
        if (typeof answer === 'string') return false
        return answer.nodes.length === there.length && answer.nodes.every(({ lagMs }) => lagMs !== null)
      })
    }
    await this.allLive()
    for (const record of this.#revocations) record.holdsFrom ??= Date.now()
  }

  /** All of these are closed, or the checker says why not. */
  async closed(...sockets: readonly Required<Opened>[]): Promise<void> {
    await until('closed', () => sockets.every(({ record }) => record.closedAt !== undefined), BOUND * 2).catch(
      () => undefined,
    )
  }

  get history(): History {
    return {
      sockets: this.#sockets,
      revocations: this.#revocations,
      events: this.#events,
      until: Date.now(),
      bound: BOUND,
      limit: LIMIT,
    }
  }

  /** After a fault: all is well again, and the promise was kept. */
  async assertKept(): Promise<void> {
    await this.back()
    const isClosed = (): boolean => {
      const open = this.#sockets.filter(({ closedAt }) => closedAt === undefined)
      return check({ ...this.history, sockets: open, bound: 0 }).every((said) => !said.startsWith('(1)'))
    }
    await until('what is revoked is closed', isClosed, BOUND).catch(() => undefined)
    assert.deepEqual(check(this.history), [])
    for (const node of this.nodes) assert.deepEqual([node.name, node.printed.join('')], [node.name, ''])
    assert.deepEqual([...this.#ended], [])
  }

  /** Whatever has failed: all is well again, nobody is there, and nothing has happened. */
  async restore(port = 0): Promise<void> {
    for (const node of this.nodes) {
      if (node.isPaused) node.resume()
      node.cable?.heal('late')
      node.cable?.lead(port)
    }
    await this.allLive()
    for (const ws of this.#open) ws.close()
    await until('all is closed', () => this.#open.size === 0)
    const standing = this.#events.filter(({ type }) => ['live', 'lost', 'dead'].includes(type))
    this.#events = this.nodes.flatMap(({ name }) => standing.findLast((event) => event.node === name) ?? [])
    this.#sockets = []
    this.#revocations = []
  }

  /** Places are there for as many as the limit says, and for no more. */
  async assertNoPlaceLost(subject: string, open: readonly Required<Opened>[] = []): Promise<void> {
    for (const { ws } of open) ws.close()
    for (let n = 0; n < LIMIT; n++) {
      const name = n % 2 === 0 ? 'a' : 'c'
      await until(`a place for ${subject}, number ${n + 1}`, async () => {
        return (await this.dial(name, { subject, session: `${subject}-place${n}` })).status === 101
      })
    }
    assert.equal((await this.dial('a', { subject, session: 'more' })).status, 429)
  }

  async stop(): Promise<void> {
    for (const { process: child, isPaused } of this.nodes) {
      if (isPaused) child.kill('SIGCONT')
      if (child.connected) child.send({ faults: 'stop' } satisfies Told)
    }
    for (const { name, process: child, cable } of this.nodes) {
      if (!this.#ended.has(name)) {
        const late = setTimeout(() => child.kill('SIGKILL'), 5000)
        await once(child, 'exit')
        clearTimeout(late)
      }
      cable?.stop()
    }
  }

  /** The gate's own name for a node. */
  #nameOf(own: string): string[] {
    const pid = /\.(\d+)\.[\w-]+$/.exec(own)?.[1]
    return this.nodes.flatMap(({ name, process: child }) => (String(child.pid) === pid ? [name] : []))
  }

  #hear(node: FaultyNode, said: Said): void {
    if (said.faults === 'listens') node.port = said.port
    if (said.faults === 'revoked') this.#waiting.get(said.id)?.(said)
    if (said.faults !== 'event') return
    const { time, event } = said
    const one = { node: node.name, time }
    if (event.type === 'accepted' || event.type === 'ended')
      this.#events.push({ ...one, type: event.type, subject: event.subject, connection: event.connection })
    if (event.type !== 'cluster' || event.outcome === 'forged') return
    node.isLive = event.outcome === 'live'
    node.why = event.why
    this.#events.push({ ...one, type: event.outcome })
  }
}
