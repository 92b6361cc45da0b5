import assert from 'node:assert/strict'
import type { Faulty } from './faults-engines.ts'
import { LIMIT, NAMES, until, type Opened, type World } from './faults-world.ts'

/** One kind of fault. Afterwards the promise must be found kept. */
export interface Scenario {
  readonly name: string
  /** It happens to nodes alone. */
  readonly withoutServer?: boolean
  /** Not all engines have such a thing. */
  readonly needs?: keyof Faulty
  run(world: World, engine: Faulty): Promise<void>
}

const NOT_DURABLE = 'REVOCATION_NOT_DURABLE'

let people = 0

/** Somebody whom no other test has seen. */
export function somebody(): string {
  people += 1
  return `person${people}`
}

export const sessionOf = (subject: string, n: number | string = 1) => ({ subject, session: `${subject}-s${n}` })

export const outOf = (subject: string) => ({ session: sessionOf(subject).session })

/** One WebSocket on each node. */
async function onAll(world: World, subject: string): Promise<Required<Opened>[]> {
  return await Promise.all(NAMES.map(async (name) => await world.open(name, sessionOf(subject))))
}

/** What was not written at once is heard of a moment later. */
async function refusedOnAll(world: World, subject: string): Promise<void> {
  for (const name of NAMES) {
    await until(`${name} refuses ${subject}`, async () => {
      const { status, ws } = await world.dial(name, sessionOf(subject))
      ws?.terminate()
      return status === 401
    })
  }
}

/** As many as a client has connections for: all of them are there when the cable is cut. */
async function crowd(world: World): Promise<void> {
  const all = Array.from({ length: 16 }, somebody)
  await Promise.all(NAMES.flatMap((name) => all.map(async (subject) => await world.open(name, sessionOf(subject)))))
}

const killed: Scenario = {
  name: 'killed in the middle of revocations, and restarted',
  async run(world, engine) {
    const leaving = Array.from({ length: 6 }, somebody)
    const [first, ...rest] = leaving as [string, ...string[]]
    const sockets = await Promise.all(leaving.map(async (subject) => await onAll(world, subject)))
    const staying = somebody()
    const others = await onAll(world, staying)
    const rider = sessionOf(somebody())
    const [used, kept] = [await world.ticket('b', rider), await world.ticket('b', rider)]
    assert.equal((await world.dial('a', rider, used)).status, 101)
    await world.revoke('a', outOf(first))
    const answers = rest.map(async (subject, n) => await world.revoke(NAMES[n % 3]!, outOf(subject)))
    await engine.kill()
    for (const { ws } of others) ws.close()
    for (const answer of await Promise.all(answers)) if (typeof answer === 'string') assert.equal(answer, NOT_DURABLE)
    assert.equal(await world.revoke('a', outOf(first)), NOT_DURABLE)
    await engine.restart()
    await world.back()
    await world.closed(...sockets.flat())
    for (const subject of leaving) await refusedOnAll(world, subject)
    await Promise.all([used, kept, kept].flatMap((ticket) => NAMES.map((name) => world.dial(name, rider, ticket))))
    await world.assertNoPlaceLost(staying)
  },
}

const emptied: Scenario = {
  name: 'back with nothing of what it had',
  async run(world, engine) {
    const [before, meanwhile, staying] = [somebody(), somebody(), somebody()]
    const [left, leaving, others] = await Promise.all(
      [before, meanwhile, staying].map(async (who) => await onAll(world, who)),
    )
    await world.revoke('a', outOf(before))
    const ticket = await world.ticket('a', sessionOf(staying))
    await world.dial('b', sessionOf(staying), ticket)
    await engine.kill()
    assert.equal(await world.revoke('b', outOf(meanwhile)), NOT_DURABLE)
    await engine.wipe()
    await engine.restart()
    await world.lost(...NAMES)
    await world.back()
    await world.closed(...left!, ...leaving!)
    await refusedOnAll(world, before)
    await refusedOnAll(world, meanwhile)
    await Promise.all(NAMES.map(async (name) => await world.dial(name, sessionOf(staying), ticket)))
    for (const { record } of others!) if (record.node !== 'a') assert.equal(record.closedAt, undefined)
  },
}

const paused: Scenario = {
  name: 'a node that is paused, and goes on',
  withoutServer: true,
  async run(world) {
    const [leaving, next] = [somebody(), somebody()]
    const sockets = await onAll(world, leaving)
    const b = world.node('b')
    b.pause()
    const answer = await world.revoke('a', outOf(leaving))
    assert.ok(typeof answer === 'object' && answer.nodes.some(({ closed, lagMs }) => closed === null && lagMs === null))
    // It lies in front of its door when it wakes up.
    const knocking = world.dial('b', sessionOf(leaving))
    b.resume()
    assert.notEqual((await knocking).status, 101)
    await world.closed(...sockets)
    await world.live('b')
    await refusedOnAll(world, leaving)
    const more = await onAll(world, next)
    b.pause()
    const asked = world.revoke('c', outOf(next))
    const again = world.dial('b', sessionOf(next))
    await until('closed on c', () => more[2]!.record.closedAt !== undefined)
    b.resume()
    await asked
    await again
    await world.closed(...more)
  },
}

