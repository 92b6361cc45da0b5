/**
 * The walls of the house: which room may import which, and what no file of src/ may hold. ARCHITECTURE.md describes the
 * rooms; `test/architecture.test.ts` holds src/ against this table.
 */
interface Room {
  /** The other rooms that it may import. */
  readonly rooms: readonly string[]
  /** Whether it may import public entries, as a user does. */
  readonly entries?: boolean
  /** Packages that it may import values of. Types of our dependencies may be imported anywhere. */
  readonly packages?: readonly string[]
  /** Packages that it may load on first use, with `import()`. */
  readonly lazyPackages?: readonly string[]
  /** Files that may import `node:` modules. By default all. */
  readonly node?: RegExp | false
}

const PARTS = ['credentials', 'handshake', 'door', 'schemes', 'upgrade', 'connections', 'cluster']

const FIRST_USER: Room = { rooms: ['core'], entries: true }

const ROOMS: Readonly<Record<string, Room>> = {
  core: { rooms: [], node: false },
  ...Object.fromEntries(PARTS.map((name): [string, Room] => [name, { rooms: ['core'] }])),
  schemes: { rooms: ['core'], lazyPackages: ['jose'] },
  upgrade: { rooms: ['core'], packages: ['ws'] },
  // The assembly: only entries import it.
  gate: { rooms: ['core', ...PARTS] },
  // What a browser bundle reaches holds no `node:` import; files for Node are named for it.
  client: { rooms: ['core'], packages: ['ws'], node: /^(.+-)?node(-.+)?\.ts$/ },
  // The gateways of NestJS: its shapes, and nothing of the gate.
  nest: { rooms: ['core'] },
  cli: FIRST_USER,
  gateway: FIRST_USER,
  console: FIRST_USER,
  doctor: FIRST_USER,
}

const DEPENDENCIES = ['ws', 'jose']

/** Optional peer dependencies, each with the one entry that is about it. */
const PEERS: Readonly<Record<string, string>> = { 'opentelemetry.ts': '@opentelemetry/api' }

const FILE_LINES = 400
const ENTRY_LINES = 250

interface Import {
  readonly from: string
  /** Whether only types are imported. */
  readonly isType: boolean
  /** Whether it is an `import()`. */
  readonly isLazy: boolean
  readonly isReexport: boolean
}

const TOKENS = /'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g

/** The code without its comments; docstrings hold imports, too. */
function withoutComments(text: string): string {
  return text.replaceAll(TOKENS, (token) => (token.startsWith('/') ? '' : token))
}

const STATEMENT = /^(import|export)\s+(type\s+)?(?:([^'";]*?)\s+from\s+)?'([^']+)'/gm
const CALL = /(typeof\s+)?\bimport\(\s*'([^']+)'\s*\)/g

function isTypeList(names: string): boolean {
  const inner = /^\{([\s\S]*)\}$/.exec(names.trim())?.[1]
  if (inner === undefined) return false
  const each = inner.split(',').map((name) => name.trim())
  return each.every((name) => name === '' || name.startsWith('type '))
}

/** What a module imports, in any of the ways there are. */
export function importsOf(text: string): Import[] {
  const code = withoutComments(text)
  const statements = [...code.matchAll(STATEMENT)].map(([, keyword, type, names, from = '']): Import => {
    const isType = type !== undefined || (names !== undefined && isTypeList(names))
    return { from, isType, isLazy: false, isReexport: keyword === 'export' }
  })
  const calls = [...code.matchAll(CALL)].map(([, type, from = '']): Import => ({
    from,
    isType: type !== undefined,
    isLazy: true,
    isReexport: false,
  }))
  return [...statements, ...calls]
}

/** `index.ts` → entry; `door/run.ts` → room `door`. */
function placeOf(path: string): { room: string | undefined; file: string } {
  const parts = path.split('/')
  return parts.length === 1 ? { room: undefined, file: path } : { room: parts[0], file: parts.slice(1).join('/') }
}

/** Resolves `../core/x.ts` as written in `door/run.ts` to `core/x.ts`; `undefined` outside src/. */
function resolve(path: string, from: string): string | undefined {
  const parts = path.split('/').slice(0, -1)
  for (const part of from.split('/')) {
    if (part === '..' && parts.pop() === undefined) return undefined
    if (part !== '..' && part !== '.') parts.push(part)
  }
  return parts.join('/')
}

function insideFault(path: string, { from, isReexport }: Import): string | undefined {
  const to = resolve(path, from)
  if (to === undefined) return `imports ${from}, which is outside src/`
  if (!to.endsWith('.ts')) return `imports ${from} without its .ts ending`
  const { room } = placeOf(path)
  const target = placeOf(to).room
  if (isReexport && room !== undefined) return `re-exports ${from}: only entries do`
  if (room === undefined || room === target) return undefined
  const rules = ROOMS[room]
  if (target === undefined) return rules?.entries === true ? undefined : `imports the entry ${to}`
  return rules?.rooms.includes(target) === true ? undefined : `imports the room ${target}`
}

function nodeFault(path: string, from: string): string | undefined {
  const { room, file } = placeOf(path)
  const allowed = room === undefined ? undefined : ROOMS[room]?.node
  if (allowed === undefined || (allowed !== false && allowed.test(file))) return undefined
  return `imports ${from}`
}

function packageFault(path: string, { from, isType, isLazy }: Import): string | undefined {
  const name = from
    .split('/')
    .slice(0, from.startsWith('@') ? 2 : 1)
    .join('/')
  if (PEERS[path] === name) return undefined
  if (isType) return DEPENDENCIES.includes(name) ? undefined : `imports types of ${name}, which is no dependency`
  const { room } = placeOf(path)
  const rules = room === undefined ? undefined : ROOMS[room]
  const licensed = isLazy ? [...(rules?.lazyPackages ?? []), ...(rules?.packages ?? [])] : rules?.packages
  return licensed?.includes(name) === true ? undefined : `imports the package ${name}`
}

function importFault(path: string, one: Import): string | undefined {
  if (one.from.startsWith('.')) return insideFault(path, one)
  if (one.from.startsWith('node:')) return nodeFault(path, one.from)
  return packageFault(path, one)
}

const FORBIDDEN: ReadonlyArray<readonly [RegExp, string]> = [
  [/^export default\b/m, 'has a default export'],
  [/^export \*/m, 'exports everything of another file'],
  [/\benum\s+\w+\s*\{/, 'has an enum'],
]

/** Everything that is wrong with one file of src/; `path` is relative to src/. */
export function faultsOf(path: string, text: string): string[] {
  const { room, file } = placeOf(path)
  const faults: Array<string | undefined> = importsOf(text).map((one) => importFault(path, one))
  const code = withoutComments(text)
  for (const [pattern, what] of FORBIDDEN) if (pattern.test(code)) faults.push(what)
  const lines = text.trimEnd().split('\n').length
  const most = room === undefined ? ENTRY_LINES : FILE_LINES
  if (lines > most) faults.push(`has ${lines} lines, more than ${most}`)
  if (room !== undefined && !(room in ROOMS)) faults.push(`is in the room ${room}, which is not in the table`)
  if (room !== undefined && file === 'index.ts') faults.push('is a barrel')
  return faults.filter((fault) => fault !== undefined).map((fault) => `src/${path} ${fault}`)
}
