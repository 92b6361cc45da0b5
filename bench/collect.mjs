// Runs the chosen groups and turns samples into rows of data: name, goal, measured, control to itself, verdict.
import { keyOf, measure, twinOf } from './measure.mjs'
import { heldAfterRefusal, idleConnection, listeners } from './memory.mjs'
import { HELD, LISTENERS, MEMORY, PEERS, ROWS, SYSCALLS } from './rows.mjs'
import { median, spread } from './stats.mjs'
import { HAS_STRACE, syscalls } from './syscalls.mjs'

const MEMORY_RUNS = 3
const ACCEPTED = PEERS.find(({ server }) => server === 'ws').accepted.job

/** @returns `{ rows, peers }` as data */
export async function collect(groups, rounds, progress) {
  const has = (group) => groups.includes(group)
  const samples = await cpuSamples(groups, rounds, progress)
  const rows = ROWS.filter(({ group }) => has(group)).map((row) => cpuRow(samples, row))
  if (has('messages')) rows.push(await listenersRow())
  if (has('held')) rows.push(await heldRow(progress))
  if (has('syscalls')) rows.push(...(await syscallRows(progress)))
  const memory = await memoryOf(groups, progress)
  if (has('memory')) rows.push(...MEMORY.map((row) => memoryRow(memory, row)))
  const peers = has('peers') ? PEERS.map((peer) => peerRow(samples, memory, peer)) : []
  return { rows, peers }
}

async function cpuSamples(groups, rounds, progress) {
  const rows = ROWS.filter(({ group }) => groups.includes(group))
  const peers = groups.includes('peers') ? PEERS : []
  const parts = [
    ...rows.flatMap(({ of, over }) => [...of, ...over, ...over.map(twinOf)]),
    ...peers.flatMap(({ accepted, refused, echo }) => [accepted, refused, echo]),
  ]
  const unique = [...new Map(parts.map((part) => [keyOf(part), part])).values()]
  return unique.length === 0 ? new Map() : measure(unique, rounds, progress)
}

/** Sums of the parts of a row, one for each round. */
function sums(samples, parts, metric = 'cost') {
  const lists = parts.map((part) => samples.get(keyOf(part)))
  return lists[0].map((_, round) => lists.reduce((total, list) => total + list[round][metric], 0))
}

const quotients = (these, those) => these.map((value, n) => value / those[n])

function cpuRow(samples, { name, group, of, over, goal, metric }) {
  const these = sums(samples, of, metric)
  const those = sums(samples, over, metric)
  const ratio = spread(quotients(these, those))
  const self = spread(quotients(sums(samples, over.map(twinOf), metric), those))
  const row = {
    name,
    unit: 'ratio',
    goal,
    value: ratio.median,
    ratio,
    self,
    cost: { of: median(these), over: median(those), unit: 'us' },
  }
  if (group === 'messages')
    row.perSecond = { of: median(sums(samples, of, 'perSecond')), over: median(sums(samples, over, 'perSecond')) }
  const noise = Math.abs(self.median - 1)
  // The goal of a message is that no difference can be seen; all other goals are plain.
  const judged = verdict(ratio.median, goal, group === 'messages' ? noise : 0)
  return { ...row, verdict: judged !== '' && noise > NOISY ? `${judged}, noisy` : judged }
}

/** Past this the control differs from itself so much that the row says little. */
const NOISY = 0.1

/** @param noise - added to the goal */
function verdict(value, goal, noise = 0) {
  if (goal === undefined) return ''
  return value <= goal + noise ? 'ok' : 'over'
}

async function listenersRow() {
  const text = JSON.stringify(await listeners(LISTENERS.over, LISTENERS.job))
  const other = []
  for (const name of LISTENERS.of) {
    const found = JSON.stringify(await listeners(name, LISTENERS.job))
    if (found !== text) other.push({ name, found })
  }
  const name = 'adapters whose open connections have other listeners or wrappers than those of `ws`'
  return {
    name,
    unit: 'count',
    goal: 0,
    value: other.length,
    detail: { ws: text, other },
    verdict: verdict(other.length, 0),
  }
}

async function heldRow(progress) {
  const held = {}
  for (const server of HELD.servers) held[server] = await heldAfterRefusal(server, Object.values(HELD.jobs))
  progress('sockets of refused clients counted')
  const value = Object.values(held).reduce((sum, count) => sum + count, 0)
  const name = `sockets held 1 s after refusing clients that do not close (${HELD.servers.length} servers, 800 clients each, 4 refusals)`
  return { name, unit: 'count', goal: 0, value, detail: held, verdict: verdict(value, 0) }
}

async function syscallRows(progress) {
  if (!HAS_STRACE) return []
  const rows = []
  for (const { name, of, over, goal = 0.1 } of SYSCALLS) {
    const [mine, theirs, again] = [await syscalls(of), await syscalls(over), await syscalls(over)]
    if (mine === undefined || theirs === undefined || again === undefined) return rows
    const more = mine.total - theirs.total
    const limit = goal ?? undefined
    const self = again.total - theirs.total
    rows.push({
      name,
      unit: 'calls',
      goal: limit,
      value: more,
      self,
      cost: { of: mine.total, over: theirs.total, unit: 'calls' },
      detail: { of: mine.calls, over: theirs.calls },
      verdict: verdict(more, limit, Math.abs(self)),
    })
    progress(`system calls: ${of.server}`)
  }
  return rows
}

async function memoryOf(groups, progress) {
  const parts = new Map()
  if (groups.includes('memory'))
    for (const { of, over } of MEMORY) for (const server of [of, over]) parts.set(server, { server, job: ACCEPTED })
  if (groups.includes('peers')) for (const { server, accepted } of PEERS) parts.set(server, accepted)
  const runs = new Map([...parts.keys(), ...(parts.size > 0 ? ['ws#2'] : [])].map((server) => [server, []]))
  if (parts.size > 0) parts.set('ws#2', { server: 'ws#2', job: ACCEPTED })
  for (let run = 1; run <= MEMORY_RUNS && parts.size > 0; run++) {
    for (const [server, part] of parts) runs.get(server).push(await idleConnection(part))
    progress(`memory: ${run} of ${MEMORY_RUNS}`)
  }
  return new Map(
    [...runs].map(([server, list]) => [
      server,
      { heap: median(list.map(({ heap }) => heap)), rss: median(list.map(({ rss }) => rss)) },
    ]),
  )
}

function memoryRow(memory, { name, of, over, goal }) {
  const [mine, theirs] = [memory.get(of), memory.get(over)]
  const more = mine.heap - theirs.heap
  return {
    name,
    unit: 'bytes',
    goal,
    value: more,
    self: memory.get('ws#2').heap - memory.get('ws').heap,
    cost: { of: mine.heap, over: theirs.heap, unit: 'B' },
    detail: { of: mine, over: theirs },
    verdict: verdict(more, goal),
  }
}

function peerRow(samples, memory, { name, server, accepted, refused, echo }) {
  const floor = PEERS.find((peer) => peer.server === 'ws')
  const metric = (part, control) => ({
    us: median(sums(samples, [part])),
    ratio: median(quotients(sums(samples, [part]), sums(samples, [control]))),
  })
  return {
    name,
    accepted: metric(accepted, floor.accepted),
    refused: metric(refused, floor.refused),
    echo: { ...metric(echo, floor.echo), perSecond: median(sums(samples, [echo], 'perSecond')) },
    memory: { ...memory.get(server), over: memory.get(server).heap - memory.get('ws').heap },
  }
}
