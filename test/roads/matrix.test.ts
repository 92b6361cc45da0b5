import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { kindOfStatus, PROFILES } from '../../src/core/end.ts'
import { trapFaults, type Trap } from '../support/trap.ts'
import { ADAPTERS, start, type Running } from './adapters.ts'
import { KINDS, pathOf, type Kind, type Ran, type RoadsAdapter } from './apps/types.ts'
import { ask, dial, logIn, mint, ORIGIN, setCookiesIn, whoIs, type Headers, type Outcome } from './client.ts'
import {
  credentialOf,
  NO_SESSION,
  ROADS,
  sessionOf,
  toHeaders,
  wrongCredentialOf,
  type Credential,
  type Road,
} from './roads.ts'
import { fill, normal, type Cells } from './table.ts'

/**
 * Every road to every kind of login on every framework: the app's own middleware, the same function as for its pages,
 * decides about what the road carries. What each cell has shown is the table in docs/roads.md.
 */

const PAGE = new URL('../../docs/roads.md', import.meta.url)
const cells: Cells = new Map()

for (const adapter of ADAPTERS) {
  describe(adapter.name, () => {
    let trap: Trap
    let plain: Running
    let custom: Running
    const cookies = new Map<Running, Readonly<Record<'alice' | 'bob', string>>>()
    before(async () => {
      trap = trapFaults()
      plain = await start(adapter)
      custom = await start(adapter, { firstMessage: { toHeaders } as never })
      for (const running of [plain, custom]) cookies.set(running, await logInBoth(adapter, running))
    })
    after(async () => {
      await plain[Symbol.asyncDispose]()
      await custom[Symbol.asyncDispose]()
      await trap.assertNone()
    })

    for (const kind of KINDS) {
      describe(kind, () => {
        for (const road of ROADS) {
          const carried = road.carries.includes(kind) && adapter.middleware[kind] !== undefined
          test(`${road.name}: ${carried ? 'the middleware decides' : 'brings it nowhere'}`, async () => {
            const running = road.custom === true ? custom : plain
            const { alice, bob } = cookies.get(running) ?? { alice: '', bob: '' }
            const cell = { adapter, running, road, kind, alice }
            if (!carried) {
              await notCarried(cell, rightOf(kind, bob))
              return
            }
            const saw = await letsIn(cell, rightOf(kind, bob))
            await refuses(cell, kind === 'session' ? NO_SESSION : wrongCredentialOf(kind, 'bob'))
            cells.set(`${adapter.name}/${kind}/${road.short}`, saw)
          })
        }
      })
    }

    test('a ticket whose owner has lost the right since then is refused by the middleware', async () => {
      await using running = await start(adapter)
      const kinds = KINDS.filter((kind) => adapter.middleware[kind] !== undefined)
      await lateTickets(running, kinds, refusedAs(adapter))
    })

    test('no socket is held and no connection counted once all clients are gone', async () => {
      for (const { app, listening } of [plain, custom]) {
        await listening.noneOpen()
        assert.equal(app.gate.connections.size, 0)
      }
    })
  })
}

/** The code of a refusal of a wrong credential. */
const refusedAs = ({ name }: RoadsAdapter): string => (name === 'gate101/schemes' ? 'invalid_credential' : 'app')

interface Cell {
  readonly adapter: RoadsAdapter
  readonly running: Running
  readonly road: Road
  readonly kind: Kind
  readonly alice: string
}

async function logInBoth(adapter: RoadsAdapter, { port }: Running): Promise<{ alice: string; bob: string }> {
  if (adapter.middleware.session === undefined) return { alice: 'sid=alice', bob: 'sid=bob' }
  return { alice: await logIn(port, 'alice'), bob: await logIn(port, 'bob') }
}

const rightOf = (kind: Kind, cookie: string): Credential =>
  kind === 'session' ? sessionOf('bob', cookie) : credentialOf(kind, 'bob')

/**
 * A browser sends its cookies along: those of alice, who is logged in. Only a session cannot come by message then: she
 * would be in at once.
 */
function ambientOf({ kind, road, alice }: Cell): Headers {
  return { Cookie: kind === 'session' && road.refusesByClose === true ? 'theme=dark' : alice }
}

async function run(cell: Cell, credential: Credential): Promise<{ outcome: Outcome; ran: readonly Ran[] }> {
  const { running, road, kind } = cell
  running.app.log.ran.length = 0
  running.events.length = 0
  const outcome = await road.go({ port: running.port, kind, credential, ambient: ambientOf(cell) })
  return { outcome, ran: [...running.app.log.ran] }
}

/** @returns what the middleware read, for the docs. */
async function letsIn(cell: Cell, credential: Credential): Promise<string> {
  const { adapter, running, road, kind } = cell
  const { outcome, ran } = await run(cell, credential)
  assert.deepEqual(outcome.opened, { subject: 'bob', user: 'bob' }, `${outcome.status} ${outcome.code}`)
  assert.deepEqual(
    running.events.flatMap((event) => (event.type === 'accepted' ? [event.subject] : [])),
    ['bob'],
  )
  // Schemes ask themselves nothing about a request that carries nothing.
  const runs = adapter.name === 'gate101/schemes' && road.refusesByClose === true ? 1 : road.runs
  assert.deepEqual(
    ran.map(({ guard }) => guard),
    Array.from({ length: runs }, () => kind),
  )
  const last = ran.at(-1)
  assert.deepEqual(last?.saw, credential.header, 'the one credential, and nothing else')
  assertPhases(ran, cell)
  await samePage(cell, last, { status: 200, subject: 'bob' })
  return describeSaw(last.saw)
}

