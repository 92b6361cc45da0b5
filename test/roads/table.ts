import { ADAPTERS } from './adapters.ts'
import { KINDS, type Kind } from './apps/types.ts'
import { ROADS, type Road } from './roads.ts'

/** What the middleware read, by `<adapter>/<kind>/<road>`; nothing where the test has failed. */
export type Cells = Map<string, string>

const LOGINS: Readonly<Record<Kind, string>> = {
  session: 'session cookie',
  jwt: 'JWT',
  key: 'API key',
  basic: 'Basic',
}

/** Why a road does not carry a kind of login. */
const NOTES = {
  cookie: 'A session is known by its cookie, and middleware looks for it nowhere else.',
  noCookie: 'A cookie carries what the app has put into it at a login: then it is a session cookie.',
  bearer: 'This road ends in `Authorization: Bearer`, and this middleware reads something else.',
  password: 'A user name and a password become `Authorization: Basic`, and this middleware reads something else.',
  noApp: 'Without an app there is no session.',
} as const
type Note = keyof typeof NOTES

function noteOf({ short }: Road): Note {
  if (short === 'header') return 'cookie'
  if (short === 'cookie') return 'noCookie'
  return short === 'message: password' ? 'password' : 'bearer'
}

const mark = (note: Note): string => `–<sup>${Object.keys(NOTES).indexOf(note) + 1}</sup>`

/** Not on unless the options name the header. */
const LISTED: readonly Kind[] = ['session', 'key']

function rowsOf(head: readonly string[], rows: readonly string[][]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

/** For each road and kind of login: what the middleware reads, the same on every framework. */
function summary(cells: Cells): string {
  const rows = ROADS.map((road) => [road.name, ...KINDS.map((kind) => readBy(cells, road, kind))])
  return rowsOf(['road', ...KINDS.map((kind) => LOGINS[kind])], rows)
}

function readBy(cells: Cells, road: Road, kind: Kind): string {
  if (!road.carries.includes(kind)) return mark(noteOf(road))
  const able = ADAPTERS.filter(({ middleware }) => middleware[kind] !== undefined)
  const read = new Set(able.map(({ name }) => cells.get(`${name}/${kind}/${road.short}`) ?? 'FAILED'))
  const needsList = road.refusesByClose === true && LISTED.includes(kind)
  return `${[...read].map((one) => `\`${one}\``).join(' or ')}${needsList ? '<sup>*</sup>' : ''}`
}

/** For each framework and kind of login: the middleware, and the roads on which it decided. */
function matrix(cells: Cells): string {
  const rows = ADAPTERS.flatMap((adapter) =>
    KINDS.map((kind) => [
      adapter.name,
      LOGINS[kind],
      adapter.middleware[kind] ?? '–',
      ...ROADS.map((road) => {
        if (adapter.middleware[kind] === undefined) return mark('noApp')
        if (!road.carries.includes(kind)) return mark(noteOf(road))
        return cells.has(`${adapter.name}/${kind}/${road.short}`) ? 'yes' : 'FAILED'
      }),
    ]),
  )
  return rowsOf(['framework', 'login', 'middleware', ...ROADS.map(({ short }) => short)], rows)
}

const notes = (): string =>
  Object.values(NOTES)
    .map((note, at) => `${at + 1}. ${note}`)
    .join('\n')

const PARTS: Readonly<Record<string, (cells: Cells) => string>> = { summary, matrix, notes }

/** The page with its generated parts made anew. */
export function fill(page: string, cells: Cells): string {
  let filled = page
  for (const [name, make] of Object.entries(PARTS)) {
    const [begin, end] = [`<!-- generated: ${name} -->`, `<!-- end: ${name} -->`]
    const [from, to] = [filled.indexOf(begin), filled.indexOf(end)]
    if (from < 0 || to < from) throw new Error(`docs/roads.md lacks ${begin} or ${end}`)
    filled = `${filled.slice(0, from + begin.length)}\n\n${make(cells)}\n\n${filled.slice(to)}`
  }
  return filled
}

/** The formatter pads the columns of tables. */
export const normal = (page: string): string => page.replaceAll(/ {2,}/g, ' ').replaceAll(/-{3,}/g, '---')
