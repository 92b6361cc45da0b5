import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { PassThrough } from 'node:stream'
import type { Gate, GateOptions, IdentityInput, Revoked } from '../../src/index.ts'
import type { LiveConnection } from '../../src/connections/connection.ts'
import type { GateState } from '../../src/gate/state.ts'
import { HeldClock } from '../unit/credentials/helpers.ts'
import type { Code } from './explorer-code.ts'
import { settle, type Points } from './explorer-schedule.ts'
import { FaultyMemory, type FaultyEngine } from './faulty.ts'

const SECRET = 'Vq3kz0Wm8Lr5Tn1Xy7Hs2Bd9Gf4Jc6PaQeUoZiRt'

export interface Explored {
  readonly name: string
  readonly gate: Gate
  readonly state: GateState
  readonly engine: FaultyEngine
  isDead: boolean
}

export interface ExplorerOptions {
  /** Which operations of which nodes wait for the schedule, such as `b read` and `b read answered`. */
  readonly points: RegExp
}

/** Gates whose engine waits at each operation, and those who come to them. The network and the app are left out. */
export class ExplorerWorld {
  readonly clock = new HeldClock()
  readonly memory = new FaultyMemory(this.clock)
  readonly nodes: Explored[] = []
  readonly #code: Code
  readonly #points: Points
  readonly #options: ExplorerOptions
  /** Selectors' sessions that are out, and since which moment every node has to know. */
  readonly #out = new Map<string, { resolvedAt: number | undefined }>()
  #moment = 0
  #faults: string[] = []
  #number = 0
  isWatching = true

  constructor(code: Code, points: Points, options: ExplorerOptions) {
    this.#code = code
    this.#points = points
    this.#options = options
  }

  add(name: string): Explored {
    const engine = this.memory.engine()
    engine.before = (op) => this.#at(`${name} ${op}`)
    engine.after = (op) => this.#at(`${name} ${op} answered`)
    const gate = this.#code.index.createGate({
      clock: this.clock,
      secret: SECRET,
      cluster: engine.port,
      identify: () => ({ subject: 'nobody' }),
      recheck: false,
    } satisfies Partial<GateOptions>) as Gate
    const node: Explored = { name, gate, state: this.#code.state.stateOf(gate), engine, isDead: false }
    this.nodes.push(node)
    return node
  }

  /** All of them are live. */
  async live(): Promise<void> {
    for (let left = 12; left > 0 && this.nodes.some(({ state }) => state.cluster?.node.lost !== undefined); left--)
      await this.goOn(500)
    for (const { name, state } of this.nodes) assert.equal(state.cluster?.node.lost, undefined, `${name} is not live`)
  }

  /** A handshake, as the gate decides it; what waits is the app, and the library that opens the connection. */
  async dial(node: Explored, session: string, more: Partial<IdentityInput> = {}): Promise<void> {
    const { state, name } = node
    const begunAt = (this.#moment += 1)
    const identity = this.#code.identity.toIdentity({ subject: `of ${session}`, session, ...more }, 'app')
    const order = state.nextOrder()
    await this.#at(`${name} app`)
    if (node.isDead || this.#code.revoked.refuseRevoked(state, identity, order) !== undefined) return
    if (this.#code.revoked.refuseStale(state) !== undefined) return
    const connection = this.#connect(state, identity, order)
    await this.#at(`${name} library`)
    const carrier = new EventEmitter()
    state.registry.add(carrier, connection)
    this.#code.life.begin(state, connection)
    if (connection.reason !== undefined) return
    const resolvedAt = this.#out.get(session)?.resolvedAt
    if (resolvedAt !== undefined && resolvedAt < begunAt && state.cluster?.node.lost === undefined)
      this.#faults.push(`${name} is live, and has let in who was out`)
  }

  /** Never rejects: what is not surely written is promised to nobody. */
  async revoke({ gate }: Explored, session: string): Promise<Revoked | undefined> {
    const out = this.#out.get(session) ?? { resolvedAt: undefined }
    this.#out.set(session, out)
    try {
      const revoked = await gate.revoke({ session })
      out.resolvedAt ??= this.#moment += 1
      return revoked
    } catch {
      return undefined
    }
  }

  async goOn(ms: number, step = 500): Promise<void> {
    await settle()
    for (let left = ms; left > 0; left -= step) {
      this.clock.pass(step)
      await settle()
    }
  }

  /** Its process is gone. */
  crash(node: Explored): void {
    node.isDead = true
    node.engine.hang()
    for (const connection of Array.from(node.state.registry.values())) connection.markEnded('crashed')
  }

  /** No connection outlives a revocation that its node has applied, and nobody was let in who was out. */
  watch(): void {
    if (!this.isWatching) return
    assert.deepEqual(this.#faults, [])
    for (const { name, state, isDead } of this.nodes) {
      if (isDead || state.cluster?.isBehind === true) continue
      for (const one of state.registry.values())
        if (state.revocations.covers(one.identity, one.order, one.id))
          assert.fail(`a connection on ${name} has outlived what it has applied`)
    }
  }

  /** Everything is well again, for long enough. */
  async finish(): Promise<void> {
    for (const { engine, isDead } of this.nodes) if (!isDead) engine.heal()
    await this.goOn(9000, 1500)
    this.watch()
    for (const { name, state, isDead } of this.nodes) {
      if (isDead) continue
      assert.equal(state.cluster?.node.lost, undefined, `${name} does not come back`)
      for (const { identity } of state.registry.values())
        assert.ok(!this.#out.has(identity.session ?? ''), `a connection on ${name} has outlived all`)
    }
  }

  #connect(state: GateState, identity: LiveConnection['identity'], order: number): LiveConnection {
    this.#number += 1
    return this.#code.connection.LiveConnection.create({
      number: this.#number,
      identity,
      order,
      now: state.clock.now(),
      carrier: undefined,
      ender: { end: () => undefined, queued: () => 0 },
      socket: new PassThrough(),
      kin: state.kin,
      trust: this.#code.connection.FOR_EVER,
    })
  }

  #at(label: string): void | Promise<void> {
    return this.#options.points.test(label) ? this.#points.at(label) : undefined
  }
}
