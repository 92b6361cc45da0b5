import type { Report } from '../engine.ts'
import { toBytes, toList, toText } from './driver.ts'
import type { Run } from './log.ts'
import type { Names } from './names.ts'
import { NOW, PRIMARY, script } from './script.ts'

/** Each value begins with its time: 16 digits. One that is to stay for longer than an hour none of the nodes has made. */
const LIVING = `${NOW}
local function isOver(value)
  local over = tonumber(string.sub(value, 1, 16))
  return not over or over <= now or over > now + 3600000
end
`

/** KEYS: reports. ARGV: node, ttl, data. Every node reports now and then: a good time for what nobody has taken away. */
const REPORT = script(`${LIVING}
if ARGV[3] ~= '' then
  redis.call('HSET', KEYS[1], ARGV[1], string.format('%016.0f', now + ARGV[2]) .. ARGV[3])
else
  redis.call('HDEL', KEYS[1], ARGV[1])
end
local all = redis.call('HGETALL', KEYS[1])
for n = 1, #all, 2 do
  if isOver(all[n + 1]) then redis.call('HDEL', KEYS[1], all[n]) end
end
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1
`)

/** What is longer than 4 KiB nobody can read in any case. */
const REPORTS = script(`${PRIMARY}${LIVING}
local found = {}
local all = redis.call('HGETALL', KEYS[1])
for n = 1, #all, 2 do
  if not isOver(all[n + 1]) then
    found[#found + 1] = all[n]
    found[#found + 1] = string.sub(all[n + 1], 17, 4112)
  end
end
return found
`)

export interface Reports {
  report(node: string, data: Uint8Array, ttl: number): Promise<void>
  reports(): Promise<readonly Report[]>
}

export function reportsOf(run: Run, names: Names): Reports {
  return {
    async report(node, data, ttl) {
      await run(REPORT, [names.reports], [node, String(Math.ceil(ttl)), data])
    },
    async reports() {
      const found = toList(await run(REPORTS, [names.reports]))
      const reports: Report[] = []
      for (let n = 0; n < found.length; n += 2) reports.push({ node: toText(found[n]), data: toBytes(found[n + 1]) })
      return reports
    },
  }
}
