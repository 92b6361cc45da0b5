import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { IdentityInput } from '../../src/index.ts'
import type { Points } from './races-explorer.ts'
import { dialWire, quiet, type Client } from './races-wire.ts'
import { makeWorld, type World } from './races-world.ts'

// Between what the app has said and what the gate makes of it there are no waits that a test could hold, only turns of
// promises: here a revocation falls on each of them.

const FREE: Points = { at: async () => undefined }
const MOMENTS = 20

type Later = (count: number, act: () => void) => void

const afterPromises: Later = (count, act) => {
  if (count === 0) act()
  else queueMicrotask(() => afterPromises(count - 1, act))
}

const afterTicks: Later = (count, act) => {
  if (count === 0) act()
  else process.nextTick(afterTicks, count - 1, act)
}

const login = (name: string): [string, IdentityInput] => [
  name,
  { subject: 'ann', session: name, tags: [`tag of ${name}`] },
]

interface Moment {
  readonly phase: string
  /** Whom the revocation is about. */
  readonly name: string
  readonly begin: (world: World, open: Client | undefined) => unknown
}

const WAYS: Readonly<Record<string, Moment & { readonly opened?: '/ws' | '/wait' }>> = {
  'a handshake': { phase: 'handshake', name: 'a', begin: (world) => world.dial('/ws', 'a') },
  'a handshake of a library': { phase: 'handshake', name: 'a', begin: (world) => world.dial('/library', 'a') },
  'a first message': {
    phase: 'message',
    name: 'a',
    begin: (world) => {
      const { ws } = dialWire(world.server, '/wait', {})
      ws.on('open', () => ws.send(JSON.stringify({ type: 'auth', token: 'a' })))
    },
  },
  'a renewal over HTTP': {
    phase: 'request',
    name: 'b',
    opened: '/ws',
    begin: (world) => world.renew('b', world.served[0]?.connection.token),
  },
  'a renewal in band': {
    phase: 'message',
    name: 'b',
    opened: '/wait',
    begin: (_world, open) => open?.ws.send(JSON.stringify({ type: 'auth', token: 'b' })),
  },
  'a re-check': {
    phase: 'recheck',
    name: 'b',
    opened: '/ws',
    begin: (world) => {
      world.logins.set('a', { subject: 'ann', session: 'b', tags: ['tag of b'] })
      const [live] = world.state.registry.values()
      if (live?.facts !== undefined) world.state.rechecks.now(live.facts, 'schedule')
    },
  },
}

async function open(world: World, path: '/ws' | '/wait'): Promise<Client> {
  const client = path === '/ws' ? world.dial(path, 'a') : world.dial(path)
  await quiet()
  if (path === '/wait') client.ws.send(JSON.stringify({ type: 'auth', token: 'a' }))
  await quiet()
  assert.equal(world.served.length, 1, 'not open')
  return client
}

describe('whoever is revoked in the turns after the app has let them in is out', () => {
  for (const [what, { phase, name, begin, opened }] of Object.entries(WAYS)) {
    for (const selector of [{ session: name }, { tag: `tag of ${name}` }, { close: true }] as const) {
      it(`${what}: ${Object.keys(selector)[0]}`, async () => {
        for (const later of [afterPromises, afterTicks]) {
          for (let count = 0; count <= MOMENTS; count++) {
            const world = makeWorld(FREE, new Map([login('a'), login('b')]))
            const client = opened === undefined ? undefined : await open(world, opened)
            let revoked = 0
            world.onIdentified = (now) => {
              if (now !== phase || revoked++ > 0) return
              later(count, () => void ('close' in selector ? world.gate.close() : world.gate.revoke(selector)))
            }
            void begin(world, client)
            await quiet()
            assert.equal(revoked, 1, 'nobody was asked')
            const left = [...world.gate.connections].map(({ identity }) => identity.session)
            assert.ok(
              !left.includes(name) && !('close' in selector && left.length > 0),
              `after ${count} turns it is open`,
            )
            await world.dispose()
          }
        }
      })
    }
  }
})
