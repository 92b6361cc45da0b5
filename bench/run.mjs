// `npm run bench [-- --rows handshake,refused] [--rounds 9] [--json FILE] [--markdown] [--readme] [--as-built]`
import { execFileSync } from 'node:child_process'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const at = (path) => fileURLToPath(new URL(path, import.meta.url))
const GROUPS = ['handshake', 'roads', 'refused', 'messages', 'life', 'cluster', 'held', 'syscalls', 'memory', 'peers']
const { values: options } = parseArgs({
  options: {
    rows: { type: 'string', default: GROUPS.join(',') },
    rounds: { type: 'string', default: '9' },
    json: { type: 'string' },
    markdown: { type: 'boolean', default: false },
    readme: { type: 'boolean', default: false },
    'as-built': { type: 'boolean', default: false },
  },
})
const chosen = options.rows.split(',')
const rounds = Number(options.rounds)
const unknown = chosen.filter((name) => !GROUPS.includes(name))
if (unknown.length > 0) fail(`--rows: there is no ${unknown.join(', ')}; there are ${GROUPS.join(', ')}`)
if (!Number.isInteger(rounds) || rounds < 1) fail('--rounds: a whole number, 1 or more')
setUp()
checkSameWs()

const { PINNED, pinLoad } = await import('./child.mjs')
const { collect } = await import('./collect.mjs')
const { asMarkdown, asText } = await import('./table.mjs')

pinLoad()
const [load] = loadavg()
if (load > 0.3 * availableParallelism())
  console.error(`This machine is busy (load ${load.toFixed(1)}); what comes out will be noisy.`)
const began = performance.now()
const results = await collect(chosen, rounds, (text) => process.stderr.write(`${text}\n`))
const minutes = ((performance.now() - began) / 60_000).toFixed(1)
const footer = [
  `Node ${process.version}, ${cpus()[0]?.model ?? 'unknown CPU'}, ${rounds} rounds, ${minutes} minutes${PINNED ? '; server and load pinned to a CPU each' : ''}.`,
]
const markdown = asMarkdown(results, footer)
console.log(options.markdown ? markdown : asText(results, footer))
if (options.json !== undefined)
  writeFileSync(options.json, `${JSON.stringify({ node: process.version, rounds, load, ...results }, null, 2)}\n`)
if (options.readme) writeReadme(markdown)

function writeReadme(text) {
  // Tables of their own: what takes long is measured apart.
  const [path, mark] = ['life', 'cluster'].includes(options.rows)
    ? [at('README.md'), options.rows]
    : [at('../README.md'), 'bench']
  const before = readFileSync(path, 'utf8')
  const after = before.replace(
    new RegExp(`<!-- ${mark} -->[\\s\\S]*<!-- /${mark} -->`),
    () => `<!-- ${mark} -->\n\n${text}\n\n<!-- /${mark} -->`,
  )
  writeFileSync(path, after)
}

/** Packages here and above, and a build of the sources as they are. */
function setUp() {
  const changed = (path) => statSync(at(path), { throwIfNoEntry: false })?.mtimeMs ?? 0
  const run = (command, args) => execFileSync(command, args, { cwd: at('.'), stdio: ['ignore', 2, 2] })
  if (!options['as-built']) run(process.execPath, [at('../scripts/setup.mjs')])
  if (changed('node_modules/.package-lock.json') < changed('package-lock.json'))
    run('npm', ['ci', '--no-audit', '--no-fund'])
}

/** gate101 loads the `ws` of its own folder, the controls that of this one. */
function checkSameWs() {
  const [ours, theirs] = ['../node_modules', 'node_modules'].map(
    (folder) => JSON.parse(readFileSync(at(`${folder}/ws/package.json`), 'utf8')).version,
  )
  if (ours !== theirs) fail(`ws is ${ours} for gate101 and ${theirs} for the controls; a comparison needs the same`)
}

function fail(message) {
  console.error(message)
  process.exit(1)
}
