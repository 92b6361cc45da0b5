import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { codeWithout, type Change } from './explorer-code.ts'
import { SCENARIOS, type ScenarioName } from './explorer-scenarios.ts'
import { explore } from './explorer-schedule.ts'

// The explorer must find what is wrong where it is wrong: each of these lacks one line.

interface Safeguard extends Change {
  readonly name: string
  /** What else finds the same out, and is switched off with it. */
  readonly and?: readonly Change[]
  readonly shownBy: ScenarioName
}

/** Nodes that tell each other what they have read. */
const COMPARED: readonly Change[] = [
  {
    file: 'cluster/node.ts',
    line: 'if (this.#isDeceived) return await this.#restart(generation)',
    instead: '',
  },
  {
    file: 'cluster/node.ts',
    line: 'if (this.#isContradicted(others)) return await this.#restart(generation)',
    instead: '',
  },
]

const SAFEGUARDS: readonly Safeguard[] = [
  {
    name: 'waits until the others have told what they remember',
    file: 'cluster/node.ts',
    line: 'others.every((one) => this.#isOneWith(one))',
    instead: 'others.length >= 0',
    shownBy: 'the last one tells while another one looks',
  },
  {
    name: 'looks at revocations once more when the connection is registered',
    file: 'gate/life.ts',
    line: 'if (state.revocations.covers(identity, order, id)) return connection.endWith(ENDS.revoked)',
    instead: '',
    shownBy: 'a handshake on one node, a revocation on the other',
  },
  {
    name: 'is as fresh as its question was, not its answer',
    file: 'cluster/follower.ts',
    line: "return { type: 'fresh', at, skipped }",
    instead: "return { type: 'fresh', at: clock.now(), skipped }",
    shownBy: 'answers that are late while time goes on',
  },
  {
    name: 'is stale after five seconds',
    file: 'cluster/node.ts',
    line: 'const STALE_AFTER = 5000',
    instead: 'const STALE_AFTER = 5001',
    shownBy: 'answers that are late while time goes on',
  },
  {
    name: 'waits for the others until they are stale',
    file: 'cluster/acks.ts',
    line: 'const DEADLINE = 5000',
    instead: 'const DEADLINE = 3500',
    shownBy: 'answers that are late while time goes on',
  },
  {
    name: 'takes a report for this entry alone',
    file: 'cluster/acks.ts',
    line: '!done.includes(this.#entry)',
    instead: 'done.length === 0',
    shownBy: 'the end of the log is lost, and its number given again',
  },
  {
    name: 'sees that what it has written is not there',
    file: 'cluster/node.ts',
    line: 'if (this.#writer.misses(seq)) return await this.#restart(generation)',
    instead: '',
    shownBy: 'what nobody has read is lost, and its number given to another entry',
  },
  {
    name: 'sees that an entry is missing',
    file: 'cluster/follow.ts',
    line: "if (fresh.some(({ seq }, n) => seq !== from + n + 1)) return { type: 'lost', why: 'gap' }",
    instead: '',
    and: COMPARED,
    shownBy: 'an entry is missing',
  },
  {
    name: 'compares what it has read with what the others have',
    file: 'cluster/node.ts',
    line: 'return own !== undefined && theirs !== undefined && own !== theirs',
    instead: 'return false',
    and: COMPARED.slice(0, 1),
    shownBy: 'an entry is written over',
  },
  {
    name: 'asks who has taken away the front of the log',
    file: 'cluster/follower.ts',
    line: "if (!this.#tally.isProven) return await this.#lose('gap', page)",
    instead: '',
    shownBy: 'the front of the log is taken away',
  },
]

describe('what each safeguard is for', () => {
  for (const { name, shownBy, and = [], ...change } of SAFEGUARDS) {
    it(`a node that does not: ${name}`, async () => {
      const { code, remove } = await codeWithout([change, ...and])
      const scenario = SCENARIOS[shownBy]
      try {
        await assert.rejects(explore(scenario.make(code), scenario), /has let in|has outlived|does not come back/)
      } finally {
        remove()
      }
    })
  }
})
