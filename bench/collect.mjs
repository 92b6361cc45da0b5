// Runs the chosen groups and turns samples into rows of data: name, goal, measured, control to itself, verdict.
import { clusterRows } from './cluster.mjs'
import { lifeRows } from './life.mjs'
import { keyOf, measure, twinOf } from './measure.mjs'
import { heldAfterRefusal, idleConnection, listeners } from './memory.mjs'
import { HELD, LISTENERS, MEMORY, PEERS, ROWS, SYSCALLS } from './rows.mjs'
import { median, quotients, spread, verdict } from './stats.mjs'
import { HAS_STRACE, syscalls } from './syscalls.mjs'

const MEMORY_RUNS = 3

/** @returns `{ rows, peers }` as data */
export async function collect(groups, rounds, progress) {
  const has = (group) => groups.includes(group)
  const samples = await cpuSamples(groups, rounds, progress)
  const rows = ROWS.filter(({ group }) => has(group)).map((row) => cpuRow(samples, row))
  if (has('messages')) rows.push(await listenersRow())
  if (has('held')) rows.push(await heldRow(progress))
  if (has('syscalls')) rows.push(...(await syscallRows(progress)))
  const memory = await memoryOf(groups, progress)
  rows.push(...MEMORY.filter(({ group }) => has(group)).map((row) => memoryRow(memory, row)))
  if (has('life')) rows.push(...(await lifeRows(rounds, progress)))
  if (has('cluster')) rows.push(...(await clusterRows(rounds, progress)))
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
  // The goal of these is that no difference can be seen; all other goals are plain.
  const judged = verdict(ratio.median, goal, NO_DIFFERENCE.includes(group) ? noise : 0)
  return { ...row, verdict: judged !== '' && noise > NOISY ? `${judged}, noisy` : judged }
}

const NO_DIFFERENCE = ['messages', 'cluster']

/** Past this the control differs from itself so much that the row says little. */
const NOISY = 0.1

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

/** @returns heap and resident memory of an idle connection, by `keyOf` */
async function memoryOf(groups, progress) {
  const rows = MEMORY.filter(({ group }) => groups.includes(group))
  const peers = groups.includes('peers') ? PEERS.map(({ accepted }) => accepted) : []
  const parts = new Map(
    [...rows.flatMap(({ of, over }) => [of, over, twinOf(over)]), ...peers].map((part) => [keyOf(part), part]),
  )
  const runs = new Map([...parts.keys()].map((key) => [key, []]))
  for (let run = 1; run <= MEMORY_RUNS && parts.size > 0; run++) {
    for (const [key, part] of parts) runs.get(key).push(await idleConnection(part))
    progress(`memory: ${run} of ${MEMORY_RUNS}`)
  }
  return new Map(
    [...runs].map(([key, list]) => [
      key,
      { heap: median(list.map(({ heap }) => heap)), rss: median(list.map(({ rss }) => rss)) },
    ]),
  )
}

function memoryRow(memory, { name, of, over, goal }) {
  const [mine, theirs, again] = [of, over, twinOf(over)].map((part) => memory.get(keyOf(part)))
  const more = mine.heap - theirs.heap
  return {
    name,
    unit: 'bytes',
    goal,
    value: more,
    self: again.heap - theirs.heap,
    cost: { of: mine.heap, over: theirs.heap, unit: 'B' },
    detail: { of: mine, over: theirs },
    verdict: verdict(more, goal),
  }
}

function peerRow(samples, memory, { name, accepted, refused, echo }) {
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
    memory: {
      ...memory.get(keyOf(accepted)),
      over: memory.get(keyOf(accepted)).heap - memory.get(keyOf(floor.accepted)).heap,
    },
  }
}
