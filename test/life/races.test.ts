import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { IdentityInput, SelectorInput } from '../../src/index.ts'
import { explore, type Action, type Points, type Scenario } from './races-explorer.ts'
import { dialWire, type Client } from './races-wire.ts'
import { makeWorld, mint, type World } from './races-world.ts'

// Each test runs every order of the waits of what happens; a failure says which order it was.

const START = Date.UTC(2026, 10, 23)
const HOUR = 3_600_000

function login(name: string, more: Partial<IdentityInput> = {}): [string, IdentityInput] {
  return [
    name,
    {
      subject: 'ann',
      session: name,
      credential: `key of ${name}`,
      tags: [`tag of ${name}`],
      issuedAt: new Date(START - HOUR),
      ...more,
    },
  ]
}

interface Out {
  readonly name: string
  /** Resolves when it is applied. */
  readonly apply: (world: World) => Promise<unknown>
  /** Whether it is about those alone who were asked about before, where they have no issuedAt. */
  readonly bound?: true
}

const selectors: ReadonlyArray<readonly [name: string, selector: SelectorInput, bound?: true]> = [
  ['session', { session: 'a' }],
  ['credential', { credential: 'key of a' }],
  ['subject', { subject: 'ann' }, true],
  ['subject and issuer', { subject: 'ann', issuer: 'app' }, true],
  ['tag', { tag: 'tag of a' }, true],
]

const OUTS: readonly Out[] = [
  ...selectors.map(([name, selector, bound]): Out => ({
    name: `revoke ${name}`,
    apply: (world) => world.gate.revoke(selector),
    ...(bound === undefined ? {} : { bound }),
  })),
  { name: 'destroy the session', apply: (world) => new Promise((resolve) => world.store.destroy('a', resolve)) },
  { name: 'close the gate', apply: (world) => world.gate.close() },
]

/** An action, and whether what it has begun is over. */
function applied(world: World, out: Out, more: Partial<Action> = {}): { readonly action: Action; isOver: boolean } {
  const one = {
    isOver: false,
    action: {
      name: out.name,
      run: () =>
        out.apply(world).then(() => {
          one.isOver = true
        }),
      ...more,
    },
  }
  return one
}

function assertNoneOpen(world: World, clients: readonly Client[]): void {
  assert.deepEqual(
    [...world.gate.connections].map(({ identity }) => identity.session),
    [],
    'a connection has outlived it',
  )
  for (const { status, closed } of clients)
    assert.ok(status !== 101 || closed !== undefined, 'a socket has outlived it')
}

type Way = (world: World) => Promise<{ readonly dial: () => Client; readonly message?: string }>

const WAYS: Readonly<Record<string, Way>> = {
  'the app and its handler': async (world) => ({ dial: () => world.dial('/ws', 'a') }),
  'a library that decides later': async (world) => ({ dial: () => world.dial('/library', 'a') }),
  'a ticket': async (world) => {
    const url = await mint(world, 'a')
    return { dial: () => dialWire(world.server, url, {}) }
  },
  'a first message': async (world) => ({
    dial: () => dialWire(world.server, '/wait', {}),
    message: JSON.stringify({ type: 'auth', token: 'a' }),
  }),
}

async function enter(points: Points, way: Way, out: Out, issuedAt: Date | null): Promise<Scenario> {
  const world = makeWorld(points, new Map([login('a', { issuedAt })]))
  const { dial, message } = await way(world)
  let client: Client | undefined
  let isAsked = false
  const actions: Action[] = [
    {
      name: 'dial',
      run: () => {
        client = dial()
        isAsked = message === undefined
      },
    },
  ]
  const send = (): void => {
    isAsked = true
    client?.ws.send(message ?? '')
  }
  if (message !== undefined) actions.push({ name: 'send', run: send, when: () => client?.status === 101 })
  // Without issuedAt, who asks later may come from a new login.
  const onlyThen = out.bound !== undefined && issuedAt === null
  const revoked = applied(world, out, onlyThen ? { when: () => isAsked } : {})
  const late: boolean[] = []
  world.gate.on('accepted', () => late.push(revoked.isOver))
  return {
    actions: [...actions, revoked.action],
    check(): void {
      world.clock.pass(1000) // a library's socket, or a client that does not answer Close
      assertNoneOpen(world, client === undefined ? [] : [client])
      for (const [n, served] of world.served.entries()) {
        if (late[n] === true && out.name !== 'destroy the session') assert.ok(served.wasOver, 'the app was given it')
      }
    },
    dispose: () => world.dispose(),
  }
}

describe('who is out while a handshake is decided does not get in', () => {
  for (const [name, way] of Object.entries(WAYS)) {
    for (const out of OUTS) {
      for (const issuedAt of out.bound === undefined ? [null] : [new Date(START - HOUR), null]) {
        it(`${name}: ${out.name}${issuedAt === null ? ', no issuedAt' : ''}`, async (t) => {
          const count = await explore((points) => enter(points, way, out, issuedAt))
          t.diagnostic(`${count} schedules`)
          assert.ok(count >= 4)
        })
      }
    }
  }

  it('a library that knows its connection before it has opened it: revoke connection', async () => {
    await explore(async (points) => {
      const world = makeWorld(points, new Map([login('a')]))
      let client: Client | undefined
      return {
        actions: [
          { name: 'dial', run: () => void (client = world.dial('/library', 'a')) },
          {
            name: 'revoke connection',
            when: () => world.opening !== undefined,
            run: () => world.gate.revoke({ connection: world.opening?.id ?? '' }),
          },
        ],
        check: () => assertNoneOpen(world, client === undefined ? [] : [client]),
        dispose: () => world.dispose(),
      }
    })
  })
})
