import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { after, describe, it } from 'node:test'
import { ENDS, kindOfStatus, PROFILES, type EndKind } from '../../src/core/end.ts'
import { KINDS, type Happening, type Kind } from './logins-kinds.ts'
import { dialWire, quiet } from './races-wire.ts'
import { HOUR, MINUTE, SECOND, Wall } from './recheck-world.ts'

// What happens to open sockets for each kind of login: measured here, and shown by docs/life.md.

/** Less than an app has for its answer. */
const STEP = 9 * SECOND
const DAY = 24 * HOUR
const PAGE = new URL('../../docs/life.md', import.meta.url)
const HAPPENINGS: ReadonlyArray<readonly [Happening, string]> = [
  ['logout', 'logged out, or the key withdrawn'],
  ['ban', 'user banned'],
  ['password', 'password changed'],
  ['expiry', 'expired'],
]

const AT_ONCE = 'at once: 4401 `revoked`'
const ON_TIME = 'after an hour: 4401 `expired`'

/** How the socket has ended, in words of the table, by kind, happening and whether there was the line. */
const cells = new Map<string, string>()
const keyOf = (kind: Kind, what: Happening, oneLine: boolean): string => `${kind.name} ${what} ${oneLine}`

after(() => new Wall().stop())

/** Says when it ended after `ms`, as precisely as the table does. */
function describeEnd(ms: number, code: number, reason: string): string {
  return `${when(ms)}: ${code} \`${reason}\``
}

function when(ms: number): string {
  if (ms === 0) return 'at once'
  if (ms <= MINUTE + SECOND) return 'within a minute'
  if (Math.abs(ms - HOUR) <= STEP) return 'after an hour'
  if (Math.abs(ms - DAY) <= STEP) return 'after a day'
  return `after ${ms / SECOND} s`
}

async function measure(kind: Kind, what: Happening, oneLine: boolean): Promise<string> {
  const clock = new Wall()
  const { server, gate, headers, stays, happen, verifying = { count: 0 } } = await kind.make(clock, oneLine)
  const settled = async (): Promise<void> => {
    do await quiet()
    while (verifying.count > 0)
    await quiet()
  }
  try {
    const client = dialWire(server, '/live', headers)
    await settled()
    assert.equal(client.status, 101)
    const other = stays && dialWire(server, '/live', stays)
    await settled()
    if (other !== undefined) assert.equal(other.status, 101)
    const began = clock.now()
    await happen(what, oneLine)
    await settled()
    for (const step of steps()) {
      if (client.closed !== undefined) break
      clock.pass(step)
      await settled()
    }
    assert.ok(client.closed !== undefined, 'it is still open after a day')
    const end = describeEnd(clock.now() - began, client.closed.code, client.closed.reason)
    if (!oneLine || what === 'ban') return end
    for (let ms = 0; ms < 2 * MINUTE; ms += STEP) {
      clock.pass(STEP)
      await settled()
    }
    assert.equal(other?.closed, undefined, 'another login ends with it, or at its next re-check')
    return end
  } finally {
    const closed = gate.close()
    clock.pass(2 * SECOND)
    await closed
    clock.stop()
  }
}

/** A little more than a day: the first minutes closely. */
function* steps(): Generator<number> {
  for (let ms = 0; ms < 2 * MINUTE; ms += SECOND) yield SECOND
  for (let ms = 0; ms < DAY; ms += STEP) yield STEP
}

for (const kind of KINDS) {
  describe(kind.name, () => {
    for (const [what, name] of HAPPENINGS) {
      if (kind.never?.[what] !== undefined) continue
      for (const oneLine of kind.lines[what] === undefined ? [false] : [false, true]) {
        it(`${name}${oneLine ? `, with ${kind.lines[what]}` : ''}`, async () => {
          const end = await measure(kind, what, oneLine)
          cells.set(keyOf(kind, what, oneLine), end)
          if (oneLine) assert.equal(end, what === 'expiry' ? ON_TIME : AT_ONCE)
        })
      }
    }
  })
}

function loginsTable(): string {
  const rows = KINDS.map((kind) => [kind.name, ...HAPPENINGS.map(([what]) => cellOf(kind, what))])
  return tableOf(['login', ...HAPPENINGS.map(([, name]) => name)], rows)
}

function cellOf(kind: Kind, what: Happening): string {
  const never = kind.never?.[what]
  if (never !== undefined) return `– (${never})`
  const without = cells.get(keyOf(kind, what, false)) ?? 'FAILED'
  const line = kind.lines[what]
  if (line === undefined || cells.get(keyOf(kind, what, true)) === without) return without
  return `${without}<br>with ${line}: ${cells.get(keyOf(kind, what, true)) ?? 'FAILED'}`
}

function codesTable(): string {
  const profiles = Object.entries(PROFILES)
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the keys of a profile are the kinds
  const kinds = Object.keys(PROFILES.default) as EndKind[]
  const rows = kinds.map((kind) => [
    `\`${kind}\``,
    reasonsOf(kind),
    ...profiles.map(([, profile]) => String(profile[kind])),
  ])
  return tableOf(['kind', 'reason', ...profiles.map(([name]) => `\`${name}\``)], rows)
}

/** What has no end of its own is what a refusal says that is told by a Close frame. */
function reasonsOf(kind: EndKind): string {
  const reasons = Object.values(ENDS).filter((end) => end.kind === kind)
  if (reasons.length > 0) return reasons.map(({ reason }) => `\`${reason}\``).join(', ')
  const statuses = Array.from({ length: 200 }, (_, n) => 400 + n).filter((status) => kindOfStatus(status) === kind)
  return `of a refusal with ${statuses.join(', ')}`
}

function tableOf(head: readonly string[], rows: readonly string[][]): string {
  const line = (cells_: readonly string[]): string => `| ${cells_.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

function fill(page: string, name: string, table: string): string {
  const [before, rest] = page.split(`<!-- ${name} -->`)
  const [, behind] = (rest ?? '').split(`<!-- /${name} -->`)
  assert.ok(behind !== undefined, `docs/life.md has no place for ${name}`)
  return `${before}<!-- ${name} -->\n\n${table}\n\n<!-- /${name} -->${behind}`
}

const normal = (text: string): string => text.replaceAll(/ +/g, ' ').replaceAll(/-{3,}/g, '---')

it('docs/life.md says what these tests have shown', () => {
  const page = readFileSync(PAGE, 'utf8')
  const wanted = fill(fill(page, 'logins', loginsTable()), 'codes', codesTable())
  if (process.env['LIFE_TABLE'] === 'write') writeFileSync(PAGE, wanted)
  else assert.equal(normal(page), normal(wanted), 'stale: run `node scripts/life-table.mjs`')
})
