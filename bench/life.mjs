// Rows about what comes after the 101: revocations among many open connections, and expiries.
import { measureExpiries } from './expiries.mjs'
import { connections, measureRevocations } from './revoke.mjs'
import { SOCKETS } from './revoked.mjs'
import { EXPIRIES, REVOCATIONS } from './rows.mjs'
import { median, quantile, quotients, spread, verdict } from './stats.mjs'

/** @returns rows of data, and with `detail` all that was found */
export async function lifeRows(rounds, progress) {
  const { of, over, job } = REVOCATIONS
  const revoked = await measureRevocations([of, over, `${over}#2`], job, rounds, progress)
  const expiries = await measureExpiries([EXPIRIES.of, ...EXPIRIES.over, `${EXPIRIES.over[0]}#2`], rounds, progress)
  const [mine, theirs, again] = [...revoked.values()]
  return [latencyRow(mine, theirs, again), ...everybodyRows(mine, theirs, again), ...expiryRows(expiries)]
}

function latencyRow(mine, theirs, again) {
  const all = (visits) => visits.flatMap(({ latencies }) => latencies)
  const summary = (visits) => ({
    p50: median(all(visits)),
    p99: quantile(all(visits), 0.99),
    max: Math.max(...all(visits)),
    count: all(visits).length,
  })
  const middles = (visits) => visits.map(({ latencies }) => median(latencies))
  const [latency, control] = [summary(mine), summary(theirs)]
  return {
    name: `revocation of one subject (${SOCKETS} sockets with steady messages) among ${connections()}, from the call to the last frame at its clients, Close included`,
    unit: 'latency',
    goal: 5,
    value: latency.p99,
    latency: { of: latency, over: control },
    self: spread(quotients(middles(again), middles(theirs))),
    detail: { of: latency, over: control, 'control again': summary(again) },
    verdict: verdict(latency.p99, 5),
  }
}

/** What a revocation of everybody did, by name: in milliseconds. */
const EVERYBODY = {
  collection: ({ all }) => all.collections.longest,
  gone: ({ all }) => all.whole.ms,
  closed: ({ all }) => all.closed,
  cpu: ({ all }) => all.whole.cpu,
  'stall of the call': ({ all }) => all.call.stall,
  stall: ({ all }) => all.whole.stall,
}

function everybodyRows(mine, theirs, again) {
  const each = (visits, name) => visits.map(EVERYBODY[name])
  const ratio = (name, text, goal) => {
    const found = spread(quotients(each(mine, name), each(theirs, name)))
    return {
      name: `revocation of all ${connections()}, ${text}, over a loop in slices`,
      unit: 'ratio',
      goal,
      value: found.median,
      ratio: found,
      self: spread(quotients(each(again, name), each(theirs, name))),
      cost: { of: median(each(mine, name)), over: median(each(theirs, name)), unit: 'ms' },
      verdict: verdict(found.median, goal),
    }
  }
  const stallRow = (text, name, goal) => {
    const summary = (list) => ({ median: median(list), worst: Math.max(...list) })
    const [of, over] = [summary(each(mine, name)), summary(each(theirs, name))]
    return {
      name: `revocation of all ${connections()}, ${text}`,
      unit: 'stall',
      goal,
      value: of.median,
      stall: { of, over },
      verdict: verdict(of.median, goal),
    }
  }
  return [
    stallRow('longest stall of the event loop while revoke() runs', 'stall of the call', 10),
    stallRow('longest stall of the event loop until the last socket is gone', 'stall'),
    stallRow('longest garbage collection meanwhile', 'collection'),
    ratio('cpu', 'CPU until the server has no socket of theirs', 1.1),
    ratio('gone', 'time until then'),
    ratio('closed', 'time until the last client has its Close'),
  ]
}

/** By name: what it is called, unit, goal. */
const EXPIRY = {
  bytes: ['heap of one of 100,000 expiries, beyond the connection', 'B', 48],
  deleted: ['setting and deleting one of 100,000 expiries', 'µs', 1.2],
  expired: ['setting one of 100,000 expiries, that expires', 'µs', 1.2],
  timers: ['timers that 100,000 expiries arm', '', 1],
}

function expiryRows(found) {
  const [heap] = EXPIRIES.over
  return Object.entries(EXPIRY).map(([name, [text, unit, goal]]) => {
    const each = (way) => found.get(way).map((one) => one[name])
    const value = median(each(EXPIRIES.of))
    return {
      name: text,
      unit: 'each',
      goal,
      value,
      of: spread(each(EXPIRIES.of)),
      over: EXPIRIES.over.map((way) => ({
        way,
        value: median(each(way)),
        ratio: median(quotients(each(EXPIRIES.of), each(way))),
      })),
      self: name === 'timers' ? undefined : spread(quotients(each(`${heap}#2`), each(heap))),
      measure: unit,
      verdict: verdict(value, goal),
    }
  })
}
