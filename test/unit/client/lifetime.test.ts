import assert from 'node:assert/strict'
import { beforeEach, mock, test, afterEach } from 'node:test'
import { DialError, type DialAuthEvent } from '../../../src/client.ts'
import { failInNode } from '../../../src/client/describe-node.ts'
import { Lifetime } from '../../../src/client/lifetime.ts'

const MAX_DELAY = 2 ** 31 - 1
const DAY = 24 * 3600

interface Renewal {
  /** When it was asked for: milliseconds since the test began. */
  readonly at: number
  gets(expiresIn: number | undefined): Promise<void>
  fails(error: DialError): Promise<void>
}

/** A lifetime whose renewals are answered by hand. */
class World {
  readonly renewals: Renewal[] = []
  readonly said: Array<Pick<DialAuthEvent, 'state' | 'expiresAt' | 'error'>> = []
  readonly lifetime: Lifetime
  readonly #began = Date.now()

  constructor() {
    this.lifetime = new Lifetime(
      () => this.#renew(),
      (facts) => void this.said.push(facts),
    )
  }

  get asked(): number[] {
    return this.renewals.map(({ at }) => at)
  }

  get last(): Renewal {
    const renewal = this.renewals.at(-1)
    assert.ok(renewal, 'nobody has asked')
    return renewal
  }

  /** Begins with so many seconds, of which so much is over when it asks (0.8 to 0.9). */
  begin(seconds: number, part = 0.8): void {
    random((part - 0.8) * 10)
    this.lifetime.begin(seconds)
  }

  #renew(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.renewals.push({
        at: Date.now() - this.#began,
        gets: async (expiresIn) => {
          this.lifetime.renewed(expiresIn)
          resolve()
          await settled()
        },
        fails: async (error) => {
          reject(error)
          await settled()
        },
      })
    })
  }
}

function random(value: number): void {
  mock.method(Math, 'random', () => value)
}

/** What waits for a promise has gone on. */
const settled = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))

const failure = (status: number, headers = {}): DialError =>
  failInNode({ code: 'refused', url: 'ws://a', phase: 'renewal', answer: { status, headers } })

/** The longest delay that anybody has asked `setTimeout` for. */
let longest = 0
/** When timers are due, of those that were set. */
let due: number[] = []

beforeEach(() => {
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: Date.UTC(2026, 10, 23) })
  const { setTimeout } = globalThis
  longest = 0
  due = []
  mock.method(globalThis, 'setTimeout', (call: () => void, ms = 0) => {
    longest = Math.max(longest, ms)
    due.push(Date.now() + ms)
    return setTimeout(call, ms)
  })
})

afterEach(() => {
  mock.restoreAll()
  mock.timers.reset()
})

/** Stops at each timer: what it sets counts from there. */
function pass(ms: number): void {
  const until = Date.now() + ms
  for (;;) {
    const now = Date.now()
    due = due.filter((at) => at > now)
    mock.timers.tick(Math.min(until, ...due) - now)
    if (Date.now() >= until) return
  }
}

for (const [value, part] of [
  [0, 0.8],
  [0.5, 0.85],
  [0.999999, 0.9],
] as const) {
  test(`it asks when ${part * 100} % of the time are over, where chance says ${value}`, () => {
    const world = new World()
    random(value)
    world.lifetime.begin(1000)
    pass(part * 1e6 - 2)
    assert.deepEqual(world.asked, [])
    pass(4)
    assert.equal(world.asked.length, 1)
  })
}

test('more time is told, and renewed in its turn, again and again', async () => {
  const world = new World()
  world.begin(100)
  for (const at of [80_000, 160_000, 240_000]) {
    pass(80_000)
    assert.equal(world.last.at, at)
    await world.last.gets(100)
  }
  assert.deepEqual(
    world.said,
    Array.from({ length: 3 }, () => ({ state: 'renewed' })),
  )
})

test('it asks once at a time, however long the answer takes', async () => {
  const world = new World()
  world.begin(10)
  pass(8000)
  void world.lifetime.ask()
  void world.lifetime.ask(true)
  pass(60_000)
  assert.equal(world.asked.length, 1)
  await world.last.gets(100)
  pass(80_000)
  assert.equal(world.asked.length, 2)
})

for (const [seconds, warned] of [
  [10, 9],
  [600, 540],
  [3600, 3540],
] as const) {
  test(`of ${seconds} s it says after ${warned} s that they end, where nothing has brought more`, () => {
    const world = new World()
    const expiresAt = new Date(Date.now() + seconds * 1000)
    world.begin(seconds)
    pass(warned * 1000 - 1)
    assert.deepEqual(world.said, [])
    pass(1)
    assert.deepEqual(world.said, [{ state: 'expiring', expiresAt, error: undefined }])
  })
}

