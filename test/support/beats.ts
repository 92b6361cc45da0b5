import type { Clock } from '../../src/core/clock.ts'

// Time as a process feels it: by how often its event loop comes round. Server and client of most tests are in one process, so
// each of them gets its turn as often as these timers do, however little time the machine has for all of them.

const BEAT = 5

/** The clock of a gate that has deadlines of milliseconds: they are not over before a machine that is slow has had its turns. */
export const patientClock: Clock = {
  now: () => Date.now(),
  after(ms, call) {
    let left = ms
    const timer = setInterval(() => {
      left -= BEAT
      if (left > 0) return
      clearInterval(timer)
      call()
    }, BEAT)
    timer.unref()
    return () => clearInterval(timer)
  },
}

/** What has passed since it was made. For upper bounds: a slow machine makes a process no older. */
export interface Stopwatch extends Disposable {
  /** Milliseconds, on a machine that is quick; on one that is slow, less than a clock says. */
  felt(): number
}

export function stopwatch(): Stopwatch {
  let felt = 0
  const timer = setInterval(() => (felt += BEAT), BEAT).unref()
  return { felt: () => felt, [Symbol.dispose]: () => clearInterval(timer) }
}
