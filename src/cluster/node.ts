import { randomBytes } from 'node:crypto'
import { Acks, type Listening } from './acks.ts'
import { Applier, isSame, type ApplierParts } from './applier.ts'
import type { ClusterEngine, Durability, LogEntry } from './engine.ts'
import { openEntry, type Entry } from './entries.ts'
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
/** So long after it has told all the others have to say that they are there, and that they have read something else (ms). */
const SETTLE = 2000
const REOPEN = 5000
/** A clock that was set back by less has made nobody forget anything (ms). */
const FORGIVEN = 60_000
/** The others are told that a session goes on so often (ms), and of so many sessions it is known when. */
const TELL_EVERY = 5000
const MOVED = 10_000

/** Why a node may not know of a revocation that others know of. */
export type Lost = 'joining' | 'no_answer' | 'generation' | 'rewound' | 'gap' | 'unreadable'

export interface NodeParts
  extends
    Omit<WriterParts, 'engine' | 'newId' | 'log' | 'generation' | 'isAway'>,
    Omit<ApplierParts, 'engine'>,
    Pick<QuestionParts, 'answer'> {
  readonly engine: ClusterEngine
  /** All of the log is applied: what was held can be acted on. @param wasAway - the engine may have lost what lies beside the log. */
  readonly caughtUp: (wasAway: boolean) => Promise<void>
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
  readonly #applier: Applier
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
  /** Sessions of which the others were told that they go on, and when. */
  readonly #moved = new Map<string, number>()
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
    this.#follower = new Follower({
      engine,
      clock,
      apply: (...entry) => this.#apply(...entry),
      isOver: () => this.#stopped,
    })
    this.#writer = new Writer({
      ...parts,
      newId,
      log: () => this.#logNow(),
      generation: () => this.#follower.position?.generation,
      isAway: () => this.#stopped || this.lost !== undefined,
    })
    this.#roll = new Roll(parts)
    this.#acks = new Acks({ clock, roll: () => this.#roll.read(), known: () => this.#roll.known })
    this.#questions = new Questions(parts)
    this.#applier = new Applier(parts)
    this.#trimmer = new Trimmer({ ...parts, newId, tally: () => this.#follower.tally })
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
    this.#applier.owns(entry)
    await within(this.#parts.clock, PATIENCE, this.#first).catch(() => undefined)
    await this.#writer.write(entry)
  }

  newId(): string {
    return this.#newId()
  }

  /** Tells the others that a session goes on for longer. Nothing is lost where they do not hear it: they ask when its time is over. */
  tellMoved(session: string): void {
    const { engine, clock, sealer, name } = this.#parts
    const now = clock.now()
    // Whoever is logged in can renew again and again, and each time the others would ask the app.
    if (Math.abs(now - (this.#moved.get(session) ?? -Infinity)) < TELL_EVERY) return
    for (const oldest of this.#moved.keys()) {
      if (this.#moved.size < MOVED) break
      this.#moved.delete(oldest)
    }
    this.#moved.set(session, now)
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
    const before = this.#latest
    const isSetBack = now < before
    this.#latest = now
    if (!isSetBack) return
    this.#setBacks += 1
    this.#freshAt = -Infinity
    this.#settledAt = Math.min(this.#settledAt, now + SETTLE)
    if (before - now > FORGIVEN) this.#beginAgain()
    this.#wake()
  }

  /** What it took for over while its clock was ahead it has forgotten: the log knows. */
  #beginAgain(): void {
    this.#follower.beginAgain()
    this.#applier.beginAgain()
    this.#why = 'joining'
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
    const look = await this.#follower.look()
    this.#noticeSetBack()
    const isTimed = look.type !== 'fresh' || this.#setBacks === before
    await this.#settle(isTimed ? look : { ...look, at: -Infinity })
  }

  async #settle(look: Look): Promise<void> {
    if (look.type === 'unreadable') {
      this.#why = 'unreadable'
      return
    }
    if (look.type === 'begun') {
      const { why } = look
      this.#why = why
      this.#hasMissed ||= why !== 'joining'
      this.#again = true
      this.#reached()
      // It is waited for from now on.
      return void (await this.#callRoll())
    }
    this.#hasMissed ||= look.skipped
    await this.#keepUp(look.at)
  }

  /** It has read to the end. */
  async #keepUp(at: number): Promise<void> {
    const { name, clock } = this.#parts
    const { generation = '', seq = 0 } = this.#follower.position ?? {}
    // Nobody else may have seen what is not there.
    if (this.#writer.misses(seq)) return await this.#restart(generation)
    if (this.#isDeceived) return await this.#restart(generation)
    if (this.#hasMissed) this.#parts.missed()
    this.#hasMissed = false
    await this.#parts.caughtUp(this.#why !== undefined || this.#cause !== undefined)
    if (await this.#writer.settle(generation)) this.#settledAt = clock.now() + SETTLE
    const others = await this.#callRoll()
    if (this.#isContradicted(others)) return await this.#restart(generation)
    if (clock.now() >= this.#settledAt && others.every((one) => this.#isOneWith(one))) this.#why = undefined
    this.#freshAt = at
    const applied = others.map((other) => (other.generation === generation ? other.seq : 0))
    if (others.every((other) => name < other.node))
      await this.#trimmer.trim(generation, Math.min(seq, ...applied), {
        age: this.#follower.age,
        now: Math.min(clock.now(), ...others.map((other) => other.now)),
      })
    this.#applier.forget()
  }

  /** Whether this node has read all that it has told. */
  #isOneWith({ generation, told, seq }: Standing): boolean {
    const { position } = this.#follower
    return generation === position?.generation && told && seq <= position.seq
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
    const told = this.#writer.hasTold(generation) && seq >= this.#writer.readyAt
    const { value: tally } = this.#follower.tally
    const { clock, connections } = this.#parts
    return { generation, told, seq, tally, done: this.#applier.done, connections: connections(), now: clock.now() }
  }

  async #apply(logged: LogEntry, generation: string, age: number): Promise<boolean> {
    const entry = openEntry(this.#parts.sealer, generation, logged.data)
    if (entry === 'unreadable') return false
    this.#trimmer.saw(logged.seq, entry === 'forged' ? undefined : entry)
    if (entry === 'forged') this.#parts.forged('log')
    else {
      this.#writer.met(entry.id)
      this.#isDeceived ||= !isSame(this.#follower.tally, entry)
      await this.#applier.apply(entry, age)
    }
    return true
  }

  #logNow(): ReturnType<WriterParts['log']> {
    const { age, position, tally } = this.#follower
    const after =
      position === undefined || tally.value === undefined ? undefined : { seq: position.seq, tally: tally.value }
    return { age, after }
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