function cut(old: 'late' | 'never'): Scenario {
  return {
    name: `nodes cut off without a word; what was sent meanwhile comes ${old}`,
    async run(world) {
      const [leaving, own, staying] = [somebody(), somebody(), somebody()]
      const sockets = await Promise.all([leaving, own, staying].map(async (who) => await onAll(world, who)))
      await crowd(world)
      const [out, alsoOut, kept] = sockets as [Required<Opened>[], Required<Opened>[], Required<Opened>[]]
      for (const name of ['a', 'b']) world.node(name).cable?.cut()
      const [answer, code] = await Promise.all([world.revoke('c', outOf(leaving)), world.revoke('b', outOf(own))])
      assert.ok(typeof answer === 'object' && answer.nodes.filter(({ lagMs }) => lagMs === null).length === 2)
      assert.equal(code, NOT_DURABLE)
      await world.lost('a', 'b')
      for (const name of ['a', 'b']) assert.equal((await world.dial(name, sessionOf(staying))).status, 503)
      assert.equal((await world.dial('b', sessionOf(own))).status, 401)
      // Policy: `a` closes, `b` keeps.
      await world.closed(out[0]!, kept[0]!)
      assert.deepEqual([out[0]!.record.reason, kept[0]!.record.reason], ['cluster_stale', 'cluster_stale'])
      assert.deepEqual([out[1]!.record.closedAt, kept[1]!.record.closedAt], [undefined, undefined])
      for (const name of ['a', 'b']) world.node(name).cable?.heal(old)
      await world.back()
      await world.closed(...out, ...alsoOut)
      assert.equal(out[1]!.record.reason, 'revoked')
      await refusedOnAll(world, leaving)
      await refusedOnAll(world, own)
      assert.deepEqual([kept[1]!.record.closedAt, kept[2]!.record.closedAt], [undefined, undefined])
      if (old === 'late') await world.assertNoPlaceLost(staying, kept.slice(1))
    },
  }
}

const crossing: Scenario = {
  name: 'revocations that cross, of one person and of many',
  withoutServer: true,
  async run(world) {
    const person = somebody()
    const [one, other] = [sessionOf(person, 1), sessionOf(person, 2)]
    const sockets = await Promise.all([
      world.open('b', one),
      world.open('c', one),
      world.open('a', other),
      world.open('c', other),
    ])
    const many = Array.from({ length: 10 }, somebody)
    const crowd = await Promise.all(many.map(async (subject, n) => await world.open(NAMES[n % 3]!, sessionOf(subject))))
    const answers = await Promise.all([
      world.revoke('a', { subject: person }, one.session),
      world.revoke('b', { subject: person }, other.session),
      ...many.flatMap((subject) => NAMES.map(async (name) => await world.revoke(name, outOf(subject)))),
    ])
    for (const answer of answers) assert.equal(typeof answer, 'object')
    const all = [...sockets, ...crowd]
    await world.closed(...all)
    for (const { record } of all) assert.equal(record.reason, 'revoked')
    for (const subject of many) await refusedOnAll(world, subject)
  },
}

const skewed: Scenario = {
  name: 'a node whose clock is an hour ahead',
  withoutServer: true,
  async run(world) {
    const people = [somebody(), somebody(), somebody()]
    const [byC, byA, bySubject] = people as [string, string, string]
    const sockets = await Promise.all(people.map(async (subject) => await onAll(world, subject)))
    await world.revoke('c', outOf(byC))
    await world.revoke('a', outOf(byA))
    await world.closed(...sockets[0]!, ...sockets[1]!)
    await refusedOnAll(world, byC)
    await refusedOnAll(world, byA)
    const dated = { subject: bySubject, issuedAt: world.now }
    await world.revoke('c', { subject: bySubject })
    await world.closed(...sockets[2]!)
    for (const name of NAMES) assert.equal((await world.dial(name, dated)).status, 401)
    const rider = sessionOf(somebody())
    for (const name of NAMES) {
      const ticket = await world.ticket(name, rider)
      await Promise.all(NAMES.map(async (other) => await world.dial(other, rider, ticket)))
    }
  },
}

const refusing: Scenario = {
  name: 'full, or read-only',
  needs: 'refuseWrites',
  async run(world, engine) {
    const [leaving, staying] = [somebody(), somebody()]
    const [out, kept] = await Promise.all([onAll(world, leaving), onAll(world, staying)])
    const end = await engine.refuseWrites?.()
    try {
      // Not all of its sessions know of it at once.
      await until('refused', async () => (await world.revoke('b', outOf(leaving))) === NOT_DURABLE)
      // Where there is room for reports, who owes nothing knows all that is to be known.
      const lost = engine.name === 'nats' ? (['b'] as const) : NAMES
      await world.lost(...lost)
      for (const name of lost) assert.notEqual((await world.dial(name, sessionOf(leaving))).status, 101)
    } finally {
      await end?.()
    }
    await world.back()
    await world.closed(...out!)
    await refusedOnAll(world, leaving)
    for (const { record } of kept!) if (record.node !== 'a') assert.equal(record.closedAt, undefined)
  },
}

