// The app around a revocation, the same for gate101 and the control: who is where, messages to them, and what is measured.
import { PerformanceObserver } from 'node:perf_hooks'
import { echo } from './echo.mjs'

/** Sockets of one subject. */
export const SOCKETS = 10

/** WebSockets by subject. */
export const rooms = new Map()
const subjects = new WeakMap()
let whenEmpty = () => {}

/** Clients say their number as the cookie `sid`; ten in a row are one subject. */
export const subjectOf = ({ headers }) => `user-${Math.floor(Number(headers.cookie.slice('sid='.length)) / SOCKETS)}`

export function join(ws, subject) {
  echo(ws)
  const room = rooms.get(subject) ?? new Set()
  rooms.set(subject, room.add(ws))
  subjects.set(ws, subject)
  ws.on('close', leave)
}

function leave() {
  const subject = subjects.get(this)
  const room = rooms.get(subject)
  room.delete(this)
  if (room.size > 0) return
  rooms.delete(subject)
  if (rooms.size === 0) whenEmpty()
}

/** Milliseconds on a clock that all processes of the machine share. */
export const now = () => Number(process.hrtime.bigint()) / 1e6

/** The longest time between two turns of the event loop, from now on: at most a millisecond too much. */
function watchStalls() {
  let last = now()
  let longest = 0
  const look = () => {
    const at = now()
    longest = Math.max(longest, at - last)
    last = at
  }
  // A timer, as a loop that never rests would make all time CPU time.
  const timer = setInterval(look, 1)
  return {
    soFar: () => Math.max(longest, now() - last),
    stop: () => clearInterval(timer),
  }
}

/** Pauses for garbage collection, from now on. Milliseconds. */
function watchCollections() {
  const pauses = []
  const observer = new PerformanceObserver((list) => pauses.push(...list.getEntries().map(({ duration }) => duration)))
  observer.observe({ entryTypes: ['gc'] })
  return async () => {
    await new Promise((resolve) => setImmediate(resolve)) // the observer is told in a turn of its own
    observer.disconnect()
    return { count: pauses.length, longest: Math.max(0, ...pauses) }
  }
}

/** @param revoke - `one(subject)` and `all()`, which end connections */
export function answersFor(revoke) {
  let talk
  return {
    /** Sends something to each socket of the subject, a thousand times a second, until told otherwise. */
    talk(subject) {
      const sockets = [...rooms.get(subject)]
      talk = setInterval(() => sockets.forEach((ws) => ws.send('0123456789abcdef')), 1)
    },
    hush: () => clearInterval(talk),
    async revoke(subject) {
      const at = now()
      await revoke.one(subject)
      return { at }
    },
    /** Answers when the last socket is gone. */
    async 'revoke all'() {
      const gone = new Promise((resolve) => (whenEmpty = resolve))
      const stalls = watchStalls()
      const collected = watchCollections()
      const before = process.cpuUsage()
      const at = now()
      const called = Promise.resolve(revoke.all()).then(() => ({ ms: now() - at, stall: stalls.soFar() }))
      const call = await called
      await gone
      const { user, system } = process.cpuUsage(before)
      const whole = { ms: now() - at, stall: stalls.soFar(), cpu: (user + system) / 1000 }
      stalls.stop()
      return { at, call, whole, collections: await collected() }
    },
  }
}
