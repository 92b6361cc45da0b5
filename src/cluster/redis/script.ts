import { createHash } from 'node:crypto'

/** A script, and what the server calls it. */
export interface Script {
  readonly text: string
  readonly sha: string
}

export function script(text: string): Script {
  return { text, sha: createHash('sha1').update(text).digest('hex') }
}

/** `now`: milliseconds, by the clock of the server. */
export const NOW = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
`

/** Numbers as texts, whatever their size. */
export const TEXT = `
local function text(number) return string.format('%.0f', number) end
`

/** A replica may be behind. What only reads would be answered by it, too. */
export const PRIMARY = `
if not string.find(redis.call('INFO', 'replication'), 'role:master', 1, true) then
  return redis.error_reply('READONLY this server is a replica')
end
`
