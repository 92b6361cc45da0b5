import assert from 'node:assert/strict'
import { it } from 'node:test'
import { Follower } from '../../src/cluster/follower.ts'
import { Hub } from '../../src/cluster/hub.ts'
import { memoryEngine } from '../../src/cluster/memory.ts'
import { memoryTicketStore } from '../../src/credentials/ticket-store.ts'
import { HeldClock } from '../unit/credentials/helpers.ts'

it('what is to begin again while an entry is carried out begins again', async () => {
  const clock = new HeldClock()
  const hub = new Hub(clock, memoryTicketStore(clock))
  const { generation } = hub.read(0, 0)
  let onApply = (): void => undefined
  const read: number[] = []
  const follower: Follower = new Follower({
    engine: memoryEngine(hub),
    clock,
    isOver: () => false,
    async apply({ seq }) {
      read.push(seq)
      onApply()
      return true
    },
  })
  assert.equal((await follower.look()).type, 'begun')
  hub.append(generation, new Uint8Array(1))
  assert.equal((await follower.look()).type, 'fresh')
  hub.append(generation, new Uint8Array(2))
  // As where the clock is found to have been set back, by a handshake that comes meanwhile.
  onApply = () => follower.beginAgain()
  await follower.look()
  onApply = () => undefined
  for (let looks = 0; looks < 2; looks++) await follower.look()
  assert.deepEqual(read, [1, 2, 1, 2])
})