test('what is renewed in time is not said to end', async () => {
  const world = new World()
  world.begin(10)
  pass(8000)
  await world.last.gets(3600)
  pass(2000)
  assert.deepEqual(world.said, [{ state: 'renewed' }])
})

for (const days of [24.8, 40, 400]) {
  test(`${days} days are too long for one timer, and are waited for all the same`, () => {
    const world = new World()
    const ms = days * DAY * 1000
    world.begin(days * DAY)
    pass(ms * 0.8 - 1)
    assert.deepEqual(world.asked, [])
    pass(2)
    assert.equal(world.asked.length, 1)
    pass(ms * 0.2 - 60_000)
    assert.deepEqual(
      world.said.map(({ state }) => state),
      ['expiring'],
    )
    assert.ok(longest <= MAX_DELAY, `${longest}`)
  })
}

for (const [what, seconds] of [
  ['no time at all', 0],
  ['what was left anyway', 20],
  ['less than a second more', 20.9],
  ['less than was left', 5],
] as const) {
  test(`a renewal that brings ${what} is not repeated; the end is told`, async () => {
    const world = new World()
    world.begin(100)
    pass(80_000)
    await world.last.gets(seconds)
    pass(3600_000)
    assert.deepEqual(world.asked, [80_000])
    assert.deepEqual(
      world.said.map(({ state }) => state),
      ['expiring'],
    )
  })
}

test('one second more is more', async () => {
  const world = new World()
  world.begin(100)
  pass(80_000)
  await world.last.gets(21)
  assert.deepEqual(world.said, [{ state: 'renewed' }])
  pass(16_800)
  assert.deepEqual(world.asked, [80_000, 96_800])
})

for (const took of [1, 100, 1500, 9000]) {
  test(`no time for ever does not run hot, where each answer takes ${took} ms`, async () => {
    for (const first of [undefined, 0, 1, 10]) {
      const world = new World()
      random(0)
      world.lifetime.begin(first)
      if (first === undefined) void world.lifetime.ask()
      for (let answered = 0; answered < 20; answered += 1) {
        pass(20_000)
        if (world.asked.length === answered) break
        pass(took)
        await world.last.gets(0)
      }
      assert.equal(world.asked.length, 1)
    }
  })
}

test('what others get anew leaves the own plan alone, where it brings no time', async () => {
  const world = new World()
  world.begin(100)
  pass(300)
  // Another tab has come, and has asked how long it lasts.
  world.lifetime.renewed(100)
  world.lifetime.renewed(99.7)
  pass(79_700)
  assert.deepEqual(world.asked, [80_000])
  assert.deepEqual(world.said, [])
})

test('where others have got more, the own plan begins anew', () => {
  const world = new World()
  world.begin(100)
  pass(79_000)
  world.lifetime.renewed(100)
  assert.deepEqual(world.said, [{ state: 'renewed' }])
  pass(79_999)
  assert.deepEqual(world.asked, [])
  pass(1)
  assert.deepEqual(world.asked, [159_000])
})

test('time without end is neither renewed nor said to end', async () => {
  const world = new World()
  world.begin(10)
  pass(8000)
  await world.last.gets(undefined)
  pass(1e9)
  assert.deepEqual([world.asked, world.said], [[8000], [{ state: 'renewed' }]])
})

test('seconds without bound end nothing and hold nothing up', async () => {
  const world = new World()
  world.begin(10)
  pass(8000)
  await world.last.gets(Infinity)
  pass(1e11)
  assert.deepEqual([world.asked, world.said], [[8000], [{ state: 'renewed' }]])
  assert.ok(longest <= MAX_DELAY, `${longest}`)
})

test('the first answer says how long it lasts, and is no renewal', async () => {
  const world = new World()
  world.lifetime.begin(undefined)
  void world.lifetime.ask()
  random(0)
  await world.last.gets(10)
  assert.deepEqual(world.said, [])
  pass(8000)
  assert.deepEqual(world.asked, [0, 8000])
})

