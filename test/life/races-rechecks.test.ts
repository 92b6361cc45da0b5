import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { IdentityInput, SelectorInput } from '../../src/index.ts'
import { explore, type Action, type Points, type Scenario } from './races-explorer.ts'
import { quiet, type Client } from './races-wire.ts'
import { makeWorld, type Logins, type Served, type World } from './races-world.ts'

// Each test runs every order of the waits of what happens; a failure says which order it was.

const START = Date.UTC(2026, 10, 23)
const HOUR = 3_600_000

function loginOf(name: string, n: number): IdentityInput {
  return {
    subject: 'ann',
    session: name,
    credential: `key of ${name}`,
    tags: [`tag of ${name}`],
    issuedAt: new Date(START - HOUR + n * 60_000),
    expiresAt: new Date(START + (n + 1) * HOUR),
  }
}

interface Open {
  readonly world: World
  readonly client: Client
  readonly connection: Served['connection']
  readonly ask: Action
  /** What the gate told of it, in order. */
  readonly told: string[]
}

/** One open connection, by `a`, about which is asked again. */
async function openedByA(points: Points, path: '/ws' | '/wait' = '/ws'): Promise<Open> {
  const logins: Logins = new Map(['a', 'b'].map((name, n) => [name, loginOf(name, n)]))
  const world = makeWorld(points, logins, { recheck: { every: '60s', jitter: 0, onError: { after: 0 } } })
  const client = path === '/ws' ? world.dial(path, 'a') : world.dial(path)
  await quiet()
  if (path === '/wait') client.ws.send(JSON.stringify({ type: 'auth', token: 'a' }))
  await quiet()
  const [served] = world.served
  assert.ok(served !== undefined, 'not open')
  const [live] = world.state.registry.values()
  const told: string[] = []
  world.gate.on('*', (event) => {
    if (event.type === 'renewed') told.push(`renewed by ${event.by}`)
    if (event.type === 'rechecked') told.push('rechecked')
    if (event.type === 'ended') told.push('ended')
  })
  const ask: Action = {
    name: 'ask again',
    when: () => live?.facts !== undefined,
    run: () => live?.facts && world.state.rechecks.now(live.facts, 'schedule'),
  }
  return { world, client, connection: served.connection, ask, told }
}

const selectors: readonly SelectorInput[] = [
  { session: 'a' },
  { credential: 'key of a' },
  { subject: 'ann' },
  { subject: 'ann', issuer: 'app' },
  { tag: 'tag of a' },
]

type Apply = (open: Open) => Promise<unknown>

const OUTS: ReadonlyArray<readonly [string, Apply]> = [
  ...selectors.map((selector): readonly [string, Apply] => [
    `revoke ${JSON.stringify(selector)}`,
    ({ world }) => world.gate.revoke(selector),
  ]),
  ['revoke connection', ({ world, connection }) => world.gate.revoke({ connection: connection.id })],
  ['destroy the session', ({ world }) => new Promise((resolve) => world.store.destroy('a', resolve as () => void))],
  ['end it', async ({ connection }) => connection.end()],
  ['close the gate', ({ world }) => world.gate.close()],
]

function assertGone({ world, client }: Open): void {
  assert.deepEqual([...world.gate.connections], [])
  assert.ok(client.closed !== undefined, 'the socket is open')
  const { registry, deadlines, rechecks } = world.state
  assert.deepEqual([registry.count('session', 'a'), registry.count('subject', 'ann')], [0, 0])
  assert.deepEqual([deadlines.size, rechecks.size], [0, 0])
}