async function refuses(cell: Cell, credential: Credential): Promise<void> {
  const { running, road } = cell
  const { outcome, ran } = await run(cell, credential)
  assert.equal(outcome.opened, undefined)
  const last = ran.at(-1)
  assert.deepEqual(last?.saw, credential.header)
  const { status } = await samePage(cell, last, { status: 401, subject: undefined })
  assert.equal(outcome.status, status)
  assert.equal(outcome.closeCode, road.refusesByClose === true ? PROFILES.default[kindOfStatus(status)] : undefined)
  const code = refusedAs(cell.adapter)
  assert.equal(outcome.code, code)
  // A ticket is refused where it is asked for: that is an answer of the app to a plain request.
  const unheard = road.name.startsWith('ticket') && code === 'app'
  assert.deepEqual(
    running.events.map((event) => (event.type === 'refused' ? event.code : event.type)),
    unheard ? [] : [code],
  )
  assert.deepEqual(road.refusesByClose === true ? setCookiesIn(outcome) : [], [])
}

/** What the road makes of it is no credential of this kind: whoever tries is refused, alice's cookie or not. */
async function notCarried(cell: Cell, credential: Credential): Promise<void> {
  const { outcome, ran } = await run(cell, credential)
  assert.equal(outcome.opened, undefined, JSON.stringify(outcome.opened))
  assert.equal(outcome.status, 401)
  assert.deepEqual(
    cell.running.events.filter(({ type }) => type === 'accepted'),
    [],
  )
  for (const { saw } of ran) assert.notDeepEqual(saw, credential.header)
}

/** The same credential headers, on a page behind the same middleware, and on a plain request for the endpoint. */
async function samePage(
  { adapter, running, kind }: Cell,
  ran: Ran | undefined,
  expected: { readonly status: number; readonly subject: string | undefined },
): Promise<{ readonly status: number }> {
  assert.ok(ran)
  running.app.log.ran.length = 0
  const page = await whoIs(running.port, pathOf(kind, 'me'), ran.saw)
  assert.deepEqual(page, expected)
  const [onPage, ...more] = running.app.log.ran
  assert.equal(more.length, 0)
  assert.deepEqual(onPage?.saw, ran.saw)
  assert.equal(onPage.middleware, ran.middleware, 'the very same function')
  assert.equal(onPage.phase, undefined)
  const endpoint = await ask(running.port, 'GET', pathOf(kind, 'live'), ran.saw)
  // There is no route for it where schemes stand alone.
  if (adapter.name !== 'gate101/schemes') assert.equal(endpoint.status, page.status === 200 ? 426 : page.status)
  return page
}

/** What the runs were for, as the app itself can see. */
function assertPhases(ran: readonly Ran[], { adapter, road }: Cell): void {
  if (adapter.name === 'gate101/schemes') return
  // A ticket is asked for by a plain request.
  const byTicket = road.name.startsWith('ticket') ? [undefined, 'handshake'] : ['handshake']
  assert.deepEqual(
    ran.map(({ phase }) => phase),
    road.refusesByClose === true ? ['handshake', 'message'] : byTicket,
  )
}

const SPELT: Readonly<Record<string, string>> = { cookie: 'Cookie', 'x-api-key': 'X-Api-Key' }

function describeSaw(saw: Ran['saw']): string {
  return Object.entries(saw)
    .map(([name, value]) => SPELT[name] ?? `Authorization: ${value.split(' ')[0]}`)
    .join(', ')
}

async function lateTickets({ app, port }: Running, kinds: readonly Kind[], code: string): Promise<void> {
  const targets: string[] = []
  for (const kind of kinds) {
    const { header } = kind === 'session' ? sessionOf('carol', await logIn(port, 'carol')) : credentialOf(kind, 'carol')
    const minted = await mint(port, pathOf(kind, 'ticket'), header)
    assert.equal(minted.status, 200, minted.text)
    targets.push((JSON.parse(minted.text) as { url: string }).url)
  }
  app.people.ban('carol')
  for (const target of targets) {
    app.log.ran.length = 0
    const outcome = await dial(port, target, { Origin: ORIGIN })
    assert.deepEqual([outcome.status, outcome.code], [401, code], target)
    assert.equal(app.log.ran.length, 1, 'the middleware was asked')
    const again = await dial(port, target, { Origin: ORIGIN })
    assert.deepEqual([again.status, again.code], [401, 'invalid_ticket'])
  }
}

test('docs/roads.md says what these tests have shown', { timeout: 60_000 }, () => {
  const page = readFileSync(PAGE, 'utf8')
  const wanted = fill(page, cells)
  if (process.env['ROADS_TABLE'] === 'write') writeFileSync(PAGE, wanted)
  else assert.equal(normal(page), normal(wanted), 'stale: run `node scripts/roads-table.mjs`')
})
