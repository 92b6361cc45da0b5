// Several nodes of the demo on one port: `npm start -- --nodes 3`. Each is a process of its own. What an app of several nodes has in a
// database is kept by the process that has started them: sessions, the account, the tokens.
import cluster, { type Worker } from 'node:cluster'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { Store, type SessionData } from 'express-session'
import type { ClusterEngine } from 'gate101'
import { ipcCluster, ipcHub } from 'gate101/ipc'

/** What the nodes have in common. */
export interface Node {
  readonly name: string
  readonly isLast: boolean
  readonly secret: string
  readonly engine: ClusterEngine
  readonly sessionStore: Store
  /** Tells all the others. */
  tell(what: string, value: unknown): void
  hear(what: string, listener: (value: never) => void): void
  /** It listens, and knows what the others know. */
  ready(): void
}

interface Told {
  readonly demo: 'told'
  readonly what: string
  readonly value: unknown
}

type Call = 'get' | 'set' | 'touch' | 'destroy'

interface Asked {
  readonly demo: 'asked'
  readonly id: number
  readonly call: Call
  readonly sid: string
  readonly text?: string
}

const PREFIX = 'gate101-demo'

/**
 * With `--nodes`: in the process that was started, starts the nodes and never returns; in theirs, what they have in common.
 * Otherwise undefined.
 */
export async function startNodes(): Promise<Node | undefined> {
  const count = countIn(process.argv)
  if (cluster.isWorker) return await nodeOf(Number(process.env['DEMO_NODE']), count)
  if (count === undefined) return undefined
  const stop = (): void => {
    for (const worker of Object.values(cluster.workers ?? {})) worker?.process.kill('SIGTERM')
  }
  process.on('SIGTERM', stop).on('SIGINT', () => undefined) // the terminal has told them as well
  cluster.on('exit', (_worker, code) => {
    if (code !== 0 && code !== null) process.exitCode = code
    if (Object.keys(cluster.workers ?? {}).length === 0) process.exit()
  })
  await fork(count)
  return await new Promise<never>(() => undefined)
}

function countIn(args: readonly string[]): number | undefined {
  const at = args.indexOf('--nodes')
  if (at === -1) return undefined
  const count = Number(args[at + 1])
  if (Number.isInteger(count) && count >= 1 && count <= 16) return count
  console.error('--nodes takes a number from 1 to 16: npm start -- --nodes 3')
  return process.exit(2)
}

// -------------------------------------------------------------------------------------- the process that has started them

async function fork(count: number): Promise<void> {
  ipcHub(cluster)
  const sessions = new Map<string, string>()
  const told: Told[] = []
  const engine = await chooseEngine()
  console.log(`${count} nodes share what they know through ${engine}.`)
  const env = { DEMO_SECRET: randomBytes(32).toString('base64url'), DEMO_ENGINE: engine }
  for (let n = 1; n <= count; n++) {
    const worker = cluster.fork({ ...env, DEMO_NODE: String(n) })
    worker.on('message', (message: Told | Asked) => {
      if (message.demo === 'asked') worker.send({ ...message, demo: 'answer', text: answer(sessions, message) })
      if (message.demo !== 'told') return
      told.push(message)
      for (const other of Object.values(cluster.workers ?? {})) if (other !== worker) other?.send(message)
    })
    await ready(worker)
    for (const message of told) worker.send(message)
  }
}

async function ready(worker: Worker): Promise<void> {
  for (;;) {
    const [message] = (await once(worker, 'message')) as [{ demo?: string }]
    if (message.demo === 'ready') return
  }
}

function answer(sessions: Map<string, string>, { call, sid, text = '' }: Asked): string | undefined {
  if (call === 'set' || (call === 'touch' && sessions.has(sid))) sessions.set(sid, text)
  if (call === 'destroy') sessions.delete(sid)
  return sessions.get(sid)
}

// ------------------------------------------------------------------------------------------------------------- a node

