import type { Clock } from '../../src/core/clock.ts'
import type { TicketStore } from '../../src/core/ticket-store.ts'
import type { ClusterEngine, LogPage, Place, Report } from '../../src/cluster/engine.ts'
import { Hub } from '../../src/cluster/hub.ts'
import { memoryEngine } from '../../src/cluster/memory.ts'
import { memoryTicketStore } from '../../src/credentials/ticket-store.ts'

/** What a node asks its engine for; `take` and `add` are those of tickets. */
export type Op =
  | 'open'
  | 'append'
  | 'read'
  | 'trim'
  | 'restart'
  | 'say'
  | 'report'
  | 'reports'
  | 'enter'
  | 'keep'
  | 'leave'
  | 'take'
  | 'add'

type Wait = (op: Op) => void | Promise<void>

const AT_ONCE: Wait = () => undefined
const NEVER = new Promise<never>(() => undefined)

/** The memory that the engines of one test share, and what can become of it. */
export class FaultyMemory {
  readonly #clock: Clock
  readonly #engines: FaultyEngine[] = []
  /** Numbers in the hub's log: those that are gone as if they had never been, and those that are missing. */
  #rewound: number[] = []
  #missing = new Set<number>()
  #garbled = new Set<number>()
  hub: Hub
  /** By so much the log looks older than it is (ms). */
  ahead = 0

  constructor(clock: Clock) {
    this.#clock = clock
    this.hub = new Hub(clock, memoryTicketStore(clock))
  }

  engine(): FaultyEngine {
    const engine = new FaultyEngine(this)
    this.#engines.push(engine)
    return engine
  }

