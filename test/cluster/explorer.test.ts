import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { realCode } from './explorer-code.ts'
import { SCENARIOS } from './explorer-scenarios.ts'
import { explore } from './explorer-schedule.ts'

// No connection outlives a revocation, and nobody who is out is let in by a node that is not stale: in every order of the
// operations of the engine, within a bound. A failure says which order it was.

describe('every order of the operations of the engine, within a bound', () => {
  let all = 0

  for (const [name, scenario] of Object.entries(SCENARIOS)) {
    it(name, async (t) => {
      const count = await explore(scenario.make(await realCode()), scenario)
      all += count
      t.diagnostic(`${count} schedules, ${all} in all`)
      assert.ok(count >= 20)
    })
  }
})
