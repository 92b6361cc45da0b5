import { toBuffer, toBytes, toText, type Arg, type Connection, type Driver } from './driver.ts'

/** What is used of a connection of node-redis. */
export interface NodeRedisConnection {
  connect(): Promise<unknown>
  on(event: string, listener: (why?: unknown) => void): unknown
  sendCommand(args: ReadonlyArray<string | Buffer>): Promise<unknown>
  subscribe(channels: string[], listener: (message: Buffer, channel: Buffer) => void, bufferMode: true): Promise<void>
  destroy(): void
}

/** What is used of a client of redis 6: what `createClient` gives. */
export interface NodeRedisClient {
  readonly options: { readonly keyPrefix?: string | Buffer; readonly socket?: object; readonly database?: number }
  withTypeMapping(mapping: object): unknown
  duplicate(overrides: object): NodeRedisConnection
}

/** What is used of connections to a cluster of servers. */
export interface NodeRedisClusterConnection extends Omit<NodeRedisConnection, 'sendCommand'> {
  sendCommand(firstKey: string, isReadonly: boolean, args: Array<string | Buffer>): Promise<unknown>
}

/** What is used of a client of redis 6 for a cluster of servers: what `createCluster` gives. */
export interface NodeRedisClusterClient {
  nodeClient(node: never): unknown
  duplicate(overrides: object): NodeRedisClusterConnection
}

/** Types of RESP that are texts: `$` and `+`. */
const TEXTS = [36, 43]

const COMMAND_OPTIONS = { timeout: 0, typeMapping: Object.fromEntries(TEXTS.map((type) => [type, Buffer])) }

/** A connection of ours never comes again by itself, and keeps nothing for later. */
const ONCE = {
  disableOfflineQueue: true,
  commandOptions: COMMAND_OPTIONS,
  keyPrefix: undefined,
  clientSideCache: undefined,
  emitInvalidate: undefined,
}

const ignore = (): void => undefined

export function nodeRedisDriver(client: NodeRedisClient): Driver {
  const { keyPrefix = '', socket, database = 0 } = client.options
  return {
    keyPrefix: String(keyPrefix),
    database,
    isOne: true,
    connect(lost) {
      const made = client.duplicate({ ...ONCE, socket: { ...socket, reconnectStrategy: false } })
      return connectionOf(made, lost, async (_key, args) => await made.sendCommand(args))
    },
  }
}

export function nodeRedisClusterDriver(client: NodeRedisClusterClient): Driver {
  const { keyPrefix = '', defaults } = optionsOf(client)
  const { disableOfflineQueue, commandOptions } = ONCE
  const overrides = { keyPrefix: undefined, commandOptions, defaults: { ...defaults, disableOfflineQueue } }
  return {
    keyPrefix: String(keyPrefix),
    database: 0,
    isOne: false,
    connect(lost) {
      const made = client.duplicate(overrides)
      return connectionOf(made, lost, async (key, args) => await made.sendCommand(key, false, args))
    },
  }
}

interface ClusterOptions {
  readonly keyPrefix?: string | Buffer
  /** Of the connections to each server; among them the password. */
  readonly defaults?: object
}

/** What a client of one server tells, this one has, too, but not as something public. */
function optionsOf(client: object): ClusterOptions {
  const options: unknown = Reflect.get(client, '_options')
  if (typeof options === 'object' && options !== null) return options
  throw new Error('redisCluster: this version of createCluster is not known')
}

type Made = Omit<NodeRedisConnection, 'sendCommand'>
type Send = (key: string, args: Array<string | Buffer>) => Promise<unknown>

function connectionOf(made: Made, lost: (why?: unknown) => void, send: Send): Connection {
  let isOver = false
  const drop = (): void => {
    isOver = true
    made.destroy()
  }
  // What was ended while it connected would be there all the same.
  const check = (): void => {
    if (isOver) made.destroy()
  }
  made.on('error', ignore)
  for (const event of ['connect', 'ready']) made.on(event, check)
  for (const event of ['terminated', 'end']) made.on(event, (why) => isOver || lost(why))
  return {
    ready: made.connect().then(check),
    send: async (key, args) => await send(key, args.map(toArgument)),
    async subscribe(channels, hear) {
      const listener = (message: unknown, channel: unknown): void => hear(toText(channel), toBytes(message))
      await made.subscribe([...channels], listener, true)
    },
    drop,
  }
}

function toArgument(arg: Arg): string | Buffer {
  return typeof arg === 'string' ? arg : toBuffer(arg)
}
