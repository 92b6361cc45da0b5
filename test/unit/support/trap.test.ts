import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { trapFaults } from '../../support/trap.ts'

// In a process of its own: the test runner counts such faults as failures of the test that runs.
function runTrapped(fault: string) {
  const program = `
    import { trapFaults } from ${JSON.stringify(new URL('../../support/trap.ts', import.meta.url).href)}
    const trap = trapFaults()
    ${fault}
    await new Promise((resolve) => setTimeout(resolve, 1))
    await trap.assertNone()
    console.log('none')
  `
  const args = ['--import', 'tsx', '--input-type=module', '--eval', program]
  return spawnSync(process.execPath, args, { encoding: 'utf8' })
}

test('no fault is no failure', async () => {
  await trapFaults().assertNone()
  const done = runTrapped('')
  assert.deepEqual([done.status, done.stdout], [0, 'none\n'])
})

test('an uncaught exception is caught and told', () => {
  const done = runTrapped(`setImmediate(() => { throw new Error('boom') })`)
  assert.notEqual(done.status, 0)
  assert.match(done.stderr, /uncaughtException: Error: boom/)
})

test('an unhandled rejection is caught and told', () => {
  const done = runTrapped(`void Promise.reject(new Error('boom'))`)
  assert.notEqual(done.status, 0)
  assert.match(done.stderr, /unhandledRejection: Error: boom/)
})