for (const [what, error, chance, delay] of [
  ['429 with Retry-After', failure(429, { 'retry-after': '7' }), 0.999, 7000],
  ['429 with Retry-After, by chance', failure(429, { 'retry-after': '1' }), 0.25, 5000],
  ['429 alone', failure(429), 0, 1000],
  ['503', failure(503), 0.5, 10_000],
  ['no answer', failInNode({ code: 'unreachable', url: '' }), 0.5, 10_000],
  ['credentials() that throws', failInNode({ code: 'no_credentials', url: '', retryable: true }), 0.5, 10_000],
] as const) {
  test(`after ${what} it asks again ${delay} ms later, with 20 s left`, async () => {
    const world = new World()
    world.begin(100)
    pass(80_000)
    random(error.retryAfter === 7 ? 0 : chance)
    await world.last.fails(error)
    pass(delay - 1)
    assert.equal(world.asked.length, 1)
    pass(1)
    assert.equal(world.asked.length, 2)
  })
}

test('it waits 30 s at most by chance: with hours left, with an end that is not known, and past one', async () => {
  for (const seconds of [36_000, undefined, 40]) {
    const world = new World()
    random(0)
    world.lifetime.begin(seconds)
    void world.lifetime.ask()
    if (seconds === 40) pass(400_000)
    random(0.9999)
    await world.last.fails(failure(503))
    const count = world.asked.length
    pass(29_990)
    assert.equal(world.asked.length, count)
    pass(10)
    assert.equal(world.asked.length, count + 1)
    world.lifetime.end()
  }
})

test('a Retry-After of years is kept to, within what a timer can', async () => {
  const world = new World()
  void world.lifetime.ask()
  await world.last.fails(failure(503, { 'retry-after': '99999999' }))
  pass(99_999_998_000)
  assert.equal(world.asked.length, 1)
  assert.ok(longest <= MAX_DELAY, `${longest}`)
  pass(2000)
  assert.equal(world.asked.length, 2)
})

for (const status of [302, 400, 401, 403, 404, 409]) {
  test(`${status} is not asked again, not for a notice either; the end is told with it`, async () => {
    const world = new World()
    world.begin(100)
    pass(80_000)
    const error = failure(status)
    await world.last.fails(error)
    pass(10_000)
    assert.equal(world.said[0]?.error, error)
    void world.lifetime.ask(true)
    pass(3600_000)
    assert.deepEqual(world.asked, [80_000])
    assert.equal(world.said.length, 1)
  })
}

test('an error that was mended is not told', async () => {
  const world = new World()
  world.begin(100)
  pass(80_000)
  random(0)
  await world.last.fails(failure(503))
  pass(1000)
  await world.last.gets(100)
  pass(80_000)
  await world.last.gets(0)
  pass(20_000)
  assert.deepEqual(
    world.said.map(({ state, error }) => [state, error]),
    [
      ['renewed', undefined],
      ['expiring', undefined],
    ],
  )
})

test('a notice is heeded before its time, and does not replace the plan where it brings nothing', async () => {
  const world = new World()
  world.begin(100)
  pass(10_000)
  void world.lifetime.ask(true)
  assert.deepEqual(world.asked, [10_000])
  await world.last.gets(90)
  pass(70_000)
  assert.deepEqual(world.asked, [10_000, 80_000])
})

test('a notice does not come before Retry-After', async () => {
  const world = new World()
  world.begin(100)
  pass(80_000)
  await world.last.fails(failure(429, { 'retry-after': '15' }))
  pass(10_000)
  void world.lifetime.ask(true)
  assert.equal(world.asked.length, 1)
  pass(5000)
  assert.equal(world.asked.length, 2)
})

for (const [what, seconds] of [
  ['with ever more time', (count: number) => 1000 + count * 2],
  ['with no time', () => 0],
] as const) {
  test(`notices without end, ${what}, are ten renewals a minute at most`, async () => {
    const world = new World()
    world.begin(1000)
    for (let left = 6000; left > 0; left -= 1) {
      pass(10)
      const before = world.asked.length
      void world.lifetime.ask(true)
      if (world.asked.length > before) await world.last.gets(seconds(before))
    }
    assert.ok(world.asked.length > 0 && world.asked.length <= 10, `${world.asked.length} renewals`)
  })
}

test('after the end nothing is asked, said or held, whatever was under way', async () => {
  const world = new World()
  world.begin(100)
  pass(80_000)
  world.lifetime.end()
  await world.last.fails(failure(503))
  pass(3600_000)
  const other = new World()
  other.begin(100)
  other.lifetime.end()
  void other.lifetime.ask()
  void other.lifetime.ask(true)
  other.lifetime.begin(10)
  pass(3600_000)
  assert.deepEqual([world.asked, world.said, other.asked, other.said], [[80_000], [], [], []])
})
