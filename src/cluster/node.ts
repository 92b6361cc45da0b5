import { randomBytes } from 'node:crypto'
import type { Clock } from '../core/clock.ts'
import { Acks, type Listening } from './acks.ts'
import type { ClusterEngine, Durability, LogEntry } from './engine.ts'
import { openEntry, type Entry, type HeldEntry, type SessionEntry, type WrittenRevokeEntry } from './entries.ts'
import { Follower, type Look } from './follower.ts'
import { openMessage, sealMessage, type Standing } from './messages.ts'
import { Questions, type Answers, type QuestionParts } from './questions.ts'
import { Roll } from './roll.ts'
import { Trimmer } from './trimmer.ts'
import { PATIENCE, within } from './within.ts'
import { Writer, type WriterParts } from './writer.ts'

/** How often a node looks at the log, and says that it is there (ms). */
const BEAT = 1000
/** Without an answer for so long the engine counts as lost (ms). */
const STALE_AFTER = 5000
/** A log may have been begun because one was lost: so long its nodes have to say that they are there (ms). */
const SETTLE = 2000
const REOPEN = 5000
/** So many of the last entries a report names: what was said of them may be lost. */
const REPORTED = 16
/** What can no longer come again is looked for so often, and kept so much longer (ms). */
const FORGET_EVERY = 2 * 60 * 60_000

/** Why a node may not know of a revocation that others know of. */
export type Lost = 'joining' | 'no_answer' | 'generation' | 'rewound' | 'gap' | 'unreadable'

/** What one revocation did on one node. */
export interface Applied {
  readonly matched: number
  readonly closed: number
  readonly unbounded: number
}

export interface NodeParts extends Omit<WriterParts, 'engine' | 'newId' | 'age'>, Pick<QuestionParts, 'answer'> {
  readonly engine: ClusterEngine
  readonly clock: Clock
  /** @param delay - how long ago it was asked for (ms). */
  readonly revoke: (entry: WrittenRevokeEntry, delay: number) => Promise<Applied>
  /** Others tell what they remember. */
  readonly hold: (entry: HeldEntry) => void
  /** All of the log is applied: what was held can be acted on. @param wasAway - the engine may have lost what lies beside the log. */
  readonly caughtUp: (wasAway: boolean) => Promise<void>
  readonly sessionGone: (entry: SessionEntry) => void
  /** Sessions may be gone of which it was not told. */
  readonly missed: () => void
  readonly sessionMoved: (session: string) => void
  readonly connections: () => number
  /** It has lost the others, or is one of them again. */
  readonly changed: (lost: Lost | undefined, cause: unknown) => void
  /** Something that none of us has written. */
  readonly forged: (where: 'log' | 'message' | 'report') => void
}

