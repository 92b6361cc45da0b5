import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Channel } from '../../src/cluster/ipc/calls.ts'
import { ipcEngine } from '../../src/cluster/ipc/engine.ts'
import { IpcServer } from '../../src/cluster/ipc/server.ts'
import type { Call } from '../../src/cluster/ipc/wire.ts'
import { systemClock } from '../../src/core/clock.ts'
import { readSecret } from '../../src/credentials/keys.ts'
import { memoryTicketStore } from '../../src/credentials/ticket-store.ts'
import { createSealer } from '../../src/gate/sealer.ts'
import { OLD } from './semantics-world.ts'

const nothing = (): void => undefined
const onWire = (message: unknown): unknown => JSON.parse(JSON.stringify(message))

/** The primary process, with the channels that it has to others. */
class Primary {
  readonly server = new IpcServer(systemClock, () => memoryTicketStore(systemClock))
  isBlocked = false

  /** To one process. */
  channel(): Channel & { readonly listeners: Set<(message: unknown) => void> } {
    const listeners = new Set<(message: unknown) => void>()
    const toNode = (message: unknown): void => {
      for (const listener of listeners) listener(onWire(message))
    }
    return {
      listeners,
      send: (message) => {
        if (!this.isBlocked) this.server.take(listeners, onWire(message), toNode)
      },
      listen(listener) {
        listeners.add(listener)
        return () => void listeners.delete(listener)
      },
    }
  }

  /** A process that sends what it likes. @returns the error that it gets. */
  async garble(call: Call, ...args: unknown[]): Promise<string | undefined> {
    const prefix = 'p'
    const reply = await new Promise((resolve) => {
      this.server.take({}, onWire({ gate101: 'request', prefix, id: 1, call, args }), resolve)
    })
    return (reply as { readonly error?: string }).error
  }
}

describe('ipc: a process that sends rubbish', () => {
  const sealer = createSealer(readSecret([OLD]))

  for (const data of [null, 5, 'text', { 0: 3 }, [3, 1]])
    it(`says ${JSON.stringify(data)}: the others leave it out`, async () => {
      const primary = new Primary()
      const engine = ipcEngine(primary.channel(), 'p')
      const thrown: unknown[] = []
      await engine.open((heard) => {
        try {
          sealer.unseal('say', heard)
        } catch (error) {
          thrown.push(error)
        }
      }, nothing)
      await primary.garble('say', data)
      assert.deepEqual(thrown, [])
      await engine.close()
    })

  it('appends what is no bytes: it is not taken', async () => {
    const primary = new Primary()
    const engine = ipcEngine(primary.channel(), 'p')
    await engine.open(nothing, nothing)
    const { generation } = await engine.read(0, 1)
    await primary.garble('append', generation, 5)
    const { entries } = await engine.read(0, 10)
    assert.deepEqual(
      entries.filter(({ data }) => !(data instanceof Uint8Array)),
      [],
    )
    await engine.close()
  })

  it('trims to what is no number: the log stays as it is', async () => {
    const primary = new Primary()
    const engine = ipcEngine(primary.channel(), 'p')
    await engine.open(nothing, nothing)
    const { generation } = await engine.read(0, 1)
    await engine.append(generation, new Uint8Array(1))
    await primary.garble('trim', generation, 'x')
    const { floor, last } = await engine.read(0, 10)
    assert.deepEqual([floor, last], [0, 1])
    await engine.close()
  })

  it('calls what there is not, or sends what is no call: the hub goes on', async () => {
    const primary = new Primary()
    assert.match((await primary.garble('constructor' as Call)) ?? '', /does not know this call/)
    assert.match((await primary.garble('read')) ?? '', /cannot read/)
    for (const more of [{ args: 7 }, { args: {} }, { prefix: 5 }, { call: {} }, { call: '__proto__' }, { id: null }])
      primary.server.take({}, { gate101: 'request', prefix: 'p', id: 1, call: 'read', args: [], ...more }, nothing)
    const engine = ipcEngine(primary.channel(), 'p')
    await engine.open(nothing, nothing)
    assert.equal((await engine.read(0, 1)).last, 0)
    await engine.close()
  })
})

describe('ipc: nobody answers', () => {
  it('for a while: what has listened before does not go on', async (context) => {
    context.mock.timers.enable({ apis: ['setTimeout'] })
    const primary = new Primary()
    primary.isBlocked = true
    const channel = primary.channel()
    const engine = ipcEngine(channel, 'p')
    for (let n = 0; n < 3; n++) {
      const opening = engine.open(nothing, nothing)
      context.mock.timers.tick(2500)
      await assert.rejects(opening, /nobody answers/)
    }
    primary.isBlocked = false
    let woken = 0
    await engine.open(nothing, () => (woken += 1))
    const { generation } = await engine.read(0, 1)
    await engine.append(generation, new Uint8Array(1))
    assert.equal(woken, 1)
    await engine.close()
    assert.equal(channel.listeners.size, 0)
  })
})
