/** One part of a command. */
export type Arg = string | Uint8Array

/** One connection of a client, for as long as it lasts. It sends what it is given at once, and once. */
export interface Connection {
  /** Rejects where there is none. */
  readonly ready: Promise<void>
  /**
   * @param key - one of the keys that it is about; tells where it goes in a cluster of servers.
   * @returns the reply, with every text as bytes.
   */
  send(key: string, args: readonly Arg[]): Promise<unknown>
  subscribe(channels: readonly string[], hear: (channel: string, data: Uint8Array) => void): Promise<void>
  /** Ends it. Idempotent. */
  drop(): void
}

/** What the engine needs of a client. */
export interface Driver {
  /** What the client puts before every key. */
  readonly keyPrefix: string
  /** The number of the database that it has chosen. */
  readonly database: number
  /** Whether `send` may be about the connection itself, too: a client of a cluster has many of them. */
  readonly isOne: boolean
  /** @param lost - called when it is no more, unless it was dropped. */
  connect(lost: (why?: unknown) => void): Connection
}

/** What a client or the server says, without what it knows: errors may hold arguments, addresses and names of users. */
export class RedisError extends Error {
  /** The first word of the server's error; empty where the server has said nothing. */
  readonly code: string

  constructor(thrown: unknown) {
    const message = thrown instanceof Error ? thrown.message : ''
    const code = codeOf(message)
    super(`Redis: ${code === '' ? noAnswer(thrown) : refusal(code, message)}`)
    this.code = code
  }
}

export function toError(thrown: unknown): RedisError {
  return thrown instanceof RedisError ? thrown : new RedisError(thrown)
}

function codeOf(message: string): string {
  if (/NOPERM |ACL failure|The user executing the script/.test(message)) return 'NOPERM'
  // Older servers tell inside of an error of the script what has failed in it.
  return /: -?([A-Z][A-Z0-9]+) /.exec(message)?.[1] ?? /^([A-Z][A-Z0-9]+)( |$)/.exec(message)?.[1] ?? ''
}

function noAnswer(thrown: unknown): string {
  const code = thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : ''
  return /^\w{1,40}$/.test(code) ? `no answer (${code})` : 'no answer'
}

function refusal(code: string, message: string): string {
  const own = /GATE101 ([\w ]+)/.exec(message)?.[1]
  if (own !== undefined) return own
  return code === 'NOPERM' ? notPermitted(message) : `refused (${code})`
}

function notPermitted(message: string): string {
  if (/\bchannels?\b/.test(message)) return 'the user may not use the channels (NOPERM)'
  if (/\bkeys?\b/.test(message)) return 'the user may not use the keys (NOPERM)'
  const command = /'([a-z|]{1,40})'/i.exec(message)?.[1] ?? 'all commands'
  return `the user may not run ${command.toUpperCase()} (NOPERM)`
}

export function toBuffer(data: Uint8Array): Buffer {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength)
}

/** Clients give texts as bytes where they were asked to; some of them are short and known. */
export function toText(reply: unknown): string {
  return reply instanceof Uint8Array ? toBuffer(reply).toString() : String(reply)
}

export function toBytes(reply: unknown): Uint8Array {
  if (reply instanceof Uint8Array) return reply
  throw new Error('Redis: an answer that cannot be read')
}

export function toList(reply: unknown): readonly unknown[] {
  if (Array.isArray(reply)) return reply
  throw new Error('Redis: an answer that cannot be read')
}
