import { Gate101Error } from '../../core/errors.ts'
import type { Durability } from '../engine.ts'
import { RedisError, toError, toList, toText, type Arg } from './driver.ts'
import { script } from './script.ts'

const OLDEST = '6.2'

/** What a server says of itself: of the one that has our keys, where there are many. */
const INFO = script(`
local said = ''
for _, section in ipairs({'server', 'replication', 'persistence', 'memory'}) do
  local reply = redis.pcall('INFO', section)
  if type(reply) == 'table' then return redis.error_reply(reply.err .. " 'INFO'") end
  said = said .. reply .. '\\r\\n'
end
return said
`)

/** Everything that the other scripts do. KEYS: trial. ARGV: channel. */
const TRIAL = script(`
local key = KEYS[1]
local commands = {
  {'TIME'}, {'PUBLISH', ARGV[1], ''}, {'DEL', key},
  {'XADD', key, '1-0', 'e', ''}, {'XRANGE', key, '1', '+', 'COUNT', 1}, {'XTRIM', key, 'MINID', '2'}, {'DEL', key},
  {'HSET', key, 'f', 'v'}, {'HGET', key, 'f'}, {'HMGET', key, 'f'}, {'HGETALL', key}, {'HDEL', key, 'f'},
  {'ZADD', key, 0, 'm'}, {'PTTL', key}, {'PEXPIRE', key, 1000}, {'ZSCORE', key, 'm'}, {'ZCARD', key},
  {'ZLEXCOUNT', key, '[m', '(n'}, {'ZRANGEBYSCORE', key, '-inf', 0, 'LIMIT', 0, 1},
  {'ZREMRANGEBYSCORE', key, '-inf', -1}, {'ZREM', key, 'm'},
  {'EXISTS', key}, {'SET', key, '', 'PX', 1000}, {'GETDEL', key},
}
for _, command in ipairs(commands) do
  local reply = redis.pcall(unpack(command))
  if type(reply) == 'table' and reply.err then return redis.error_reply(reply.err .. " '" .. command[1] .. "'") end
end
return 1
`)

/** Fails where one of these keys is of another type. KEYS: head, log, reports, owners, lapses. */
export const CHECK = script(`
redis.call('HGET', KEYS[1], 'generation')
redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)
redis.call('HGET', KEYS[3], '')
redis.call('ZCARD', KEYS[4])
redis.call('ZCARD', KEYS[5])
return 1
`)

export type Send = (args: readonly Arg[]) => Promise<unknown>

const config = (message: string): Gate101Error => new Gate101Error('GATE101_CONFIG', `redisCluster: ${message}`)

/** What a server has turned out to be. */
export interface Server {
  readonly durable: Exclude<Durability, 'replicated'>
}

/**
 * Finds out whether a server is what the engine needs.
 *
 * @throws Gate101Error `GATE101_CONFIG`
 */
export async function inspect(send: Send, key: string, wanted: Durability): Promise<Server> {
  try {
    const info = factsOf(toText(await send(['EVAL', INFO.text, '1', key])))
    return judge(info, await fsyncOf(send), wanted)
  } catch (error) {
    throw advised(error)
  }
}

/** @throws Gate101Error `GATE101_CONFIG` where the user lacks a right. */
export async function tryAll(send: Send, key: string, channel: string): Promise<void> {
  const rest = ['1', key, channel]
  try {
    await send(['EVALSHA', TRIAL.sha, ...rest])
  } catch (error) {
    if (!(error instanceof RedisError) || error.code !== 'NOSCRIPT') throw advised(error)
    await send(['EVAL', TRIAL.text, ...rest]).catch((thrown: unknown) => {
      throw advised(thrown)
    })
  }
}

/** Rights are what somebody can mend; of a server that cannot be reached the error stays as it is. */
export function advised(thrown: unknown): Error {
  if (thrown instanceof Gate101Error) return thrown
  const error = toError(thrown)
  if (error.code === 'MOVED')
    return config('this is a cluster of servers. Use createCluster of redis, or Cluster of ioredis.')
  if (error.code === 'WRONGTYPE')
    return config('keys {gate101:* hold something that is not ours. Delete them, or choose another `prefix`.')
  if (error.code !== 'NOPERM') return error
  return config(`${error.message}. It needs the keys and channels {gate101:*, and the commands that the docs list.`)
}

function factsOf(info: string): ReadonlyMap<string, string> {
  const facts = new Map<string, string>()
  for (const line of info.split('\r\n')) {
    const colon = line.indexOf(':')
    if (colon > 0) facts.set(line.slice(0, colon), line.slice(colon + 1))
  }
  return facts
}

/** Where it is not told, the log is there after a restart all the same. */
async function fsyncOf(send: Send): Promise<string | undefined> {
  try {
    const reply = await send(['CONFIG', 'GET', 'appendfsync'])
    const [, value] = Array.isArray(reply) ? toList(reply) : [undefined, ...Object.values(Object(reply))]
    return value === undefined ? undefined : toText(value)
  } catch {
    return undefined
  }
}

function judge(facts: ReadonlyMap<string, string>, fsync: string | undefined, wanted: Durability): Server {
  const version = facts.get('redis_version') ?? '0'
  if (isOlder(version, OLDEST)) throw config(`Redis ${OLDEST} or later is needed.`)
  if (facts.get('role') !== 'master') throw config('this server is a read-only replica. Connect to the primary.')
  const policy = facts.get('maxmemory_policy') ?? ''
  if (policy !== 'noeviction')
    throw config(`a server that is full may throw our keys away: set maxmemory-policy noeviction (it is ${policy}).`)
  const isKept = facts.get('aof_enabled') === '1' && fsync !== 'no'
  if (!isKept && wanted !== 'memory')
    throw config(
      `a restart loses what was written: set appendonly yes and appendfsync everysec, or say { durable: 'memory' }.`,
    )
  return { durable: isKept ? 'disk' : 'memory' }
}

function isOlder(version: string, than: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [thanMajor = 0, thanMinor = 0] = than.split('.').map(Number)
  return major < thanMajor || (major === thanMajor && minor < thanMinor)
}
