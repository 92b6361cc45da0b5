/** Where the code under test waits until the schedule lets it go on. */
export interface Points {
  at(label: string): void | Promise<void>
}

/** Something that happens once, at any moment: in this order, unless the schedule wants it otherwise. */
export interface Action {
  readonly name: string
  readonly run: () => unknown
}

export interface Scenario {
  readonly actions: readonly Action[]
  /** After each step: throws where the promise is not kept. */
  watch(): void
  /** All waits are over. */
  finish(): Promise<void>
}

export interface Bounds {
  /** How often a schedule may do something else than what comes first. */
  readonly deviations: number
  /** More schedules than these are a mistake of the test. */
  readonly most: number
}

interface Held {
  readonly label: string
  readonly go: () => void
}

interface Choice {
  readonly name: string
  readonly act: () => unknown
}

class Schedule implements Points {
  /** In the order in which they came; those that are put off wait until nothing else does. */
  readonly queue: Held[] = []
  readonly putOff: Held[] = []
  readonly left: Action[] = []
  isCounting = false

  at(label: string): void | Promise<void> {
    if (!this.isCounting) return undefined
    return new Promise<void>((go) => void this.queue.push({ label, go }))
  }

  /** The first costs nothing. */
  choices(): Choice[] {
    const [head] = this.queue
    const actions = this.left.map((action) => ({ name: `[${action.name}]`, act: () => this.#begin(action) }))
    const late = this.putOff.map((held) => ({ name: `late ${held.label}`, act: () => release(this.putOff, held) }))
    if (head === undefined) return [...actions, ...late]
    return [
      { name: head.label, act: () => release(this.queue, head) },
      { name: `put off ${head.label}`, act: () => void this.putOff.push(...this.queue.splice(0, 1)) },
      ...actions.slice(0, 2),
      ...late,
    ]
  }

  #begin(action: Action): void {
    this.left.splice(this.left.indexOf(action), 1)
    void action.run()
  }
}

function release(from: Held[], held: Held): void {
  from.splice(from.indexOf(held), 1)
  held.go()
}

/** Runs what can run. One turn lets all promises go on that nothing outside holds; the second, what a slice has left over. */
export async function settle(): Promise<void> {
  await new Promise(setImmediate)
  await new Promise(setImmediate)
}

interface Taken {
  readonly taken: number
  readonly of: number
}

async function runOne(make: (points: Points) => Promise<Scenario>, prefix: readonly number[]): Promise<Taken[]> {
  const schedule = new Schedule()
  const scenario = await make(schedule)
  schedule.left.push(...scenario.actions)
  schedule.isCounting = true
  const taken: Taken[] = []
  const trace: string[] = []
  try {
    for (;;) {
      await settle()
      scenario.watch()
      const choices = schedule.choices()
      if (choices.length === 0) break
      const number = prefix[taken.length] ?? 0
      const choice = choices[number]
      if (choice === undefined) throw new Error('The scenario does not do the same twice.')
      taken.push({ taken: number, of: choices.length })
      trace.push(choice.name)
      choice.act()
    }
    schedule.isCounting = false
    await scenario.finish()
    return taken
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    throw new Error(`${message}\nSchedule: ${trace.join(' → ')}`, { cause: error })
  }
}

/** The next schedule in order, within the bound; undefined after the last one. */
function next(taken: readonly Taken[], deviations: number): number[] | undefined {
  for (let at = taken.length - 1; at >= 0; at--) {
    const { taken: number, of } = taken[at]!
    const before = taken.slice(0, at).filter((one) => one.taken > 0).length
    if (number + 1 < of && before < deviations) return [...taken.slice(0, at).map((one) => one.taken), number + 1]
  }
  return undefined
}

/**
 * Runs a scenario once for each schedule with at most so many deviations.
 *
 * @returns how many there are. Rejects at the first in which the promise is not kept, and says which it was.
 */
export async function explore(
  make: (points: Points) => Promise<Scenario>,
  { deviations, most }: Bounds,
): Promise<number> {
  let prefix: number[] | undefined = []
  let count = 0
  while (prefix !== undefined) {
    count += 1
    if (count > most) throw new Error(`More than ${most} schedules.`)
    prefix = next(await runOne(make, prefix), deviations)
  }
  return count
}
