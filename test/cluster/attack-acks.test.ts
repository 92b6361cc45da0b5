import assert from 'node:assert/strict'
import { it } from 'node:test'
import { Acks } from '../../src/cluster/acks.ts'
import type { Standing } from '../../src/cluster/messages.ts'
import { HeldClock } from '../unit/credentials/helpers.ts'

const standing = (node: string): Standing => ({
  node,
  generation: 'g',
  told: true,
  seq: 1,
  tally: '',
  done: [],
  connections: 0,
  now: 0,
  beat: 1,
  isLeaving: false,
})

const turn = async (): Promise<void> => await new Promise((resolve) => setImmediate(resolve))

it('who was there is looked for after the entry was written, not before', async () => {
  const looks: Array<(there: readonly Standing[]) => void> = []
  const clock = new HeldClock()
  const acks = new Acks({
    clock,
    roll: async () => await new Promise((resolve) => looks.push(resolve)),
    known: () => [],
  })
  const ack = (node: string, entry: string): void =>
    acks.hear({ type: 'ack', node, done: [{ entry, matched: 0, closed: 0, unbounded: 0 }] })
  const first = acks.listen('first').written()
  const second = acks.listen('second')
  const told = second.written()
  // It was asked before the second was written, and answered late: another node has come since.
  looks[0]?.([standing('b')])
  for (const entry of ['first', 'second']) ack('b', entry)
  await turn()
  clock.pass(300)
  await turn()
  looks[1]?.([standing('b'), standing('e')])
  ack('e', 'second')
  assert.deepEqual(
    (await told).map(({ node }) => node),
    ['b', 'e'],
  )
  clock.pass(6000)
  await first
})
