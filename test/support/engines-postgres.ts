import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Pool, type PoolConfig } from 'pg'
import postgres from 'postgres'
import type { Program } from './debian.ts'
import { freePort } from './ports.ts'
import { waitUntilStopped } from './stopped.ts'

const DEBIAN = '/usr/lib/postgresql'

/** PostgreSQL, as Debian installs it: outside PATH, one folder for each version. */
export function findPostgres(): Program {
  const versions = existsSync(DEBIAN) ? readdirSync(DEBIAN).toSorted((a, b) => Number(b) - Number(a)) : []
  const newest = versions.find((version) => existsSync(join(DEBIAN, version, 'bin', 'initdb')))
  if (newest === undefined) return { missing: 'no PostgreSQL here (Debian package: postgresql)' }
  return { path: join(DEBIAN, newest, 'bin'), version: newest, env: {} }
}

/** PostgreSQL refuses root. */
function otherUser(): { readonly uid?: number; readonly gid?: number } {
  if (process.getuid?.() !== 0) return {}
  const idOf = (flag: string): number =>
    Number(
      ['postgres', 'nobody']
        .map((user) => spawnSync('id', [flag, user], { encoding: 'utf8' }).stdout.trim())
        .find(Boolean),
    )
  return { uid: idOf('-u'), gid: idOf('-g') }
}

/** State and parent of a process; undefined where there is none. */
function statOf(pid: number | string): { readonly state: string; readonly parent: number } | undefined {
  try {
    // The name of the program, in brackets, may hold anything.
    const [state = '', parent] = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1)?.split(' ') ?? []
    return { state, parent: Number(parent) }
  } catch {
    return undefined
  }
}

/** Somebody else may be slow to ask how it has ended. */
const isRunning = (pid: number): boolean => !['Z', undefined].includes(statOf(pid)?.state)

/** The processes whose parent is this one. */
function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && statOf(name)?.parent === pid)
    .map(Number)
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch {
    // It is gone already.
  }
}

export interface PostgresOptions {
  /** Whether a restart finds what was there before. @defaultValue true */
  readonly persistence?: boolean
  /** Settings of the server, as in postgresql.conf. */
  readonly settings?: Readonly<Record<string, string>>
}

/** A PostgreSQL of our own, on a free port, with all that it keeps in a directory that goes with it. */
export class PostgresServer implements AsyncDisposable {
  readonly port: number
  readonly #home: string
  readonly #bin: string
  readonly #options: PostgresOptions
  readonly #user = otherUser()
  readonly #ends: Array<() => Promise<unknown>> = []
  #server: ChildProcess | undefined
  readonly #atExit = (): void => this.#signalAll('SIGKILL')

  private constructor(port: number, bin: string, options: PostgresOptions) {
    this.port = port
    this.#bin = bin
    this.#options = options
    this.#home = mkdtempSync(join(tmpdir(), 'gate101-postgres-'))
    if (this.#user.uid !== undefined) chownSync(this.#home, this.#user.uid, this.#user.gid ?? 0)
  }

  static async start(options: PostgresOptions = {}): Promise<PostgresServer> {
    const found = findPostgres()
    if ('missing' in found) throw new Error(found.missing)
    const server = new PostgresServer(await freePort(), found.path, options)
    process.once('exit', server.#atExit)
    const data = ['-D', join(server.#home, 'data'), '-U', 'owner', '--auth=trust', '-E', 'UTF8', '--locale=C', '-N']
    server.#run(join(found.path, 'initdb'), data)
    if (options.persistence === false)
      server.#run('cp', ['-a', join(server.#home, 'data'), join(server.#home, 'empty')])
    await server.restart()
    return server
  }

  /** The server's whole address; `user` is the superuser where no other is said. */
  url(user = 'owner'): string {
    return `postgres://${user}@127.0.0.1:${this.port}/postgres`
  }

  /** A client that is ended with the server. Nobody listens to its errors. */
  pool(options: PoolConfig = {}): Pool {
    const pool = new Pool({ connectionString: this.url(), max: 6, ...options })
    this.#ends.push(async () => await (pool.ending || pool.end()))
    return pool
  }

  sql(options: postgres.Options<Record<string, never>> = {}): postgres.Sql {
    const sql = postgres(this.url(), { max: 5, fetch_types: false, ...options })
    this.#ends.push(async () => await sql.end({ timeout: 0 }))
    return sql
  }

  /** As a crash does: nothing is written any more. */
  async kill(): Promise<void> {
    const server = this.#server
    if (server?.pid === undefined) return
    const children = childrenOf(server.pid)
    const ended = once(server, 'exit')
    this.#signalAll('SIGKILL')
    await ended
    this.#server = undefined
    // Those that are left would keep the next one from its memory.
    while (children.some(isRunning)) await new Promise((resolve) => setTimeout(resolve, 5))
  }

  /** Starts it again where it was killed; without persistence, from nothing. */
  async restart(): Promise<void> {
    if (this.#options.persistence === false) {
      rmSync(join(this.#home, 'data'), { recursive: true, force: true })
      this.#run('cp', ['-a', join(this.#home, 'empty'), join(this.#home, 'data')])
    }
    const settings = { listen_addresses: '127.0.0.1', unix_socket_directories: '', ...this.#options.settings }
    const server = spawn(
      join(this.#bin, 'postgres'),
      ['-D', join(this.#home, 'data'), '-p', String(this.port)].concat(
        Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
      ),
      { ...this.#user, stdio: ['ignore', 'ignore', 'pipe'] },
    )
    this.#server = server
    const said: string[] = []
    for await (const line of createInterface(server.stderr)) {
      said.push(line)
      if (/ready to accept (read-only )?connections/.test(line)) {
        server.stderr.resume()
        return
      }
    }
    throw new Error(`PostgreSQL did not start:\n${said.join('\n')}`)
  }

  /** Stops the processes as they are: connections stay open, and nobody answers. */
  pause(): void {
    this.#signalAll('SIGSTOP')
    const pid = this.#server?.pid
    for (const one of pid === undefined ? [] : [pid, ...childrenOf(pid)]) waitUntilStopped(one)
  }

  resume(): void {
    this.#signalAll('SIGCONT')
  }

  /** Starts it again as a standby of nobody; `SELECT pg_promote()` makes it the primary. */
  async becomeStandby(): Promise<void> {
    await this.kill()
    const mark = join(this.#home, 'data', 'standby.signal')
    writeFileSync(mark, '')
    if (this.#user.uid !== undefined) chownSync(mark, this.#user.uid, this.#user.gid ?? 0)
    await this.restart()
  }

  async stop(): Promise<void> {
    const ended = Promise.all(this.#ends.splice(0).map(async (end) => await end()))
    // A test that has failed may have kept a session, which a pool waits for.
    await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 5000).unref())])
    await this.kill()
    process.removeListener('exit', this.#atExit)
    rmSync(this.#home, { recursive: true, force: true })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  #signalAll(name: NodeJS.Signals): void {
    const pid = this.#server?.pid
    if (pid === undefined) return
    // The parent first: it makes no more children.
    const order = [pid, ...childrenOf(pid)]
    for (const one of order) signal(one, name)
  }

  #run(command: string, args: readonly string[]): void {
    const done = spawnSync(command, args, { ...this.#user, cwd: this.#home, encoding: 'utf8' })
    if (done.status !== 0) throw new Error(`${command} failed: ${done.stderr}`)
  }
}