  /** All is gone, as after a restart without persistence. @param keeps - the reports are still there. */
  async flush({ keepReports = false } = {}): Promise<void> {
    const before = this.hub
    this.hub = new Hub(this.#clock, memoryTicketStore(this.#clock))
    this.#rewound = []
    this.#missing = new Set()
    this.#garbled = new Set()
    if (keepReports) for (const { node, data } of before.reports()) this.hub.report(node, data, 10_000)
    for (const engine of this.#engines) await engine.reopen()
  }

  forgetReports(): void {
    for (const { node } of this.hub.reports()) this.hub.report(node, new Uint8Array(), 1)
  }

  /** The last entries are gone, and their numbers are given again: a failover to a copy that was behind. */
  rewind(count: number): void {
    const { last } = this.hub.read(0, 0)
    const left = Array.from({ length: last }, (_, n) => n + 1).filter((seq) => !this.#rewound.includes(seq))
    this.#rewound.push(...left.slice(left.length - count))
  }

  /** The entry is missing, and its number stays empty. */
  lose(seq: number): void {
    this.#missing.add(this.#toHub(seq))
  }

  /** Somebody who is none of the nodes has taken away all that is in it. */
  takeAway(): void {
    const { generation, last } = this.hub.read(0, 0)
    this.hub.trim(generation, last)
  }

  /** Somebody has written over it. */
  garble(seq: number): void {
    this.#garbled.add(this.#toHub(seq))
  }

  get page(): LogPage {
    return this.read(0, Infinity)
  }

  read(after: number, limit: number): LogPage {
    const page = this.hub.read(0, Infinity)
    const entries = page.entries
      .filter(({ seq }) => !this.#rewound.includes(seq) && !this.#missing.has(seq))
      .map(({ seq, data }) => ({
        seq: this.#fromHub(seq),
        data: this.#garbled.has(seq) ? data.map((byte) => byte ^ 1) : data,
      }))
      .filter(({ seq }) => seq > after)
    return {
      ...page,
      age: page.age + this.ahead,
      floor: this.#fromHub(page.floor),
      last: this.#fromHub(page.last),
      entries: entries.slice(0, limit),
    }
  }

  append(generation: string, data: Uint8Array): number | undefined {
    const seq = this.hub.append(generation, data)
    return seq === undefined ? undefined : this.#fromHub(seq)
  }

  trim(generation: string, upTo: number): void {
    this.hub.trim(generation, this.#toHub(upTo))
  }

  restart(generation: string): void {
    if (generation !== this.hub.read(0, 0).generation) return
    this.#rewound = []
    this.#missing = new Set()
    this.#garbled = new Set()
    this.hub.restart(generation)
  }

  #fromHub(seq: number): number {
    return seq - this.#rewound.filter((gone) => gone <= seq).length
  }

  #toHub(seq: number): number {
    let own = seq
    while (this.#fromHub(own) < seq || this.#rewound.includes(own)) own += 1
    return own
  }
}

/** The engine of one node: the real one of memory behind a network that does what a test wants. */
export class FaultyEngine implements ClusterEngine {
  readonly name = 'memory'
  readonly tickets: TicketStore
  readonly #memory: FaultyMemory
  #inner: ClusterEngine
  #hear: (data: Uint8Array) => void = () => undefined
  #wake: () => void = () => undefined
  /** Waited for before an operation reaches the memory, and before its answer comes back. */
  before: Wait = AT_ONCE
  after: Wait = AT_ONCE
  /** What becomes of a message on its way to this node. */
  network: (deliver: () => void) => void = (deliver) => deliver()
  /** Whether it hears that there may be something new. */
  wakes = true
  /** What is said of others may be said to be otherwise. */
  see: (reports: readonly Report[]) => readonly Report[] = (reports) => reports
  /** How often each was asked for. */
  readonly asked = new Map<Op, number>()
  isClosed = false
  isOpen = false

  constructor(memory: FaultyMemory) {
    this.#memory = memory
    this.#inner = memoryEngine(memory.hub)
    const { tickets } = memory.hub
    this.tickets = {
      add: (record) => this.#ask('add', () => tickets.add(record)),
      take: (id) => this.#ask('take', () => tickets.take(id)),
    }
  }

  /** Each of these is refused from now on; all of them where none is named. */
  cut(...ops: readonly Op[]): void {
    if (ops.length === 0) this.#deafen()
    this.before = (op) => {
      if (ops.length === 0 || ops.includes(op)) throw new Error('cut')
    }
  }

  /** A half-open connection: nothing arrives, and nothing is answered. */
  hang(...ops: readonly Op[]): void {
    if (ops.length === 0) this.#deafen()
    this.before = async (op) => (ops.length === 0 || ops.includes(op) ? await NEVER : undefined)
  }

  /** It is done, and the answer never comes. */
  loseAnswers(...ops: readonly Op[]): void {
    this.after = async (op) => (ops.length === 0 || ops.includes(op) ? await NEVER : undefined)
  }

  /** These wait until they are let go on. @returns lets them go on, and those that come later. */
  hold(...ops: readonly Op[]): () => void {
    let go = (): void => undefined
    const held = new Promise<void>((resolve) => (go = resolve))
    this.before = async (op) => (ops.includes(op) ? await held : undefined)
    return () => {
      this.before = AT_ONCE
      go()
    }
  }

  /** They are done, and answered later. @returns answers them. */
  holdAnswers(...ops: readonly Op[]): () => void {
    let go = (): void => undefined
    const held = new Promise<void>((resolve) => (go = resolve))
    const before = this.after
    this.after = async (op) => {
      await before(op)
      if (ops.includes(op)) await held
    }
    return () => {
      this.after = before
      go()
    }
  }

  heal(): void {
    this.before = AT_ONCE
    this.after = AT_ONCE
    this.wakes = true
    this.network = (deliver) => deliver()
  }

  /** What a gate is given. */
  get port(): ClusterEngine {
    const { name, tickets } = this
    return {
      name,
      tickets,
      open: (hear, wake) => this.open(hear, wake),
      append: (generation, data) => this.append(generation, data),
      read: (after, limit) => this.read(after, limit),
      trim: (generation, upTo) => this.trim(generation, upTo),
      restart: (generation) => this.restart(generation),
      say: (data) => this.say(data),
      report: (node, data, ttl) => this.report(node, data, ttl),
      reports: () => this.reports(),
      enter: (place, ttl, limit) => this.enter(place, ttl, limit),
      keep: (places, ttl) => this.keep(places, ttl),
      leave: (places) => this.leave(places),
      close: () => this.close(),
    }
  }

  async reopen(): Promise<void> {
    await this.#inner.close()
    this.#inner = memoryEngine(this.#memory.hub)
    if (this.isOpen) await this.#join()
  }

  async open(hear: (data: Uint8Array) => void, wake: () => void): Promise<{ durable: 'memory' }> {
    this.#hear = hear
    this.#wake = wake
    await this.#ask('open', () => this.#join())
    this.isOpen = true
    return { durable: 'memory' }
  }

  async append(generation: string, data: Uint8Array): Promise<number | undefined> {
    return await this.#ask('append', () => this.#memory.append(generation, data))
  }

  async read(after: number, limit: number): Promise<LogPage> {
    return await this.#ask('read', () => this.#memory.read(after, limit))
  }

  async trim(generation: string, upTo: number): Promise<void> {
    await this.#ask('trim', () => this.#memory.trim(generation, upTo))
  }

  async restart(generation: string): Promise<void> {
    await this.#ask('restart', () => this.#memory.restart(generation))
  }

  async say(data: Uint8Array): Promise<void> {
    await this.#ask('say', () => this.#inner.say(data))
  }

  async report(node: string, data: Uint8Array, ttl: number): Promise<void> {
    await this.#ask('report', () => this.#inner.report(node, data, ttl))
  }

  async reports(): Promise<readonly Report[]> {
    return this.see(await this.#ask('reports', () => this.#inner.reports()))
  }

  async enter(place: Place, ttl: number, limit: number): Promise<boolean> {
    return await this.#ask('enter', () => this.#inner.enter(place, ttl, limit))
  }

  async keep(places: readonly Place[], ttl: number): Promise<void> {
    await this.#ask('keep', () => this.#inner.keep(places, ttl))
  }

  async leave(places: readonly Place[]): Promise<void> {
    await this.#ask('leave', () => this.#inner.leave(places))
  }

  async close(): Promise<void> {
    this.isClosed = true
    this.isOpen = false
    await this.#inner.close()
  }

  #deafen(): void {
    this.wakes = false
    this.network = () => undefined
  }

  async #join(): Promise<void> {
    await this.#inner.open(
      (data) => this.network(() => this.#hear(data)),
      () => {
        if (this.wakes) this.#wake()
      },
    )
  }

  async #ask<Answer>(op: Op, act: () => Answer | Promise<Answer>): Promise<Answer> {
    this.asked.set(op, (this.asked.get(op) ?? 0) + 1)
    await this.before(op)
    const answer = await act()
    await this.after(op)
    return answer
  }
}
