import { quiet } from './races-wire.ts'

/** Where the code under test waits until the schedule lets it go on. */
export interface Points {
  /** Waits here, once the schedule counts; before that, goes on. */
  at(label: string): Promise<void>
}

/** Of these waits those alone whose labels match: where two things cross, all of them would be too many orders. */
export function only(points: Points, labels: RegExp): Points {
  return { at: async (label) => (labels.test(label) ? await points.at(label) : undefined) }
}

/** Something that can happen at any moment, once. */
export interface Action {
  readonly name: string
  readonly run: () => unknown
  /** Whether it may happen now. @defaultValue always */
  readonly when?: () => boolean
}

export interface Scenario {
  readonly actions: readonly Action[]
  /** Looks at what has become of it, all waits over. */
  check(trace: readonly string[]): void | Promise<void>
  dispose(): void | Promise<void>
}

class Held implements Points {
  counting = false
  readonly waiting: Array<{ readonly label: string; readonly go: () => void }> = []

  async at(label: string): Promise<void> {
    if (!this.counting) return
    await new Promise<void>((go) => this.waiting.push({ label, go }))
  }
}

interface Choice {
  readonly name: string
  readonly act: () => unknown
}

function choicesOf(held: Held, left: Set<Action>): Choice[] {
  const released = held.waiting.map((one) => ({
    name: one.label,
    act: () => {
      held.waiting.splice(held.waiting.indexOf(one), 1)
      one.go()
    },
  }))
  const begun = [...left]
    .filter(({ when }) => when === undefined || when())
    .map((action) => ({
      name: `[${action.name}]`,
      act: () => {
        left.delete(action)
        // What it returns is the scenario's to look at.
        return void action.run()
      },
    }))
  return [...released, ...begun]
}

/** Runs one schedule: at each branching, the number that `prefix` says, then the first. */
async function runOne(
  make: (points: Points) => Promise<Scenario>,
  prefix: readonly number[],
): Promise<Array<{ readonly taken: number; readonly of: number }>> {
  const held = new Held()
  const scenario = await make(held)
  const taken: Array<{ readonly taken: number; readonly of: number }> = []
  const trace: string[] = []
  try {
    held.counting = true
    const left = new Set(scenario.actions)
    for (;;) {
      await quiet()
      const choices = choicesOf(held, left)
      if (choices.length === 0) break
      const number = prefix[taken.length] ?? 0
      const choice = choices[number]
      if (choice === undefined) throw new Error('The scenario does not do the same twice.')
      taken.push({ taken: number, of: choices.length })
      trace.push(choice.name)
      choice.act()
    }
    await scenario.check(trace)
    return taken
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    throw new Error(`${message}\nSchedule: ${trace.join(' → ')}`, { cause: error })
  } finally {
    held.counting = false
    for (const { go } of held.waiting.splice(0)) go()
    await scenario.dispose()
  }
}

/**
 * Runs a scenario once for each order in which its waits can end and its actions can happen.
 *
 * @returns how many there are. Rejects at the first whose check fails, and says which it was.
 */
export async function explore(make: (points: Points) => Promise<Scenario>, most = 5000): Promise<number> {
  let prefix: number[] = []
  for (let count = 1; count <= most; count++) {
    const taken = await runOne(make, prefix)
    while (taken.length > 0 && taken.at(-1)!.taken + 1 >= taken.at(-1)!.of) taken.pop()
    const last = taken.pop()
    if (last === undefined) return count
    prefix = [...taken.map((choice) => choice.taken), last.taken + 1]
  }
  throw new Error(`More than ${most} schedules.`)
}
