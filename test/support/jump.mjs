// Preloaded into a process whose time the test lets jump, as that of a machine does that was asleep: the wall clock goes on
// from there, and what was due meanwhile is called once. The test sends the milliseconds, and hears what time it is then.
const { setTimeout: start, clearTimeout: stop } = globalThis
const { now } = Date
const waiting = new Map()
let jumped = 0

Date.now = () => now() + jumped

globalThis.setTimeout = Object.assign((call, ms = 0, ...args) => {
  const go = () => {
    waiting.delete(timer)
    call(...args)
  }
  const timer = start(go, ms)
  waiting.set(timer, { at: Date.now() + ms, go })
  return timer
}, start)

globalThis.clearTimeout = (timer) => {
  waiting.delete(timer)
  stop(timer)
}

process.on('message', (ms) => {
  jumped += ms
  const due = [...waiting].filter(([, { at }]) => at <= Date.now()).toSorted(([, a], [, b]) => a.at - b.at)
  for (const [timer, { go }] of due) {
    stop(timer)
    if (waiting.has(timer)) go()
  }
  process.send(Date.now())
})
