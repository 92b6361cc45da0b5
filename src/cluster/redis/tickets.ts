import type { TicketStore } from '../../core/ticket-store.ts'
import { toBytes } from './driver.ts'
import type { Run } from './log.ts'
import type { Names } from './names.ts'
import { NOW, script, TEXT } from './script.ts'

/** The name of the server's process, of 40 digits: another one may have what was taken, from before it was. */
const RUN = `
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
`

/**
 * KEYS: ticket, owners, lapses. ARGV: id, owner, lifetime, limit, data. What an owner has stands in `owners` in alphabetical order, as
 * `owner:id`; the same in `lapses` by time, so that what was never taken goes.
 */
const ADD = script(`${NOW}${TEXT}${RUN}
if redis.call('EXISTS', KEYS[1]) == 1 then return redis.error_reply('GATE101 there is a ticket of this id') end
repeat
  local late = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', text(now), 'LIMIT', 0, 1000)
  if #late > 0 then
    redis.call('ZREM', KEYS[2], unpack(late))
    redis.call('ZREM', KEYS[3], unpack(late))
  end
until #late == 0
if redis.call('ZLEXCOUNT', KEYS[2], '[' .. ARGV[2] .. ':', '(' .. ARGV[2] .. ';') >= tonumber(ARGV[4]) then return 0 end
local member = ARGV[2] .. ':' .. ARGV[1]
redis.call('SET', KEYS[1], run .. #ARGV[2] .. ':' .. ARGV[2] .. ARGV[5], 'PX', ARGV[3])
redis.call('ZADD', KEYS[2], 0, member)
redis.call('ZADD', KEYS[3], text(now + ARGV[3]), member)
for n = 2, 3 do
  if redis.call('PTTL', KEYS[n]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[n], ARGV[3]) end
end
return 1
`)

/** KEYS: ticket, owners, lapses. ARGV: id. */
const TAKE = script(`${RUN}
local value = redis.call('GETDEL', KEYS[1])
if not value then return false end
local isOurs = string.sub(value, 1, #run) == run
value = string.sub(value, 41)
local colon = string.find(value, ':', 1, true)
local data = colon + 1 + tonumber(string.sub(value, 1, colon - 1))
local member = string.sub(value, colon + 1, data - 1) .. ':' .. ARGV[1]
redis.call('ZREM', KEYS[2], member)
redis.call('ZREM', KEYS[3], member)
return isOurs and string.sub(value, data)
`)

/** @param run - resolves only when what was done is as durable as was promised. */
export function ticketsOf(run: Run, names: Names): TicketStore {
  const keysOf = (id: string): string[] => [names.ticket(id), names.owners, names.lapses]
  return {
    async add({ id, owner, data, lifetime, limit }) {
      const most = Math.min(limit, Number.MAX_SAFE_INTEGER)
      return (await run(ADD, keysOf(id), [id, owner, String(Math.ceil(lifetime)), String(most), data])) === 1
    },
    async take(id) {
      const data = await run(TAKE, keysOf(id), [id])
      return data === null ? undefined : toBytes(data)
    },
  }
}