/** `late`: what was given up arrives all the same, as it was sent. */
function loginAgain(old: 'late' | 'never'): Scenario {
  return {
    name: `a new login while a revocation waits to be written; what was sent comes ${old}`,
    async run(world, { port }) {
      const subject = somebody()
      await world.open('c', { subject, issuedAt: world.now - 5000 })
      const { cable } = world.node('b')
      cable?.cut()
      assert.equal(await world.revoke('b', { subject }), NOT_DURABLE)
      const begin = world.now
      await until('another second', () => world.now > begin + 1000)
      const again = await world.open('c', { subject, issuedAt: world.now })
      if (old === 'never') cable?.lead(port)
      cable?.heal(old)
      await world.back()
      await until('ended', () => again.record.closedAt !== undefined, 1000).catch(() => undefined)
    },
  }
}

const lagging: Scenario = {
  name: 'one that is behind takes over, and a node has heard nothing of what is lost',
  async run(world, engine) {
    const [early, late] = [somebody(), somebody()]
    const sockets = await Promise.all([early, late].map(async (who) => await onAll(world, who)))
    await world.revoke('a', outOf(early))
    const takeOver = await engine.fallBehind()
    await world.allLive()
    const used = await world.ticket('a', sessionOf('rider'))
    assert.equal((await world.dial('b', sessionOf('rider'), used)).status, 101)
    world.node('b').cable?.cut()
    const answer = await world.revoke('a', outOf(late))
    assert.ok(typeof answer === 'object')
    await takeOver()
    for (const { cable } of world.nodes) cable?.lead(engine.port)
    world.node('b').cable?.heal('never')
    await world.back()
    await world.closed(...sockets.flat())
    await refusedOnAll(world, early)
    await refusedOnAll(world, late)
    for (const name of NAMES) await world.dial(name, sessionOf('rider'), used)
  },
}

const deleted: Scenario = {
  name: 'an entry deleted behind the nodes, which one of them has not seen',
  async run(world, engine) {
    // The newest one is missed by those who have seen it; one in the middle by the one that has not.
    for (const after of [0, 1]) {
      const subject = somebody()
      const sockets = await onAll(world, subject)
      world.node('b').cable?.cut()
      await world.revoke('a', outOf(subject))
      for (let n = 0; n < after; n++) await world.revoke('a', outOf(somebody()))
      await engine.lose(after)
      world.node('b').cable?.heal('late')
      await world.back()
      await world.closed(...sockets)
      await refusedOnAll(world, subject)
    }
  },
}

const held: Scenario = {
  name: 'a number that was taken first and is committed last',
  needs: 'holdNumber',
  async run(world, engine) {
    for (const how of ['commit', 'rollback'] as const) {
      const people = Array.from({ length: 4 }, somebody)
      const sockets = await Promise.all(people.map(async (subject) => await onAll(world, subject)))
      const other = await engine.holdNumber?.()
      const answers = people.map(async (subject, n) => await world.revoke(NAMES[n % 3]!, outOf(subject)))
      await until('they wait', () => sockets.every((some, n) => some[n % 3]!.record.closedAt !== undefined))
      await other?.[how]()
      for (const answer of await Promise.all(answers)) assert.equal(typeof answer, 'object')
      await world.closed(...sockets.flat())
      for (const subject of people) await refusedOnAll(world, subject)
    }
  },
}

const nameless: Scenario = {
  name: 'an engine that has forgotten who is there, while a node is cut off',
  needs: 'forgetReports',
  async run(world, engine) {
    const subject = somebody()
    const sockets = await onAll(world, subject)
    world.node('b').cable?.cut()
    await engine.forgetReports?.()
    await world.revoke('a', outOf(subject))
    await world.tick()
    // The engine does not know of it, and it does not know that.
    await world.dial('b', sessionOf(subject))
    world.node('b').cable?.heal('late')
    await world.closed(...sockets)
  },
}

const limited: Scenario = {
  name: 'restarted while all places are taken',
  async run(world, engine) {
    const subject = somebody()
    for (let n = 0; n < LIMIT; n++) await world.open('a', sessionOf(subject, n))
    await engine.kill()
    await engine.restart()
    await world.back()
    // Where the engine has forgotten them: when all have said again what they hold, in 10 s at most.
    await until('all places are taken', async () => (await world.dial('c', sessionOf(subject, 'more'))).status === 429)
  },
}

export const SCENARIOS: readonly Scenario[] = [
  killed,
  emptied,
  paused,
  cut('late'),
  cut('never'),
  crossing,
  skewed,
  refusing,
  loginAgain('never'),
  loginAgain('late'),
  deleted,
  held,
  nameless,
  limited,
  lagging,
]
