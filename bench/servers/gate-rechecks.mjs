// Open connections, each with a credential of its own, about which the app is asked again when the clock is moved on.
import { createServer } from 'node:http'
import { createGate } from '../../dist/index.js'
import { systemClock } from '../../dist/core/clock.js'
import { cpuOf } from '../cpu-of.mjs'
import { echo } from '../echo.mjs'
import { guarded } from './express-get.mjs'

const EVERY = 60_000
const expiresAt = new Date('2099-01-01')

/** The system's, and what is due within a minute can be made due now. */
const armed = new Set()
let ahead = 0
const clock = {
  now: () => systemClock.now() + ahead,
  after(ms, call) {
    const one = { dueAt: clock.now() + ms, cancel: undefined, call: () => (armed.delete(one), call()) }
    one.cancel = systemClock.after(ms, one.call)
    armed.add(one)
    return () => (armed.delete(one), one.cancel())
  },
}

function minutePasses() {
  ahead += EVERY
  const due = [...armed].filter(({ dueAt }) => dueAt <= clock.now())
  for (const one of due) {
    one.cancel()
    one.call()
  }
}

let gate
let left = 0
let done = () => {}

export const answers = {
  /** @returns microseconds of CPU for each connection */
  async 'ask again'() {
    const count = gate.connections.size
    left = count
    return cpuOf(count, () => {
      const all = new Promise((resolve) => (done = resolve))
      minutePasses()
      return all
    })
  },
}

export default function start() {
  const app = guarded()
  gate = createGate({
    identify: ({ headers }) => ({ subject: headers.cookie, session: headers.cookie, expiresAt }),
    recheck: { every: EVERY },
    maxAge: '30d',
    clock,
  })
  gate.on('rechecked', ({ outcome, connections }) => {
    if (outcome !== 'accepted' || connections !== 1) throw new Error(`a re-check has ended as ${outcome}`)
    if (--left === 0) done()
  })
  app.get('/ws', gate.websocket(echo))
  const server = createServer(app)
  gate.attach(server)
  return server
}