describe('whoever is out stays out, whatever a re-check says that is under way', () => {
  for (const [name, apply] of OUTS) {
    it(name, async () => {
      await explore(async (points) => {
        const open = await openedByA(points)
        return {
          actions: [open.ask, { name, run: () => apply(open) }],
          check: () => assertGone(open),
          dispose: () => open.world.dispose(),
        }
      })
    })
  }

  for (const [name, selector] of [
    ['a tag that the re-check brings', { tag: 'new' }],
    ['a session that the re-check brings', { session: 'new' }],
    ['a credential that the re-check brings', { credential: 'new' }],
  ] as const) {
    it(name, async () => {
      await explore(async (points) => {
        const open = await openedByA(points)
        open.world.logins.set('a', {
          ...loginOf('a', 0),
          issuedAt: null,
          session: 'new',
          credential: 'new',
          tags: ['new'],
        })
        return {
          actions: [open.ask, { name: 'revoke', run: () => open.world.gate.revoke(selector) }],
          check(trace): void {
            // Who has no issuedAt and is asked about later may come from a new login.
            if ('tag' in selector && trace.indexOf('[revoke]') < trace.indexOf('[ask again]')) return
            assert.ok(open.connection.signal.aborted || open.connection.identity.session === 'a')
          },
          dispose: () => open.world.dispose(),
        } satisfies Scenario
      })
    })
  }

  it('the client goes meanwhile: nothing of it stays', async () => {
    await explore(async (points) => {
      const open = await openedByA(points)
      return {
        actions: [open.ask, { name: 'the client goes', run: () => open.client.ws.terminate() }],
        check: () => assertGone(open),
        dispose: () => open.world.dispose(),
      }
    })
  })
})

const SAYS: Readonly<Record<string, (world: World) => unknown>> = {
  'lets it in': () => undefined,
  'lets it in as one that has changed': ({ logins }) =>
    logins.set('a', { ...loginOf('a', 0), tags: ['changed'], expiresAt: new Date(START + HOUR / 2) }),
  'says 401': ({ statuses }) => statuses.set('a', 401),
  'says 403': ({ statuses }) => statuses.set('a', 403),
  'says 503': ({ statuses }) => statuses.set('a', 503),
  'says somebody else': ({ logins }) => logins.set('a', { ...loginOf('a', 0), subject: 'bob' }),
}

const GENTLE = ['lets it in', 'lets it in as one that has changed']

/** Renews with `b` while it is asked about `a`; the check gets what came of it. */
async function raced(
  points: Points,
  way: 'http' | 'in band',
  says: string,
  check: (open: Open, isRenewedFirst: boolean, status: number | undefined) => void,
): Promise<Scenario> {
  const open = await openedByA(points, way === 'http' ? '/ws' : '/wait')
  const { world, client, connection, told } = open
  SAYS[says]?.(world)
  let status: number | undefined
  const renew: Action = {
    name: 'renew with b',
    run: () => {
      if (way === 'in band') return client.ws.send(JSON.stringify({ type: 'auth', token: 'b' }))
      return world.renew('b', connection.token).then((answer) => (status = answer.status))
    },
  }
  return {
    actions: [open.ask, renew],
    check(): void {
      const renewed = told.findIndex((event) => event === 'renewed by http' || event === 'renewed by message')
      const rechecked = told.indexOf('rechecked')
      check(open, renewed >= 0 && (rechecked < 0 || renewed < rechecked), way === 'http' ? status : undefined)
    },
    dispose: () => world.dispose(),
  }
}

function assertLivesByB({ connection, told }: Open, status = 200): void {
  const saw = told.join(', ')
  assert.equal(connection.signal.aborted, false, `ended: ${saw}`)
  assert.equal(connection.identity.session, 'b', saw)
  assert.deepEqual(connection.expiresAt, new Date(START + 2 * HOUR), saw)
  assert.equal(status, 200)
}

for (const way of ['http', 'in band'] as const) {
  describe(`${way}: a question about the credential of before, answered after a renewal, changes nothing`, () => {
    for (const says of Object.keys(SAYS)) {
      it(`it ${says}`, async () => {
        await explore((points) =>
          raced(points, way, says, (open, isRenewedFirst, status) => {
            if (isRenewedFirst) assertLivesByB(open, status)
          }),
        )
      })
    }
  })

  describe(`${way}: one that is answered before a renewal`, () => {
    for (const says of GENTLE) {
      it(`it ${says}: does not stop the renewal`, async () => {
        await explore((points) =>
          raced(points, way, says, (open, isRenewedFirst, status) => {
            if (!isRenewedFirst) assertLivesByB(open, status)
          }),
        )
      })
    }
    for (const says of Object.keys(SAYS).filter((name) => !GENTLE.includes(name))) {
      it(`it ${says}: ends it, and nothing opens it again`, async () => {
        await explore((points) =>
          raced(points, way, says, (open, isRenewedFirst, status = 404) => {
            if (isRenewedFirst) return
            assertGone(open)
            assert.deepEqual([open.told.at(-1), status], ['ended', 404])
          }),
        )
      })
    }
  })
}
