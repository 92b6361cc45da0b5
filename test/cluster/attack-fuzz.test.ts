import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { LogEntry, LogPage, Report } from '../../src/cluster/engine.ts'
import { ClusterWorld, type Node } from './semantics-world.ts'

/** The same numbers each time (xorshift). */
function random(seed: number): () => number {
  let x = (seed * 2_654_435_761) >>> 0 || 1
  return () => {
    x = (x ^ (x << 13)) >>> 0
    x = (x ^ (x >>> 17)) >>> 0
    x = (x ^ (x << 5)) >>> 0
    return x / 2 ** 32
  }
}

/** Some nodes, people who are revoked, and somebody who may write into the engine, but has not the secret. */
class Attack {
  readonly #world: ClusterWorld
  readonly #next: () => number
  /** Numbers of entries that were written over, by generation. */
  readonly #garbled = new Map<string, Set<number>>()
  readonly #said: Uint8Array[] = []
  readonly #entries: LogEntry[] = []
  readonly #reports: Report[] = []
  readonly #out: string[] = []
  readonly done: string[] = []

  private constructor(world: ClusterWorld, seed: number) {
    this.#world = world
    this.#next = random(seed)
    const { memory } = world
    const read = memory.read.bind(memory)
    memory.read = (after, limit) => this.#garble(read(after, limit))
    memory.hub.join({
      hear: (data) => void this.#said.push(data),
      wake: () => void this.#entries.push(...read(0, Infinity).entries.slice(-1)),
    })
  }

  static async run(seed: number, steps: number): Promise<Attack> {
    const attack = new Attack(await ClusterWorld.of(2), seed)
    for (let step = 0; step < steps; step++) await attack.#step()
    await attack.#heal()
    return attack
  }

  #upTo(count: number): number {
    return Math.floor(this.#next() * count)
  }

  #garble(page: LogPage): LogPage {
    const garbled = this.#garbled.get(page.generation)
    if (garbled === undefined) return page
    const entries = page.entries.map(({ seq, data }) => ({
      seq,
      data: garbled.has(seq) ? data.map((byte) => byte ^ 1) : data,
    }))
    return { ...page, entries }
  }

  async #step(): Promise<void> {
    const { nodes, memory } = this.#world
    const node = nodes[this.#upTo(nodes.length)]
    assert.ok(node)
    const acts: ReadonlyArray<readonly [string, () => unknown]> = [
      ['revoke', () => this.#revoke(node)],
      ['revoke', () => this.#revoke(node)],
      ['write over', () => this.#writeOver()],
      ['put right', () => this.#garbled.clear()],
      ['trim', () => memory.trim(memory.page.generation, this.#upTo(memory.page.last + 1))],
      ['old reports', () => this.#reports.slice(-6).map((old) => memory.hub.report(old.node, old.data, 10_000))],
      ['no reports', () => memory.forgetReports()],
      ['old messages', () => this.#said.slice(-10).map((data) => memory.hub.say(data))],
      ['old entries', () => this.#putIn()],
      ['start', () => (nodes.length < 5 ? this.#world.add() : undefined)],
      ['cut off', () => this.#cutOff(node)],
      ['flush', () => memory.flush()],
    ]
    const [name, act] = acts[this.#upTo(acts.length)] ?? ['', () => undefined]
    this.done.push(name)
    await act()
    this.#reports.push(...memory.hub.reports())
    await this.#world.pass(this.#next() * 2500)
    await this.#check()
  }

  async #revoke(node: Node): Promise<void> {
    const world = this.#world
    const name = world.login(`u${this.#out.length}`)
    await world.pass(2000)
    for (const one of world.nodes) await one.dial(name)
    await world.pass(this.#next() * 12_000)
    this.#out.push(name)
    const selector = this.#next() < 0.5 ? { session: `s-${name}` } : { subject: name }
    await world.within(8000, node.gate.revoke(selector))
  }

  #writeOver(): void {
    const { generation, entries } = this.#world.memory.page
    const garbled = this.#garbled.get(generation) ?? new Set()
    for (const { seq } of entries) if (this.#next() < 0.5) garbled.add(seq)
    this.#garbled.set(generation, garbled)
  }

  #putIn(): void {
    const from = this.#upTo(this.#entries.length)
    const { generation } = this.#world.memory.page
    for (const { data } of this.#entries.slice(from, from + 5)) this.#world.memory.append(generation, data)
  }

  async #cutOff(node: Node): Promise<void> {
    node.engine.cut()
    await this.#world.pass(this.#next() * 9000)
    node.engine.heal()
  }

  /** Whoever knows all lets in nobody who is out. */
  async #check(): Promise<void> {
    for (const node of this.#world.nodes)
      for (const name of node.gate.ready ? this.#out : [])
        assert.notEqual((await node.dial(name)).status, 101, `${name} is let in after ${this.done.join(', ')}`)
  }

  async #heal(): Promise<void> {
    this.#garbled.clear()
    await this.#world.pass(20_000)
    for (const node of this.#world.nodes) {
      const left = node.open().filter((name) => this.#out.includes(name))
      assert.deepEqual([left, node.gate.ready], [[], true], this.done.join(', '))
    }
    await this.#world.stop()
  }
}

// More of them: GATE101_ATTACKS=1000.
const COUNT = Number(process.env['GATE101_ATTACKS'] ?? 20)

it(`${COUNT} attacks by somebody who may write into the engine let nobody in, and leave nobody open`, async () => {
  for (let seed = 41; seed < 41 + COUNT; seed++) await Attack.run(seed, 14)
})
