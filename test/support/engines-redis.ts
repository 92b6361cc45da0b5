import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Redis } from 'ioredis'
import { createClient, type RedisClientOptions } from 'redis'
import type { Program } from './debian.ts'
import { freePort } from './ports.ts'
import { waitUntilStopped } from './stopped.ts'

export function findRedis(): Program {
  const done = spawnSync('redis-server', ['--version'], { encoding: 'utf8', timeout: 120_000 })
  if (done.status !== 0) return { missing: 'no redis-server here (Debian package: redis-server)' }
  return { path: 'redis-server', version: /v=([\d.]+)/.exec(done.stdout)?.[1] ?? '', env: {} }
}

type Options = Readonly<Record<string, unknown>>

/** A client of `redis`, not connected. */
export const nodeRedisOf = (options: Options = {}) => createClient(options as RedisClientOptions)

/** A client of `ioredis`, not connected until it is used. */
export function ioredisOf(options: Options = {}): Redis {
  const client = new Redis({ host: '127.0.0.1', lazyConnect: true, ...options })
  client.on('error', () => undefined)
  return client
}

export interface RedisServerOptions {
  /** Whether a restart finds what was there before. @defaultValue true */
  readonly persistence?: boolean
  /** Settings of the server, as in redis.conf. */
  readonly settings?: Readonly<Record<string, string>>
}

/** A Redis of our own, on a free port, with all that it keeps in a directory that goes with it. */
export class RedisServer implements AsyncDisposable {
  readonly port: number
  readonly #home = mkdtempSync(join(tmpdir(), 'gate101-redis-'))
  readonly #options: RedisServerOptions
  readonly #ends: Array<() => unknown> = []
  #server: ChildProcess | undefined
  #admin: Redis | undefined
  readonly #atExit = (): void => this.#signal('SIGKILL')

  private constructor(port: number, options: RedisServerOptions) {
    this.port = port
    this.#options = options
  }

  static async start(options: RedisServerOptions = {}): Promise<RedisServer> {
    const server = new RedisServer(await freePort(), options)
    process.once('exit', server.#atExit)
    await server.restart()
    return server
  }

  /** A client of `redis`, not connected. */
  nodeRedis(options: Options = {}): ReturnType<typeof nodeRedisOf> {
    return nodeRedisOf({ url: `redis://127.0.0.1:${this.port}`, ...options })
  }

  /** A client of `ioredis`, not connected until it is used; ended with the server. */
  ioredis(options: Options = {}): Redis {
    const client = ioredisOf({ port: this.port, ...options })
    this.#ends.push(() => client.disconnect())
    return client
  }

  /** Asks the server itself. */
  async ask(command: string, ...args: string[]): Promise<unknown> {
    this.#admin ??= this.ioredis()
    return await this.#admin.call(command, args)
  }

  /** As a crash does: nothing is written any more. */
  async kill(): Promise<void> {
    const server = this.#server
    if (server === undefined) return
    this.#server = undefined
    const ended = once(server, 'exit')
    server.kill('SIGKILL')
    await ended
  }

  /** Starts it again where it was killed; without persistence, from nothing. */
  async restart(): Promise<void> {
    const isKept = this.#options.persistence !== false
    if (!isKept) for (const name of readdirSync(this.#home)) rmSync(join(this.#home, name), { recursive: true })
    const settings = {
      port: String(this.port),
      bind: '127.0.0.1',
      dir: this.#home,
      save: '',
      'repl-diskless-sync-delay': '0',
      appendonly: isKept ? 'yes' : 'no',
      ...this.#options.settings,
    }
    const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value])
    const server = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'ignore'] })
    this.#server = server
    const said: string[] = []
    for await (const line of createInterface(server.stdout)) {
      said.push(line)
      if (line.includes('Ready to accept connections')) {
        server.stdout.resume()
        return
      }
    }
    throw new Error(`Redis did not start:\n${said.join('\n')}`)
  }

  /** Stops the process as it is: connections stay open, and nobody answers. */
  pause(): void {
    this.#signal('SIGSTOP')
    waitUntilStopped(this.#server?.pid)
  }

  resume(): void {
    this.#signal('SIGCONT')
  }

  async stop(): Promise<void> {
    for (const end of this.#ends.splice(0)) end()
    await this.kill()
    process.removeListener('exit', this.#atExit)
    rmSync(this.#home, { recursive: true, force: true })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  #signal(name: NodeJS.Signals): void {
    this.#server?.kill(name)
  }
}

/** An address that leads to one server or another: what a name does, or a proxy. */
export class Relay implements AsyncDisposable {
  readonly port: number
  readonly #server
  readonly #sockets = new Set<Socket>()
  #to: number

  private constructor(port: number, to: number) {
    this.port = port
    this.#to = to
    this.#server = createServer((socket) => this.#pass(socket)).listen(port, '127.0.0.1')
  }

  static async start(to: { readonly port: number }): Promise<Relay> {
    const relay = new Relay(await freePort(), to.port)
    await once(relay.#server, 'listening')
    return relay
  }

  /** Leads to another server, and ends what there is. */
  lead(to: { readonly port: number }): void {
    this.leadNew(to)
    for (const socket of this.#sockets) socket.destroy()
  }

  /** Leads to another server from now on. */
  leadNew(to: { readonly port: number }): void {
    this.#to = to.port
  }

  /** Swallows what is sent from now on: neither side hears of it. */
  swallow(): void {
    for (const socket of this.#sockets) {
      socket.unpipe()
      socket.pause()
    }
  }

  async stop(): Promise<void> {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await once(this.#server, 'close')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  #pass(client: Socket): void {
    const server = connect(this.#to, '127.0.0.1')
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(one)
      one.on('error', () => undefined)
      one.on('close', () => {
        this.#sockets.delete(one)
        other.destroy()
      })
      one.pipe(other)
    }
  }
}
