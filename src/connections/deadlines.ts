import type { Clock } from '../core/clock.ts'

/** Something that is due at some time. It says itself where it stands, so that taking it out needs no search. */
export interface Timed {
  /** Its place in the heap; -1 where it is in none. */
  slot: number
}

/** Many deadlines and one timer. */
export interface Deadlines<Item extends Timed> {
  readonly size: number
  /** Puts it in, or moves it. */
  set(item: Item, dueAt: number): void
  delete(item: Item): void
  /** When an item that is in is due, in milliseconds since the epoch. */
  timeOf(item: Item): number
  stop(): void
}

/**
 * No timer is longer than this: wall clocks jump and machines sleep, and a timer counts neither. So what is due is seen at
 * most this late.
 */
const LONGEST = 10_000
/** Milliseconds that are spent at a time on what is due at once. */
const SLICE = 5

/**
 * @param due - called once for each item that is due; it is out by then.
 * @param options - `isSteady`: what was put in to be due after a while stays so, although the wall clock is set back.
 */
export function createDeadlines<Item extends Timed>(
  clock: Clock,
  due: (item: Item, now: number) => void,
  { isSteady = false }: { readonly isSteady?: boolean } = {},
): Deadlines<Item> {
  return new Heap(clock, due, isSteady)
}

/** A binary heap: the parent of slot n is at (n - 1) / 2. Times stand apart from items: so they are numbers, not boxes. */
class Heap<Item extends Timed> implements Deadlines<Item> {
  readonly #clock: Clock
  readonly #due: (item: Item, now: number) => void
  readonly #items: Item[] = []
  readonly #times: number[] = []
  readonly #isSteady: boolean
  #seen = 0
  #armedFor = Infinity
  #cancel: (() => void) | undefined
  #stopped = false

  constructor(clock: Clock, due: (item: Item, now: number) => void, isSteady: boolean) {
    this.#clock = clock
    this.#isSteady = isSteady
    this.#due = due
  }

  get size(): number {
    return this.#items.length
  }

  set(item: Item, dueAt: number): void {
    // Before it is in: what is set now knows what time it is.
    if (this.#isSteady) this.#follow(this.#clock.now())
    const slot = item.slot < 0 ? this.#items.length : item.slot
    this.#down(item, dueAt, this.#up(item, dueAt, slot))
    this.#arm()
  }

  delete(item: Item): void {
    const { slot } = item
    if (slot < 0) return
    item.slot = -1
    const last = this.#items.pop()
    const dueAt = this.#times.pop()
    if (last !== undefined && last !== item && dueAt !== undefined) this.#down(last, dueAt, this.#up(last, dueAt, slot))
    if (this.#items.length === 0) this.#disarm()
  }

  timeOf({ slot }: Item): number {
    return this.#timeAt(slot)
  }

  stop(): void {
    this.#stopped = true
    this.#disarm()
  }

  #put(item: Item, dueAt: number, slot: number): void {
    this.#items[slot] = item
    this.#times[slot] = dueAt
    item.slot = slot
  }

  #timeAt(slot: number): number {
    return this.#times[slot] ?? Infinity
  }

  /** @returns where it may stand, seen from above. */
  #up(item: Item, dueAt: number, from: number): number {
    let slot = from
    while (slot > 0) {
      const above = (slot - 1) >> 1
      const parent = this.#items[above]
      if (parent === undefined || this.#timeAt(above) <= dueAt) break
      this.#put(parent, this.#timeAt(above), slot)
      slot = above
    }
    this.#put(item, dueAt, slot)
    return slot
  }

  #down(item: Item, dueAt: number, from: number): void {
    let slot = from
    for (;;) {
      const left = 2 * slot + 1
      const below = this.#timeAt(left + 1) < this.#timeAt(left) ? left + 1 : left
      const child = this.#items[below]
      if (child === undefined || this.#timeAt(below) >= dueAt) break
      this.#put(child, this.#timeAt(below), slot)
      slot = below
    }
    this.#put(item, dueAt, slot)
  }

  #arm(): void {
    if (this.#stopped || this.#timeAt(0) >= this.#armedFor) return
    this.#disarm()
    const now = this.#clock.now()
    const wait = Math.min(LONGEST, Math.max(0, Math.ceil(this.#timeAt(0) - now)))
    this.#armedFor = now + wait
    this.#cancel = this.#clock.after(wait, this.#onTimer)
  }

  #disarm(): void {
    this.#cancel?.()
    this.#cancel = undefined
    this.#armedFor = Infinity
  }

  /** Seen at each timer, so at most {@link LONGEST} late. */
  #follow(now: number): void {
    const back = this.#seen - now
    this.#seen = now
    if (this.#isSteady && back > 0) for (const slot of this.#times.keys()) this.#times[slot] = this.#timeAt(slot) - back
  }

  readonly #onTimer = (): void => {
    this.#disarm()
    this.#follow(this.#clock.now())
    try {
      this.#callDue()
    } finally {
      this.#arm()
    }
  }

  #callDue(): void {
    const began = performance.now()
    // What a whole herd has due at once is done in slices, so that the others are served between them.
    while (performance.now() - began < SLICE) {
      const now = this.#clock.now()
      const [first] = this.#items
      if (first === undefined || this.#timeAt(0) > now || this.#stopped) return
      this.delete(first)
      this.#due(first, now)
    }
  }
}
