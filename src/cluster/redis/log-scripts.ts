import { NOW, PRIMARY, script, TEXT } from './script.ts'

/**
 * KEYS: head, log. ARGV: the name of the next generation, then the newest entry that the caller has seen: generation, number, and
 * digest. A log that does not hold it has lost entries, and others have their numbers or will have: another one is begun.
 * Entries are of 32 KiB at most; what is longer nobody can read in any case.
 */
const LOG = `${PRIMARY}${NOW}${TEXT}
local head = redis.call('HMGET', KEYS[1], 'generation', 'last', 'floor', 'begun')
local generation, last, floor, begun = head[1], tonumber(head[2]), tonumber(head[3]), tonumber(head[4])
local function cut(data) return string.sub(data, 1, 32769) end
local function begin()
  redis.call('DEL', KEYS[1], KEYS[2])
  generation, last, floor, begun = ARGV[1], 0, 0, now
  redis.call('HSET', KEYS[1], 'generation', generation, 'last', '0', 'floor', '0', 'begun', text(now))
end
local function differs(seq)
  local entry = redis.call('XRANGE', KEYS[2], text(seq), text(seq))[1]
  return entry and redis.sha1hex(cut(entry[2][2])) ~= ARGV[4]
end
local seen = tonumber(ARGV[3])
if not (generation and last and floor and begun) then
  begin()
elseif generation == ARGV[2] and (last < seen or seen > floor and differs(seen)) then
  begin()
end
`

/**
 * ARGV: after, limit, whether it leaves a trace: only by what it writes can a server know that it is still the one that all others
 * copy. */
export const READ = script(`${LOG}
if ARGV[7] == '1' then redis.call('HSET', KEYS[1], 'looked', text(now)) end
local from = math.max(tonumber(ARGV[5]), floor)
local page = {generation, text(now - begun), text(floor), text(last)}
for _, entry in ipairs(redis.call('XRANGE', KEYS[2], text(from + 1), '+', 'COUNT', ARGV[6])) do
  page[#page + 1] = string.match(entry[1], '%d+')
  page[#page + 1] = cut(entry[2][2])
end
return page
`)

/** ARGV: the generation, the data, the channel. What may be refused comes before what is kept. */
export const APPEND = script(`${LOG}
if generation ~= ARGV[5] then return false end
redis.call('PUBLISH', ARGV[7], '')
redis.call('XADD', KEYS[2], text(last + 1) .. '-0', 'e', ARGV[6])
redis.call('HSET', KEYS[1], 'last', text(last + 1))
return text(last + 1)
`)

/** ARGV: the generation, up to. */
export const TRIM = script(`${TEXT}
local head = redis.call('HMGET', KEYS[1], 'generation', 'last', 'floor')
if head[1] ~= ARGV[1] then return 0 end
local floor = math.max(math.min(tonumber(ARGV[2]), tonumber(head[2])), tonumber(head[3]))
redis.call('XTRIM', KEYS[2], 'MINID', text(floor + 1))
redis.call('HSET', KEYS[1], 'floor', text(floor))
return 1
`)

/** ARGV: the name of the next generation, the generation. */
export const RESTART = script(`${NOW}${TEXT}
if redis.call('HGET', KEYS[1], 'generation') ~= ARGV[2] then return 0 end
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('HSET', KEYS[1], 'generation', ARGV[1], 'last', '0', 'floor', '0', 'begun', text(now))
return 1
`)
