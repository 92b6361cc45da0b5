import type { Place } from '../engine.ts'
import type { Run } from './log.ts'
import type { Names } from './names.ts'
import { NOW, script, TEXT } from './script.ts'

/** Holders by the time until which they hold it. */
const HOLD = `${NOW}${TEXT}
local function hold(key, id, ttl)
  redis.call('ZADD', key, text(now + ttl), id)
  if redis.call('PTTL', key) < tonumber(ttl) then redis.call('PEXPIRE', key, ttl) end
end
`

/** KEYS: place. ARGV: id, ttl, limit. */
const ENTER = script(`${HOLD}
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', text(now))
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then return 0 end
hold(KEYS[1], ARGV[1], ARGV[2])
return 1
`)

/** KEYS: places. ARGV: ttl, then the id for each. */
const KEEP = script(`${HOLD}
for n, key in ipairs(KEYS) do hold(key, ARGV[n + 1], ARGV[1]) end
return 1
`)

/** KEYS: places. ARGV: the id for each. */
const LEAVE = script(`
for n, key in ipairs(KEYS) do redis.call('ZREM', key, ARGV[n]) end
return 1
`)

export interface Places {
  enter(place: Place, ttl: number, limit: number): Promise<boolean>
  keep(places: readonly Place[], ttl: number): Promise<void>
  leave(places: readonly Place[]): Promise<void>
}

/** @param write - the same, resolving only when what was done is as durable as was promised. */
export function placesOf(run: Run, write: Run, names: Names): Places {
  const keysOf = (places: readonly Place[]): string[] => places.map(({ key }) => names.place(key))
  const idsOf = (places: readonly Place[]): string[] => places.map(({ id }) => id)
  return {
    async enter({ key, id }, ttl, limit) {
      const most = Math.min(limit, Number.MAX_SAFE_INTEGER)
      return (await write(ENTER, [names.place(key)], [id, String(Math.ceil(ttl)), String(most)])) === 1
    },
    async keep(places, ttl) {
      if (places.length > 0) await run(KEEP, keysOf(places), [String(Math.ceil(ttl)), ...idsOf(places)])
    },
    async leave(places) {
      if (places.length > 0) await run(LEAVE, keysOf(places), idsOf(places))
    },
  }
}
