import type { Code } from './explorer-code.ts'
import type { Action, Bounds, Points, Scenario } from './explorer-schedule.ts'
import { ExplorerWorld, type Explored } from './explorer-world.ts'

export interface Explorable extends Bounds {
  make(code: Code): (points: Points) => Promise<Scenario>
}

type Setting = readonly [world: ExplorerWorld, a: Explored, b: Explored]

/**
 * @param names - of the nodes that are there, live, when it begins.
 * @param points - where it waits: operations of nodes, such as `b read` and `b read answered`.
 */
function explorable(
  bounds: Bounds,
  names: readonly string[],
  points: RegExp,
  actions: (...setting: Setting) => Promise<readonly Action[]> | readonly Action[],
): Explorable {
  return {
    ...bounds,
    make: (code) => async (held) => {
      const world = new ExplorerWorld(code, held, { points })
      const [a, b = a] = names.map((name) => world.add(name)) as [Explored, Explored?]
      await world.live()
      return { actions: await actions(world, a, b), watch: () => world.watch(), finish: () => world.finish() }
    },
  }
}

const act = (name: string, run: () => unknown): Action => ({ name, run })
const pass = (world: ExplorerWorld, ms: number): Action => act(`${ms} ms`, () => world.clock.pass(ms))
const dial = (world: ExplorerWorld, node: () => Explored | undefined): Action =>
  act('dial', () => {
    const one = node()
    if (one !== undefined) void world.dial(one, 's')
  })
const revoke = (world: ExplorerWorld, node: Explored, session = 's'): Action =>
  act(`revoke ${session}`, () => world.revoke(node, session))

/** It is away when somebody is revoked, and comes back when that is in the log no more. */
const away = (world: ExplorerWorld, a: Explored, b: Explored, fault: Action): readonly Action[] => [
  act('cut b', () => b.engine.hang()),
  revoke(world, a),
  revoke(world, a, 'other'),
  fault,
  pass(world, 2500),
  pass(world, 2500),
  act('b is back', () => b.engine.heal()),
  pass(world, 1000),
  pass(world, 1000),
  pass(world, 1000),
  dial(world, () => b),
]

/** What can cross what. `s` is the session that is out. */
export const SCENARIOS = {
  'a handshake on one node, a revocation on the other': explorable(
    { deviations: 2, most: 1000 },
    ['a', 'b'],
    /^(a append|b (app|library|read)\b)/,
    (world, a, b) => [dial(world, () => b), revoke(world, a), dial(world, () => b)],
  ),

  'answers that are late while time goes on': explorable(
    { deviations: 1, most: 500 },
    ['a', 'b'],
    /^(a append|b (read|report|app)\b)/,
    (world, a, b) => {
      let answer = (): void => undefined
      return [
        act('b is answered late', () => (answer = b.engine.holdAnswers('read'))),
        pass(world, 1000),
        act('b reads no more', () => {
          b.engine.wakes = false
          b.engine.hang('read')
        }),
        revoke(world, a),
        pass(world, 1500),
        act('b is answered', () => answer()),
        pass(world, 2250),
        pass(world, 1250),
        dial(world, () => b),
        pass(world, 1000),
        dial(world, () => b),
      ]
    },
  ),

  'all is lost, and a third one joins while the others tell': explorable(
    { deviations: 1, most: 500 },
    ['a', 'b'],
    /^(a|b) (append|report)$|^c (app|read|reports?)$/,
    async (world, a) => {
      await world.revoke(a, 's')
      let c: Explored | undefined
      return [
        act('flush', () => world.memory.flush()),
        act('c joins', () => (c = world.add('c'))),
        pass(world, 1000),
        pass(world, 1500),
        dial(world, () => c),
        pass(world, 1000),
        dial(world, () => c),
      ]
    },
  ),

  'the last one tells while another one looks': explorable(
    { deviations: 2, most: 1000 },
    ['a'],
    /^c (read|reports)$/,
    async (world, a) => {
      await world.revoke(a, 's')
      const go = a.engine.hold('read')
      await world.memory.flush()
      const c = world.add('c')
      await world.goOn(2500)
      return [pass(world, 1000), act('a reads, and tells', () => go()), dial(world, () => c), pass(world, 1000)]
    },
  ),

  'the end of the log is lost, and its number given again': explorable(
    { deviations: 1, most: 500 },
    ['a', 'b'],
    /^(a (append|read)|b (app|read|report)$)/,
    async (world, a, b) => {
      await world.revoke(a, 'other')
      return [
        act('rewind', () => world.memory.rewind(1)),
        revoke(world, a),
        act('cut b', () => b.engine.hang()),
        pass(world, 500),
        dial(world, () => b),
        pass(world, 1000),
        dial(world, () => b),
      ]
    },
  ),

  'what nobody has read is lost, and its number given to another entry': explorable(
    { deviations: 1, most: 500 },
    ['a', 'b'],
    /^(a|b) (append|read)$/,
    (world, a, b) => [
      revoke(world, a),
      act('rewind', () => world.memory.rewind(1)),
      revoke(world, b, 'other'),
      pass(world, 2500),
      pass(world, 2500),
      dial(world, () => b),
    ],
  ),

  'a node that is restarted': explorable(
    { deviations: 1, most: 500 },
    ['a', 'b'],
    /^(a append|c (app|read|report|append))/,
    async (world, a, b) => {
      await world.dial(b, 's')
      let c: Explored | undefined
      return [
        act('crash b', () => world.crash(b)),
        act('c joins', () => (c = world.add('c'))),
        revoke(world, a),
        pass(world, 1000),
        dial(world, () => c),
        pass(world, 1000),
        dial(world, () => c),
      ]
    },
  ),

  'an entry is missing': explorable(
    { deviations: 1, most: 500 },
    ['a', 'b'],
    /^(a append|a read|b (restart|app))$/,
    (world, a, b) =>
      away(
        world,
        a,
        b,
        act('lose the first', () => world.memory.lose(world.memory.page.last - 1)),
      ),
  ),

  'an entry is written over': explorable(
    { deviations: 1, most: 500 },
    ['a', 'b'],
    /^(a append|a read|b (restart|app))$/,
    (world, a, b) =>
      away(
        world,
        a,
        b,
        act('garble the first', () => world.memory.garble(world.memory.page.last - 1)),
      ),
  ),

  'the front of the log is taken away': explorable(
    { deviations: 1, most: 500 },
    ['a', 'b'],
    /^(a append|a read|b (restart|app))$/,
    (world, a, b) =>
      away(
        world,
        a,
        b,
        act('take them away', () => world.memory.takeAway()),
      ),
  ),
} as const satisfies Record<string, Explorable>

export type ScenarioName = keyof typeof SCENARIOS
