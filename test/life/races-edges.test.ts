import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { GateOptions, IdentityInput } from '../../src/index.ts'
import type { IncomingMessage } from 'node:http'
import { explore, only, type Action, type Points, type Scenario } from './races-explorer.ts'
import { quiet, type Client } from './races-wire.ts'
import { makeWorld, type Logins, type World } from './races-world.ts'

// Each test runs every order of the waits of what happens; a failure says which order it was.

const START = Date.UTC(2026, 10, 23)
const MINUTE = 60_000
const HOUR = 60 * MINUTE
/** Shorter than the time for a decision. */
const SOON = 5000 / MINUTE

function loginsOf(...lives: ReadonlyArray<readonly [name: string, minutes: number]>): Logins {
  return new Map(
    lives.map(([name, minutes]): [string, IdentityInput] => [
      name,
      { subject: 'ann', session: name, expiresAt: new Date(START + minutes * MINUTE) },
    ]),
  )
}

type Options = Partial<GateOptions<IncomingMessage>>

async function openedBy(points: Points, logins: Logins, names: readonly string[], options: Options = {}) {
  const world = makeWorld(points, logins, { recheck: { every: '24h', jitter: 0 }, ...options })
  const clients: Client[] = []
  for (const name of names) {
    clients.push(world.dial('/ws', name))
    await quiet()
  }
  assert.equal(world.served.length, names.length, 'not open')
  return { world, clients }
}

/** The moment at which `a` is over; what is late may not be lost by it. */
const expiry = (world: World): Action => ({
  name: 'it expires',
  run: () => world.clock.pass(START + SOON * MINUTE - world.clock.now()),
})

describe('the question at the expiry', () => {
  it('a renewal that is under way wins, unless the answer is no before it', async () => {
    await explore(async (points) => {
      const { world } = await openedBy(points, loginsOf(['a', SOON], ['b', 60]), ['a'])
      const connection = world.served[0]!.connection
      const told: string[] = []
      world.gate.on('*', ({ type }) => told.push(type))
      let status: number | undefined
      const renew = (): unknown => world.renew('b', connection.token).then((answer) => (status = answer.status))
      return {
        actions: [expiry(world), { name: 'renew', run: renew }],
        check(): void {
          const isRenewed = told.includes('renewed')
          assert.equal(connection.signal.aborted, !isRenewed, told.join())
          assert.equal(status, isRenewed ? 200 : 404)
          if (isRenewed) assert.deepEqual(connection.expiresAt, new Date(START + HOUR))
          else assert.equal(connection.signal.reason, 'expired')
          const [renewed, asked] = [told.indexOf('renewed'), told.indexOf('rechecked')]
          if (renewed < 0) assert.ok(asked >= 0, 'it has ended, and nobody was asked')
        },
        dispose: () => world.dispose(),
      } satisfies Scenario
    })
  })

  it('a session that moves on while it is asked about: in time, or not', async () => {
    await explore(async (points) => {
      const { world } = await openedBy(points, loginsOf(['a', SOON]), ['a'])
      const connection = world.served[0]!.connection
      const moveOn = (): unknown =>
        world.logins.set('a', { subject: 'ann', session: 'a', expiresAt: new Date(START + HOUR) })
      return {
        actions: [expiry(world), { name: 'it is used', run: moveOn }],
        check(trace): void {
          const read = trace.indexOf('recheck: before the login is read')
          const isInTime = read < 0 || trace.indexOf('[it is used]') < read
          assert.equal(connection.signal.aborted, !isInTime)
        },
        dispose: () => world.dispose(),
      } satisfies Scenario
    })
  })

  for (const [name, apply] of Object.entries<(world: World) => unknown>({
    'revoke session': (world) => world.gate.revoke({ session: 'a' }),
    'destroy the session': (world) => world.store.destroy('a'),
    'close the gate': (world) => world.gate.close(),
  })) {
    it(`${name}: gone, and nothing is left`, async () => {
      await explore(async (points) => {
        const { world, clients } = await openedBy(points, loginsOf(['a', SOON]), ['a'])
        return {
          actions: [expiry(world), { name, run: () => apply(world) }],
          check(): void {
            assert.equal(world.gate.connections.size, 0)
            assert.notEqual(clients[0]?.closed, undefined)
            assert.deepEqual([world.state.deadlines.size, world.state.rechecks.size], [0, 0])
          },
          dispose: () => world.dispose(),
        }
      })
    })
  }
})