async function nodeOf(number: number, count = 1): Promise<Node> {
  const name = `node ${number}`
  const log = console.log.bind(console)
  const engine = await MAKERS[(process.env['DEMO_ENGINE'] ?? 'ipc') as EngineName]()
  const isLast = number === count
  return {
    name,
    isLast,
    secret: process.env['DEMO_SECRET'] ?? '',
    engine,
    sessionStore: new SharedStore(),
    tell: (what, value) => void process.send?.({ demo: 'told', what, value } satisfies Told),
    hear(what, listener) {
      process.on('message', (message: Partial<Told>) => {
        if (message.demo === 'told' && message.what === what) listener(message.value as never)
      })
    },
    ready() {
      process.send?.({ demo: 'ready' })
      console.log = (...args) => log(`${name}:`, ...args)
    },
  }
}

type EngineName = 'redis' | 'nats' | 'postgres' | 'ipc'

const MAKERS: Readonly<Record<EngineName, () => Promise<ClusterEngine>>> = {
  async redis() {
    const { createClient } = await import('redis')
    const { redisCluster } = await import('gate101/redis')
    const url = process.env['REDIS_URL'] ?? 'redis://127.0.0.1:6379'
    const client = createClient({ url, socket: { connectTimeout: 500, reconnectStrategy: 500 } })
    client.on('error', () => undefined)
    await within(client.connect())
    return redisCluster(client, { prefix: PREFIX, durable: 'memory' })
  },
  async nats() {
    const { connect } = await import('@nats-io/transport-node')
    const { natsCluster } = await import('gate101/nats')
    const servers = process.env['NATS_URL'] ?? '127.0.0.1:4222'
    return natsCluster(await within(connect({ servers, timeout: 500, maxReconnectAttempts: -1 })), { prefix: PREFIX })
  },
  async postgres() {
    const { Pool } = (await import('pg')).default
    const { postgresCluster } = await import('gate101/postgres')
    const connectionString = process.env['DATABASE_URL']
    if (connectionString === undefined) throw new Error('DATABASE_URL is not set')
    const pool = new Pool({ connectionString, connectionTimeoutMillis: 500 })
    pool.on('error', () => undefined)
    await pool.query('SELECT 1')
    return postgresCluster(pool, { prefix: PREFIX })
  },
  ipc: async () => ipcCluster({ prefix: PREFIX }),
}

/** The first that is reachable, and takes what is written into it; else the process that has started the nodes. */
async function chooseEngine(): Promise<EngineName> {
  const asked = process.env['DEMO_ENGINE']
  if (asked !== undefined && asked in MAKERS) return asked as EngineName
  for (const name of ['redis', 'nats', 'postgres'] as const) {
    // oxlint-disable-next-line no-await-in-loop -- by preference
    if (await isThere(name)) return name
  }
  return 'ipc'
}

async function isThere(name: EngineName): Promise<boolean> {
  try {
    const engine = await MAKERS[name]()
    await within(
      engine.open(
        () => undefined,
        () => undefined,
      ),
    )
    await engine.close()
    return true
  } catch {
    return false
  }
}

async function within<T>(promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error('no answer')), 2000)
  })
  return await Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

/** Sessions, as the process that has started the nodes keeps them. */
class SharedStore extends Store {
  #lastId = 0

  override get(sid: string, done: (error: unknown, session?: SessionData | null) => void): void {
    this.#ask('get', sid, undefined, (text) =>
      done(null, text === undefined ? null : alive(JSON.parse(text) as SessionData)),
    )
  }

  override set(sid: string, session: SessionData, done?: (error?: unknown) => void): void {
    this.#ask('set', sid, JSON.stringify(session), () => done?.())
  }

  override destroy(sid: string, done?: (error?: unknown) => void): void {
    this.#ask('destroy', sid, undefined, () => done?.())
  }

  override touch(sid: string, session: SessionData, done?: () => void): void {
    this.#ask('touch', sid, JSON.stringify(session), () => done?.())
  }

  #ask(call: Call, sid: string, text: string | undefined, done: (text: string | undefined) => void): void {
    this.#lastId += 1
    const id = this.#lastId
    const take = (message: { demo?: string; id?: number; text?: string }): void => {
      if (message.demo !== 'answer' || message.id !== id) return
      process.off('message', take)
      done(message.text)
    }
    process.on('message', take)
    process.send?.({ demo: 'asked', id, call, sid, ...(text === undefined ? {} : { text }) } satisfies Asked)
  }
}

function alive(session: SessionData): SessionData | null {
  const { expires } = session.cookie
  return expires && new Date(expires).getTime() <= Date.now() ? null : session
}
