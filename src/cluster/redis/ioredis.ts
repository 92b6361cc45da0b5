import { toBuffer, type Arg, type Connection, type Driver } from './driver.ts'

/** What is used of a connection of ioredis. */
export interface IoredisConnection {
  connect(): Promise<unknown>
  on(event: 'error', listener: (error: Error) => void): unknown
  on(event: 'end', listener: () => void): unknown
  on(event: 'messageBuffer', listener: (channel: Buffer, message: Buffer) => void): unknown
  callBuffer(command: string, args: Array<string | Buffer>): Promise<unknown>
  subscribe(...channels: string[]): Promise<unknown>
  disconnect(): void
}

/** What is used of a client of ioredis 6: a `Redis`. */
export interface IoredisClient {
  readonly isCluster: boolean
  readonly options: { readonly keyPrefix?: string | undefined; readonly db?: number | undefined }
  callBuffer(command: string, args: Array<string | Buffer>): Promise<unknown>
  duplicate(overrides: object): IoredisConnection
}

/** What is used of a client of ioredis 6 for a cluster of servers: a `Cluster`. */
export interface IoredisClusterClient {
  readonly isCluster: boolean
  readonly options: { readonly keyPrefix?: string | undefined; readonly redisOptions?: object | undefined }
  callBuffer(command: string, args: Array<string | Buffer>): Promise<unknown>
  duplicate(startupNodes: never[], overrides: object): IoredisConnection
}

/** A connection of ours never comes again by itself, and keeps nothing for later. */
const ONCE = {
  lazyConnect: true,
  retryStrategy: null,
  reconnectOnError: null,
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  enableAutoPipelining: false,
  enableReadyCheck: false,
  disconnectTimeout: 100,
  keyPrefix: '',
  replyMapping: 'legacy',
  stringNumbers: false,
  commandTimeout: undefined,
}

export function ioredisDriver(client: IoredisClient): Driver {
  return {
    keyPrefix: client.options.keyPrefix ?? '',
    database: client.options.db ?? 0,
    isOne: true,
    connect: (lost) => connectionOf(client.duplicate(ONCE), lost),
  }
}

export function ioredisClusterDriver(client: IoredisClusterClient): Driver {
  const { keyPrefix, redisOptions } = client.options
  const { commandTimeout, replyMapping, stringNumbers } = ONCE
  const overrides = {
    lazyConnect: true,
    clusterRetryStrategy: null,
    enableOfflineQueue: false,
    enableAutoPipelining: false,
    // What may have been done is not sent again.
    retryDelayOnFailover: 0,
    scaleReads: 'master',
    keyPrefix: '',
    redisOptions: { ...redisOptions, keyPrefix: '', commandTimeout, replyMapping, stringNumbers },
  }
  return {
    keyPrefix: keyPrefix ?? '',
    database: 0,
    isOne: false,
    connect: (lost) => connectionOf(client.duplicate([], overrides), lost),
  }
}

function connectionOf(made: IoredisConnection, lost: (why?: unknown) => void): Connection {
  let isOver = false
  let why: Error | undefined
  made.on('error', (error) => (why ??= error))
  made.on('end', () => isOver || lost(why))
  return {
    ready: made.connect().then(
      () => undefined,
      (error: unknown) => {
        throw why ?? error
      },
    ),
    async send(_key, [command, ...args]) {
      return await made.callBuffer(String(command), args.map(toArgument))
    },
    async subscribe(channels, hear) {
      made.on('messageBuffer', (channel, message) => hear(channel.toString(), message))
      await made.subscribe(...channels)
    },
    drop() {
      isOver = true
      made.disconnect()
    },
  }
}

function toArgument(arg: Arg): string | Buffer {
  return typeof arg === 'string' ? arg : toBuffer(arg)
}