/** One node of a cluster: follows the log, and knows whether it knows all. */
export class ClusterNode {
  readonly #parts: NodeParts
  readonly #follower: Follower
  readonly #writer: Writer
  readonly #roll: Roll
  readonly #acks: Acks
  readonly #questions: Questions
  readonly #trimmer: Trimmer
  /** Entries that were applied, and until when they could come again. */
  readonly #seen = new Map<string, number>()
  #durable: Durability | undefined
  /** All that was committed before this moment is applied; none of it may be known any more where `#why` is there. */
  #freshAt = 0
  #settledAt = Infinity
  /** The log that was followed is lost, or the front of it. */
  #hasMissed = false
  /** Another node says that the log was something else. */
  #isDeceived = false
  /** What its clock has said last, and how often it was set back. */
  #latest = 0
  #setBacks = 0
  /** The last entries of others that it has carried out. */
  #done: readonly string[] = []
  #forgotAt = 0
  #why: Lost | undefined = 'joining'
  #cause: unknown
  #said: Lost | undefined
  #looking: Promise<void> | undefined
  #calling: Promise<unknown> = Promise.resolve()
  #again = false
  #stopped = false
  #cancel: () => void = () => undefined
  #cancelOpen: () => void = () => undefined
  #reached: () => void = () => undefined
  /** The log was reached once. */
  readonly #first = new Promise<void>((resolve) => {
    this.#reached = resolve
  })

  constructor(parts: NodeParts) {
    const { engine, clock } = parts
    const newId = (): string => this.#newId()
    this.#parts = parts
    this.#follower = new Follower({ engine, clock, apply: (...entry) => this.#apply(...entry) })
    this.#writer = new Writer({ ...parts, newId, age: () => this.#follower.age })
    this.#roll = new Roll(parts)
    this.#acks = new Acks({ clock, roll: () => this.#roll.read(), known: () => this.#roll.known })
    this.#questions = new Questions(parts)
    this.#trimmer = new Trimmer({ ...parts, newId, tallyAt: (seq) => this.#follower.tally.at(seq) })
  }

  /** What a revocation survives; undefined until the engine was reached. */
  get durable(): Durability | undefined {
    return this.#durable
  }

  /** Why this node may not know of a revocation that others know of; undefined where it knows of all. */
  get lost(): Lost | undefined {
    if (this.#why !== undefined) return this.#why
    this.#noticeSetBack()
    const since = this.#parts.clock.now() - this.#freshAt
    return since >= 0 && since < STALE_AFTER ? undefined : 'no_answer'
  }

  /** What could not be written yet. */
  get waiting(): number {
    return this.#writer.waiting
  }

  start(): void {
    void this.#open()
    this.#beat()
  }

  /** Rejects where the entry is not surely written; it is written later then. */
  async write(entry: Entry): Promise<void> {
    this.#seen.set(entry.id, entry.until)
    await within(this.#parts.clock, PATIENCE, this.#first).catch(() => undefined)
    await this.#writer.write(this.#follower.position?.generation, entry)
  }

  newId(): string {
    return this.#newId()
  }

  /** Tells the others that a session goes on for longer. Nothing is lost where they do not hear it: they ask when its time is over. */
  tellMoved(session: string): void {
    const { engine, clock, sealer, name } = this.#parts
    const message = sealMessage(sealer, { type: 'moved', node: name, session })
    within(clock, PATIENCE, engine.say(message)).catch(() => undefined)
  }

  /** Hears from now on what the others say about this entry. */
  listen(entry: string): Listening {
    return this.#acks.listen(entry)
  }

  async ask(question: unknown): Promise<Answers> {
    const others = await this.#roll.read().catch(() => this.#roll.known)
    const nodes = others.map(({ node }) => node)
    return await this.#questions.ask(question, nodes)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancel()
    this.#cancelOpen()
    await this.#looking
    // A report that came after the last one would bring this node back.
    await this.#calling
    if (this.#durable !== undefined) await this.#roll.leave(this.#standing()).catch(() => undefined)
    await this.#parts.engine.close().catch(() => undefined)
  }

  #newId(): string {
    return randomBytes(12).toString('base64url')
  }

  /** A clock that was set back says nothing of what is old. */
  #noticeSetBack(): void {
    const now = this.#parts.clock.now()
    const isSetBack = now < this.#latest
    this.#latest = now
    if (!isSetBack) return
    this.#setBacks += 1
    this.#freshAt = -Infinity
    this.#settledAt = Math.min(this.#settledAt, now + SETTLE)
    this.#wake()
  }

  async #open(): Promise<void> {
    const { engine, clock } = this.#parts
    const slow = (): void => {
      this.#parts.changed('joining', new Error(`The cluster's engine has not opened within ${REOPEN} ms.`))
    }
    this.#cancelOpen = clock.after(REOPEN, slow)
    try {
      const { durable } = await engine.open(
        (data) => this.#hear(data),
        () => this.#wake(),
      )
      this.#cancelOpen()
      if (this.#stopped) return await engine.close()
      this.#durable = durable
      this.#wake()
    } catch (error) {
      this.#cancelOpen()
      if (this.#stopped) return
      this.#cause = error
      // Said again each time: somebody has to mend it.
      this.#parts.changed('joining', error)
      this.#cancelOpen = clock.after(REOPEN, () => void this.#open())
    }
  }

  #beat(): void {
    if (this.#stopped) return
    this.#noticeSetBack()
    this.#wake()
    this.#note()
    // Whatever takes long meanwhile: a node that is silent is not waited for.
    if (this.#durable !== undefined) this.#calling = this.#callRoll().catch(() => undefined)
    this.#cancel = this.#parts.clock.after(BEAT, () => this.#beat())
  }

  #wake(): void {
    if (this.#durable === undefined || this.#stopped) return
    this.#again = true
    this.#looking ??= this.#lookOn().finally(() => {
      this.#looking = undefined
    })
  }

  async #lookOn(): Promise<void> {
    while (this.#again && !this.#stopped) {
      this.#again = false
      try {
        // oxlint-disable-next-line no-await-in-loop -- one after the other
        await this.#look()
        this.#cause = undefined
      } catch (error) {
        this.#cause = error
      }
      this.#note()
    }
  }

  async #look(): Promise<void> {
    const before = this.#setBacks
    // Who has told by then has told before the log is read: afterwards it would say nothing about what was read.
    const there = this.#why === undefined ? [] : await this.#callRoll()
    const look = await this.#follower.look()
    this.#noticeSetBack()
    const isTimed = look.type !== 'fresh' || this.#setBacks === before
    await this.#settle(isTimed ? look : { ...look, at: -Infinity }, there)
  }

  async #settle(look: Look, there: readonly Standing[]): Promise<void> {
    if (look.type === 'unreadable') {
      this.#why = 'unreadable'
      return
    }
    if (look.type === 'begun') {
      const { page, why } = look
      this.#why = why
      this.#hasMissed ||= why !== 'joining'
      this.#settledAt = this.#parts.clock.now() + Math.max(0, SETTLE - Math.max(0, page.age))
      this.#again = true
      this.#reached()
      // It is waited for from now on.
      await this.#callRoll()
      return await this.#writer.settle(page.generation)
    }
    this.#hasMissed ||= look.skipped
    await this.#keepUp(look.at, there)
  }

  /** It has read to the end. @param there - who was there before. */
  async #keepUp(at: number, there: readonly Standing[]): Promise<void> {
    const { name, clock } = this.#parts
    const { generation = '', seq = 0 } = this.#follower.position ?? {}
    // Nobody else may have seen what is not there.
    if (this.#writer.misses(seq)) return await this.#restart(generation)
    if (this.#isDeceived || this.#isContradicted(there)) return await this.#restart(generation)
    if (this.#hasMissed) this.#parts.missed()
    this.#hasMissed = false
    await this.#parts.caughtUp(this.#why !== undefined || this.#cause !== undefined)
    await this.#writer.settle(generation)
    const others = await this.#callRoll()
    if (this.#isContradicted(others)) return await this.#restart(generation)
    const haveTold = (all: readonly Standing[]): boolean =>
      all.every((one) => one.generation === generation && one.told)
    if (this.#why !== undefined && haveTold(others) && clock.now() >= this.#settledAt) {
      if (haveTold(there)) this.#why = undefined
      else this.#again = true
    }
    this.#freshAt = at
    const applied = others.map((other) => (other.generation === generation ? other.seq : 0))
    if (others.every((other) => name < other.node)) await this.#trimmer.trim(generation, Math.min(seq, ...applied))
    this.#forget()
  }

  /** Whether one of them has read something else under the same numbers. */
  #isContradicted(others: readonly Standing[]): boolean {
    const { tally, position } = this.#follower
    return others.some(({ generation, seq, tally: theirs }) => {
      const own = generation === position?.generation ? tally.at(seq) : undefined
      return own !== undefined && theirs !== undefined && own !== theirs
    })
  }

  /** All tell what they remember, into a log that begins anew. */
  async #restart(generation: string): Promise<void> {
    const { engine, clock } = this.#parts
    this.#isDeceived = false
    this.#why = 'rewound'
    await within(clock, PATIENCE, engine.restart(generation))
  }

  async #callRoll(): Promise<readonly Standing[]> {
    return await this.#roll.call(this.#standing())
  }

  #standing(): Omit<Standing, 'node' | 'beat' | 'isLeaving'> {
    const { generation = '', seq = 0 } = this.#follower.position ?? {}
    const told = this.#writer.hasTold(generation)
    const { value: tally } = this.#follower.tally
    return { generation, told, seq, tally, done: this.#done, connections: this.#parts.connections() }
  }

  #forget(): void {
    const now = this.#parts.clock.now()
    if (Math.abs(now - this.#forgotAt) < FORGET_EVERY) return
    this.#forgotAt = now
    for (const [id, until] of this.#seen) if (until + FORGET_EVERY <= now) this.#seen.delete(id)
  }

  async #apply({ data, seq }: LogEntry, generation: string, age: number): Promise<boolean> {
    const entry = openEntry(this.#parts.sealer, generation, data)
    if (entry === 'unreadable') return false
    this.#trimmer.saw(seq, entry === 'forged' ? 0 : entry.until)
    if (entry === 'forged') {
      this.#parts.forged('log')
      return true
    }
    this.#writer.met(entry.id)
    if (this.#seen.has(entry.id)) return true
    this.#seen.set(entry.id, entry.until)
    if (entry.type === 'session') this.#parts.sessionGone(entry)
    if (entry.type === 'held') this.#parts.hold(entry)
    if (entry.type === 'trimmed' && !this.#follower.tally.agrees(entry.upTo, entry.tally)) this.#isDeceived = true
    if (entry.type !== 'revoke') return true
    const applied = await this.#parts.revoke(entry, this.#delayOf(entry, age))
    this.#done = [...this.#done.slice(1 - REPORTED), entry.id]
    await this.#acknowledge(applied, entry.id)
    return true
  }

  /** The smaller of two: whoever sets one clock forward spares nobody by it. */
  #delayOf({ at, late, written }: WrittenRevokeEntry, age: number): number {
    const byEngine = late + Math.max(0, age - written)
    return Math.min(byEngine, Math.max(0, this.#parts.clock.now() - at))
  }

  async #acknowledge(applied: Applied, entry: string): Promise<void> {
    const { engine, clock, sealer, name } = this.#parts
    const message = sealMessage(sealer, { type: 'ack', node: name, entry, ...applied })
    // Where it is lost, the next report says that it is done.
    await within(clock, PATIENCE, engine.say(message)).catch(() => undefined)
  }

  #hear(data: Uint8Array): void {
    const message = openMessage(this.#parts.sealer, data)
    if (message === undefined) return this.#parts.forged('message')
    if (message.type === 'ack') this.#acks.hear(message)
    if (message.type === 'answer') this.#questions.hearAnswer(message)
    if (message.type === 'moved' && message.node !== this.#parts.name) this.#parts.sessionMoved(message.session)
    if (message.type === 'ask') void this.#questions.hearQuestion(message).catch(() => undefined)
  }

  #note(): void {
    const { lost } = this
    if (lost === this.#said) return
    this.#said = lost
    this.#parts.changed(lost, this.#cause)
  }
}
