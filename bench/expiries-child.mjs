// `node --expose-gc expiries-child.mjs WAY`
import { systemClock } from '../dist/core/clock.js'
import { createDeadlines } from '../dist/connections/deadlines.js'
import { cpuOf } from './cpu-of.mjs'
import { createHeap } from './heap-by-hand.mjs'
import { shuffled } from './stats.mjs'

const COUNT = 100_000
const HOUR = 3_600_000
/** Those that are to expire are due within so many milliseconds. */
const SOON = 300
const WARM_UP = 2

let left = 0
let allExpired = () => {}
function expire() {
  if (--left === 0) allExpired()
}

const setTimeouts = {
  item: () => ({ timer: undefined }),
  set(item, dueAt) {
    item.timer = setTimeout(expire, dueAt - Date.now(), item)
    item.timer.unref()
  },
  delete: (item) => clearTimeout(item.timer),
}

function deadlines() {
  const made = createDeadlines(systemClock, expire)
  return { item: () => ({ slot: -1 }), set: (item, at) => made.set(item, at), delete: (item) => made.delete(item) }
}

const WAYS = { deadlines, heap: () => createHeap(expire), setTimeout: () => setTimeouts }
const make = WAYS[process.argv[2]]
let way = make()

const dueAts = Array.from({ length: COUNT }, () => HOUR * (1 + Math.random()))
const order = shuffled(Array.from({ length: COUNT }, (_, n) => n))
const items = () => Array.from({ length: COUNT }, () => way.item())

function setAll(list, within) {
  const now = Date.now()
  for (let n = 0; n < COUNT; n++) way.set(list[n], now + (dueAts[n] / HOUR - 1) * within)
}

function deleteAll(list) {
  for (const n of order) way.delete(list[n])
}

async function heapUsed() {
  for (let n = 0; n < 4; n++) {
    globalThis.gc()
    await new Promise((resolve) => setImmediate(resolve))
  }
  return process.memoryUsage().heapUsed
}

function microseconds(work) {
  globalThis.gc()
  return cpuOf(COUNT, work)
}

const setAndDelete = (list) =>
  microseconds(() => {
    setAll(list, HOUR)
    deleteAll(list)
  })

function setAndExpire(list) {
  left = COUNT
  return microseconds(async () => {
    // No timer of these keeps the process alive.
    const awake = setInterval(() => {}, HOUR)
    const done = new Promise((resolve) => (allExpired = resolve))
    setAll(list, SOON)
    await done
    clearInterval(awake)
  })
}

/** Timers that are armed while all are set. */
function countTimers(list) {
  const { setTimeout, clearTimeout } = globalThis
  const armed = new Set()
  globalThis.setTimeout = (...args) => {
    const timer = setTimeout(...args)
    armed.add(timer)
    return timer
  }
  globalThis.clearTimeout = (timer) => {
    armed.delete(timer)
    clearTimeout(timer)
  }
  setAll(list, HOUR)
  const count = armed.size
  deleteAll(list)
  Object.assign(globalThis, { setTimeout, clearTimeout })
  return count
}

const list = items()
for (let n = 0; n < WARM_UP; n++) {
  await setAndDelete(list)
  await setAndExpire(list)
}
const deleted = await setAndDelete(list)
const expired = await setAndExpire(list)
const timers = countTimers(list)
way = make()
const fresh = items()
const before = await heapUsed()
setAll(fresh, HOUR)
const bytes = ((await heapUsed()) - before) / COUNT
console.log(JSON.stringify({ bytes, deleted, expired, timers }))
process.exit()