describe('two that come at once for one place', () => {
  for (const [limit, name, overflow] of [
    ['connections', 'b', 'refuse'],
    ['connectionsPerAddress', 'b', 'refuse'],
    ['connectionsPerSession', 'a', 'refuse'],
    ['connectionsPerSession', 'a', 'replace-oldest'],
    ['connectionsPerSubject', 'b', 'refuse'],
    ['connectionsPerSubject', 'a', 'replace-oldest'],
  ] as const) {
    for (const path of ['/ws', '/library']) {
      it(`${limit}, ${overflow}, ${path}`, async () => {
        await explore(async (points) => {
          const { world } = await openedBy(only(points, /identify|library/), loginsOf(['a', 60], ['b', 60]), [], {
            limits: { [limit]: 1, overflow },
          })
          const clients: Client[] = []
          let most = 0
          const isOpen = ({ connection }: (typeof world.served)[number]): boolean => !connection.signal.aborted
          world.gate.on('*', () => {
            most = Math.max(most, world.served.filter(isOpen).length)
          })
          return {
            actions: [
              { name: 'dial a', run: () => clients.push(world.dial(path, 'a')) },
              { name: `dial ${name}, too`, run: () => clients.push(world.dial('/ws', name)) },
            ],
            check(): void {
              world.clock.pass(1000)
              assert.equal(world.gate.connections.size, 1, 'none, or both')
              assert.ok(most <= 1, 'the app had both')
              const open = clients.filter(({ status, closed }) => status === 101 && closed === undefined)
              assert.equal(open.length, 1)
            },
            dispose: () => world.dispose(),
          }
        })
      })
    }
  }
})

describe('all of a session', () => {
  it('one goes, or is ended, while they are renewed: the others are', async () => {
    for (const how of ['goes', 'ends'] as const) {
      await explore(async (points) => {
        const logins = loginsOf(['a', 10])
        const { world, clients } = await openedBy(points, logins, ['a', 'a', 'a'])
        logins.set('a', { subject: 'ann', session: 'a', expiresAt: new Date(START + HOUR) })
        let answer: unknown
        const renew = (): unknown => world.renew('a').then(({ status, body }) => (answer = [status, body['renewed']]))
        const leave = (): unknown => (how === 'goes' ? clients[1]?.ws.terminate() : world.served[1]?.connection.end())
        return {
          actions: [
            { name: 'renew', run: renew },
            { name: `one ${how}`, run: leave },
          ],
          check(trace): void {
            const isBefore = trace.indexOf(`[one ${how}]`) < trace.lastIndexOf('request: identify')
            assert.deepEqual(answer, [200, isBefore ? 2 : 3])
            const open = world.served.filter(({ connection }) => !connection.signal.aborted)
            assert.equal(open.length, 2)
            for (const { connection } of open) assert.deepEqual(connection.expiresAt, new Date(START + HOUR))
          },
          dispose: () => world.dispose(),
        } satisfies Scenario
      })
    }
  })

  it('a logout while one question is under way about another credential of it', async () => {
    await explore(async (points) => {
      const logins = loginsOf(['a', 60], ['b', 60])
      const { world } = await openedBy(only(points, /identify|store|recheck: after/), logins, ['a', 'a'])
      const [one, two] = world.served.map(({ connection }) => connection)
      const renew = (): unknown => world.renew('b', one?.token)
      return {
        actions: [
          { name: 'renew one with b', run: renew },
          { name: 'destroy a', run: () => world.store.destroy('a', () => undefined) },
        ],
        check(): void {
          assert.equal(two?.signal.aborted, true, 'who lives by it')
          assert.ok(one?.signal.aborted === true || one?.identity.session === 'b')
        },
        dispose: () => world.dispose(),
      } satisfies Scenario
    })
  })
})
