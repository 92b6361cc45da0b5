import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { connect, type ConnectionOptions, type NatsConnection } from '@nats-io/transport-node'
import type { Program } from './debian.ts'
import { freePort } from './ports.ts'
import { waitUntilStopped } from './stopped.ts'

/** nats-server, as Debian installs it: outside the PATH of some users. */
export function findNats(): Program {
  for (const path of ['nats-server', '/usr/sbin/nats-server']) {
    const done = spawnSync(path, ['--version'], { encoding: 'utf8' })
    if (done.status === 0) return { path, version: done.stdout.trim(), env: {} }
  }
  return { missing: 'no nats-server here (Debian package: nats-server)' }
}

export interface NatsOptions {
  /** Whether a restart finds what was there before. @defaultValue true */
  readonly persistence?: boolean
  /** Whether it has JetStream. @defaultValue true */
  readonly jetstream?: boolean
  /** More of its configuration file. */
  readonly config?: string
}

/** A nats-server of our own, on a free port, with all that it keeps in a directory that goes with it. */
export class NatsServer implements AsyncDisposable {
  readonly port: number
  readonly #path: string
  readonly #home = mkdtempSync(join(tmpdir(), 'gate101-nats-'))
  readonly #options: NatsOptions
  readonly #clients: NatsConnection[] = []
  #server: ChildProcess | undefined
  readonly #atExit = (): void => void this.#server?.kill('SIGKILL')

  private constructor(port: number, path: string, options: NatsOptions) {
    this.port = port
    this.#path = path
    this.#options = options
  }

  static async start(options: NatsOptions = {}): Promise<NatsServer> {
    const found = findNats()
    if ('missing' in found) throw new Error(found.missing)
    const server = new NatsServer(await freePort(), found.path, options)
    process.once('exit', server.#atExit)
    await server.restart()
    return server
  }

  /** A client that is closed with the server, and that never gives up. */
  async client(options: ConnectionOptions = {}): Promise<NatsConnection> {
    const client = await connect({
      servers: `127.0.0.1:${this.port}`,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 20,
      reconnectJitter: 0,
      ...options,
    })
    this.#clients.push(client)
    return client
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
    const { persistence = true, jetstream = true, config = '' } = this.#options
    if (!persistence) rmSync(join(this.#home, 'store'), { recursive: true, force: true })
    const store = jetstream ? `jetstream { store_dir: "${join(this.#home, 'store')}" }\n` : ''
    const file = join(this.#home, 'nats.conf')
    writeFileSync(file, `listen: "127.0.0.1:${this.port}"\n${config.includes('jetstream {') ? '' : store}${config}\n`)
    const server = spawn(this.#path, ['-c', file], { cwd: this.#home, stdio: ['ignore', 'ignore', 'pipe'] })
    this.#server = server
    const said: string[] = []
    for await (const line of createInterface(server.stderr)) {
      said.push(line)
      if (!line.includes('Server is ready')) continue
      server.stderr.resume()
      return
    }
    throw new Error(`nats-server did not start:\n${said.join('\n')}`)
  }

  /** Stops the process as it is: connections stay open, and nobody answers. */
  pause(): void {
    this.#server?.kill('SIGSTOP')
    waitUntilStopped(this.#server?.pid)
  }

  resume(): void {
    this.#server?.kill('SIGCONT')
  }

  async stop(): Promise<void> {
    await this.kill()
    await Promise.all(this.#clients.splice(0).map(async (client) => await client.close()))
    process.removeListener('exit', this.#atExit)
    rmSync(this.#home, { recursive: true, force: true })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }
}

/** Three servers as one cluster, which keep everything three times. */
export class NatsServers implements AsyncDisposable {
  readonly all: readonly NatsServer[]

  private constructor(all: readonly NatsServer[]) {
    this.all = all
  }

  static async start(): Promise<NatsServers> {
    const routes = [await freePort(), await freePort(), await freePort()]
    const others = routes.map((port) => `"nats://127.0.0.1:${port}"`).join(', ')
    const starting = routes.map(
      async (port, n) =>
        await NatsServer.start({
          config: `server_name: n${n}\ncluster { name: c, listen: "127.0.0.1:${port}", routes: [${others}] }`,
        }),
    )
    const servers = new NatsServers(await Promise.all(starting))
    await servers.#ready()
    return servers
  }

  /** A client that goes to another server where the one that it has is away. */
  async client(): Promise<NatsConnection> {
    const servers = this.all.map(({ port }) => `127.0.0.1:${port}`)
    return await this.all[0]!.client({ servers })
  }

  async stop(): Promise<void> {
    await Promise.all(this.all.map(async (server) => await server.stop()))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  /** Nothing tells when they have found each other, and agree. */
  async #ready(): Promise<void> {
    const client = await this.client()
    const config = { name: 'probe', subjects: ['probe'], storage: 'file', num_replicas: 3 }
    for (;;) {
      const made = await operate(client, 'STREAM.CREATE.probe', config).catch(() => ({ error: true }))
      if (!('error' in made)) break
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    await operate(client, 'STREAM.DELETE.probe')
  }
}

/** A request to JetStream, as an operator would do it. */
export async function operate(
  client: NatsConnection,
  what: string,
  body: object = {},
): Promise<Record<string, unknown>> {
  const { data } = await client.request(`$JS.API.${what}`, JSON.stringify(body), { timeout: 5000 })
  return JSON.parse(new TextDecoder().decode(data)) as Record<string, unknown>
}

/** The names of all streams, or of those that take such subjects. */
export async function streamsOf(client: NatsConnection, subject?: string): Promise<string[]> {
  const { streams } = await operate(client, 'STREAM.NAMES', subject === undefined ? {} : { subject })
  return (streams as string[] | null) ?? []
}
