import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { inspect } from 'node:util'
import type { WebSocket } from 'ws'
import type { GateOptions, IdentityInput } from '../../src/index.ts'
import type { IncomingMessage } from 'node:http'
import { quiet } from './races-wire.ts'
import { makeWorld, type World } from './races-world.ts'

// What the app throws, and what it passes, is not the end of the process: an uncaught error fails the test it falls into.

const MINUTE = 60_000

function worldOf(login: Partial<IdentityInput> = {}, options: Partial<GateOptions<IncomingMessage>> = {}): World {
  const free = { at: async (): Promise<void> => undefined }
  return makeWorld(free, new Map([['a', { subject: 'ann', session: 'a', ...login }]]), options)
}

/** What would end the process while `act` runs. */
async function uncaughtIn(act: () => unknown): Promise<readonly string[]> {
  const found: string[] = []
  const hear = (error: unknown): void => void found.push(error instanceof Error ? error.message : typeof error)
  process.on('uncaughtException', hear)
  process.on('unhandledRejection', hear)
  try {
    await act()
    await quiet()
  } finally {
    process.off('uncaughtException', hear)
    process.off('unhandledRejection', hear)
  }
  return found
}

describe('listeners that throw', () => {
  it('what has no text: the others hear of the end, and the process goes on', async () => {
    const world = worldOf()
    world.dial('/ws', 'a')
    await quiet()
    const [connection] = [...world.gate.connections]
    const heard: string[] = []
    connection!.on('end', () => {
      throw Object.create(null) as Error
    })
    connection!.on('end', (reason) => heard.push(reason))
    assert.deepEqual(await uncaughtIn(async () => await world.gate.revoke({ session: 'a' })), [])
    assert.deepEqual(heard, ['revoked'])
    await world.dispose()
  })

  it('of an event of the gate, what has no text: a revocation is carried out for all', async () => {
    const world = worldOf()
    for (let n = 0; n < 2; n++) world.dial('/ws', 'a')
    await quiet()
    world.gate.on('ended', () => {
      throw Object.create(null) as Error
    })
    assert.deepEqual(await uncaughtIn(async () => await world.gate.revoke({ session: 'a' })), [])
    assert.equal(world.gate.connections.size, 0)
    await world.dispose()
  })

  it('added after the end', async () => {
    const world = worldOf()
    world.dial('/ws', 'a')
    await quiet()
    const [connection] = [...world.gate.connections]
    connection!.end()
    const late = (): void => {
      throw new Error('too late')
    }
    assert.deepEqual(await uncaughtIn(() => connection!.on('end', late)), [])
    await world.dispose()
  })
})

describe('what the app gives', () => {
  it('claims that cannot be read any more: a re-check is over all the same', async () => {
    let isDetached = false
    const login = {
      subject: 'ann',
      get claims(): object {
        return {
          get company(): string {
            if (isDetached) throw new Error('The document is detached.')
            return 'Example'
          },
        }
      },
    }
    const world = makeWorld({ at: async () => undefined }, new Map([['a', login]]))
    const ann = world.dial('/ws', 'a')
    await quiet()
    isDetached = true
    assert.deepEqual(await uncaughtIn(() => world.clock.pass(MINUTE)), [])
    assert.equal(ann.closed, undefined)
    await world.dispose()
  })

  it('a WebSocket that cannot be pinged: the heartbeat goes on for the others', async () => {
    const world = worldOf({}, { heartbeat: '10s' })
    const [strange, plain] = [world.dial('/library', 'a'), world.dial('/ws', 'a')]
    await quiet()
    const [first] = world.served
    let pings = 0
    plain.ws.on('ping', () => pings++)
    // Bytes are counted by real sockets alone.
    for (const { socket } of world.state.registry.values()) Object.assign(socket, { bytesRead: 1 })
    const req = [...world.state.registry.values()].find((one) => one.id === first!.connection.id)
    req!.endBy({ bufferedAmount: 0 } as WebSocket, world.state.webSocketEnder)
    assert.deepEqual(await uncaughtIn(() => world.clock.pass(10_000)), [])
    assert.equal(pings, 1)
    strange.ws.terminate()
    await world.dispose()
  })
})

describe('nothing secret is shown (rule C4)', () => {
  it('by inspect, whatever it is told to show', async () => {
    const world = worldOf({ session: 'a-session-id' })
    world.dial('/ws', 'a')
    await quiet()
    const [connection] = [...world.gate.connections]
    const [, secret = ''] = connection!.token.split('.')
    for (const shown of [connection, connection!.identity]) {
      const text = inspect(shown, { showHidden: true, getters: true, depth: 3 })
      const found = ['a-session-id', 'sid=a', secret].filter((one) => text.includes(one))
      assert.deepEqual(found, [])
    }
    await world.dispose()
  })
})

describe('events', () => {
  it('a connection that a listener of `accepted` revokes has ended once', async () => {
    const world = worldOf()
    let ended = 0
    world.gate.on('ended', () => ended++)
    world.gate.on('accepted', ({ connection }) => void world.gate.revoke({ connection }))
    world.dial('/ws', 'a')
    await quiet()
    assert.equal(ended, 1)
    await world.dispose()
  })

  it('connections of two gates of one process have names of their own', async () => {
    const [one, other] = [worldOf(), worldOf()]
    for (const world of [one, other]) world.dial('/ws', 'a')
    await quiet()
    const ids = [...one.gate.connections, ...other.gate.connections].map(({ id }) => id)
    assert.equal(new Set(ids).size, 2)
    await one.dispose()
    await other.dispose()
  })
})
