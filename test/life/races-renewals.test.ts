import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { IdentityInput, SelectorInput } from '../../src/index.ts'
import { explore, type Action, type Points, type Scenario } from './races-explorer.ts'
import { quiet, type Client } from './races-wire.ts'
import { makeWorld, type Answer, type Logins, type World } from './races-world.ts'

// Each test runs every order of the waits of what happens; a failure says which order it was.

const START = Date.UTC(2026, 10, 23)
const HOUR = 3_600_000

/** `b` and `c` are later logins of the person of `a`. */
function loginsOf(more: Partial<IdentityInput> = {}): Logins {
  const names = ['a', 'b', 'c']
  return new Map(
    names.map((name, n) => [
      name,
      {
        subject: 'ann',
        session: name,
        credential: `key of ${name}`,
        tags: [`tag of ${name}`],
        issuedAt: new Date(START - HOUR + n * 60_000),
        expiresAt: new Date(START + (n + 1) * HOUR),
        ...more,
      },
    ]),
  )
}

/** A world with one open connection, by `a`. */
async function openedBy(points: Points, path: '/ws' | '/wait', logins: Logins = loginsOf()) {
  const world = makeWorld(points, logins)
  const client = path === '/ws' ? world.dial(path, 'a') : world.dial(path)
  await quiet()
  if (path === '/wait') client.ws.send(JSON.stringify({ type: 'auth', token: 'a' }))
  await quiet()
  const [served] = world.served
  assert.ok(served !== undefined && client.status === 101, 'not open')
  return { world, client, connection: served.connection }
}

type Way = 'http by token' | 'in band'

/** A renewal as an action, and what came of it. */
function renewal(
  { world, client, connection }: Awaited<ReturnType<typeof openedBy>>,
  way: Way,
  name: string,
): { readonly action: Action; answer: Answer | undefined } {
  const one: { readonly action: Action; answer: Answer | undefined } = {
    answer: undefined,
    action: {
      name: `renew with ${name}, ${way}`,
      when: () => way !== 'in band' || client.closed === undefined,
      run: () => {
        if (way === 'in band') return client.ws.send(JSON.stringify({ type: 'auth', token: name }))
        return world.renew(name, connection.token).then((answer) => (one.answer = answer))
      },
    },
  }
  return one
}

const PATHS = { 'http by token': '/ws', 'in band': '/wait' } as const
const WAYS = ['http by token', 'in band'] as const

type Apply = (world: World) => Promise<unknown>

function outsOf(name: string): ReadonlyArray<readonly [string, Apply]> {
  const selectors: SelectorInput[] = [{ session: name }, { credential: `key of ${name}` }, { tag: `tag of ${name}` }]
  return [
    ...selectors.map(
      (selector) => [`revoke ${JSON.stringify(selector)}`, (world: World) => world.gate.revoke(selector)] as const,
    ),
    [`destroy session ${name}`, (world) => new Promise((resolve) => world.store.destroy(name, resolve as () => void))],
  ]
}

const EVERYONE: ReadonlyArray<readonly [string, Apply]> = [
  ['revoke subject', (world) => world.gate.revoke({ subject: 'ann' })],
  ['revoke subject and issuer', (world) => world.gate.revoke({ subject: 'ann', issuer: 'app' })],
  ['revoke connection', (world) => world.gate.revoke({ connection: world.served[0]?.connection.id ?? '' })],
  ['close the gate', (world) => world.gate.close()],
]

function assertNotOpenWith(world: World, client: Client, names: readonly string[]): void {
  for (const { identity } of world.gate.connections)
    assert.ok(!names.includes(identity.session ?? ''), `open with ${identity.session}`)
  assert.equal(world.gate.connections.size === 0, client.closed !== undefined, 'the client sees something else')
}

describe('revoke wins against a renewal that is under way', () => {
  for (const way of WAYS) {
    for (const [name, apply] of outsOf('a')) {
      it(`${way}: ${name}, by which it was opened`, async () => {
        await explore(async (points) => {
          const open = await openedBy(points, PATHS[way])
          const { world, client } = open
          return {
            actions: [renewal(open, way, 'b').action, { name, run: () => apply(world) }],
            check: () =>
              assertNotOpenWith(
                world,
                client,
                name.includes('tag') ? ['a'] : name.includes('revoke') ? ['a', 'b'] : ['a'],
              ),
            dispose: () => world.dispose(),
          }
        })
      })
    }
    for (const [name, apply] of outsOf('b')) {
      it(`${way}: ${name}, with which it is renewed`, async () => {
        await explore(async (points) => {
          const open = await openedBy(points, PATHS[way])
          const { world, client } = open
          return {
            actions: [renewal(open, way, 'b').action, { name, run: () => apply(world) }],
            check: () => assertNotOpenWith(world, client, ['b']),
            dispose: () => world.dispose(),
          }
        })
      })
    }
    for (const [name, apply] of EVERYONE) {
      it(`${way}: ${name}`, async () => {
        await explore(async (points) => {
          const open = await openedBy(points, PATHS[way])
          const { world, client } = open
          return {
            actions: [renewal(open, way, 'b').action, { name, run: () => apply(world) }],
            check: () => assertNotOpenWith(world, client, ['a', 'b']),
            dispose: () => world.dispose(),
          }
        })
      })
    }
  }
})

const [FIRST, SECOND] = ['[renew with b, in band]', '[renew with c, in band]']

describe('of two renewals the one that began later stays', () => {
  for (const [first, second] of [
    ['http by token', 'http by token'],
    ['http by token', 'in band'],
    ['in band', 'http by token'],
  ] as const) {
    // Without issuedAt and expiry, order alone tells them apart.
    for (const more of [{}, { issuedAt: null, expiresAt: null }]) {
      it(`${first}, then ${second}${'issuedAt' in more ? ', neither of which says when it was issued' : ''}`, async () => {
        await explore(async (points) => {
          const path = first === 'in band' || second === 'in band' ? '/wait' : '/ws'
          const began: string[] = []
          const open = await openedBy(points, path, loginsOf(more))
          const { world, connection } = open
          world.onBegin = (name) => began.push(name)
          const one = renewal(open, first, 'b')
          const two = renewal(open, second, 'c')
          return {
            actions: [one.action, two.action],
            check(): void {
              assert.equal(world.gate.connections.size, 1, 'it has ended')
              const name = connection.identity.session
              // The newer credential stays too, where the older one was shown later.
              assert.ok(
                name === began.at(-1) || (name === 'c' && !('issuedAt' in more)),
                `${name} of ${began.join(', ')}`,
              )
              for (const tag of ['a', 'b', 'c'])
                assert.equal(world.state.registry.count('tag', `tag of ${tag}`), tag === name ? 1 : 0)
            },
            dispose: () => world.dispose(),
          } satisfies Scenario
        })
      })
    }
  }

  it('two at once in band are one too many', async () => {
    await explore(async (points) => {
      const open = await openedBy(points, '/wait')
      const { world, client } = open
      return {
        actions: [renewal(open, 'in band', 'b').action, renewal(open, 'in band', 'c').action],
        check(trace): void {
          const [one, two] = [trace.indexOf(FIRST), trace.indexOf(SECOND)]
          const waits = trace.slice(Math.min(one, two), Math.max(one, two)).filter((step) => step.startsWith('message'))
          if (waits.length === 3) assert.equal(client.closed, undefined)
          else assert.deepEqual(client.closed, { code: 4429, reason: 'too_many_renewals' })
        },
        dispose: () => world.dispose(),
      } satisfies Scenario
    })
  })
})
