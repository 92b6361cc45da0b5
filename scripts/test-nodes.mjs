// The whole test suite on every supported major of Node, one after the other, with a table at the end.
// `node scripts/test-nodes.mjs 22 26 -- test/unit` chooses majors and tests.
import { mkdirSync, writeFileSync } from 'node:fs'
import { at, capture } from './lib.mjs'

const MAJORS = ['20', '22', '24', '26']

const args = process.argv.slice(2)
const split = args.indexOf('--')
const chosen = split === -1 ? args : args.slice(0, split)
const tests = split === -1 ? [] : args.slice(split + 1)
const majors = chosen.length > 0 ? chosen : MAJORS

/** Path of a Node of this major: the npm package `node`, installed on demand. */
function nodeOf(major) {
  const folder = at('.cache', 'nodes', major)
  const node = `${folder}/node_modules/node/bin/node`
  if (capture(node, ['--version']).output.startsWith(`v${major}.`)) return node
  mkdirSync(folder, { recursive: true })
  writeFileSync(`${folder}/package.json`, '{ "private": true }\n')
  const installed = capture('npm', ['install', '--no-audit', '--no-fund', `node@${major}`], { cwd: folder })
  if (capture(node, ['--version']).output.startsWith(`v${major}.`)) return node
  throw new Error(`Node ${major} could not be installed.\n${installed.output}`)
}

const count = (output, what) => Number(new RegExp(`^(?:ℹ|#) ${what} (\\d+)`, 'm').exec(output)?.[1] ?? Number.NaN)

/** What failed, as the runner repeats it after its counts. */
const failuresIn = (output) => output.slice(Math.max(output.lastIndexOf('failing tests:'), output.length - 20_000))

function testOn(major) {
  const node = nodeOf(major)
  const version = capture(node, ['--version']).output.trim()
  console.log(`Node ${version}: running`)
  const began = performance.now()
  // The chosen Node comes first in PATH, so that whatever a test starts by the name `node` is the same one.
  const env = { ...process.env, PATH: `${node.slice(0, -'/node'.length)}:${process.env['PATH']}` }
  const { ok, output } = capture(node, [at('scripts', 'test.mjs'), ...tests], { env })
  const log = at('.cache', 'nodes', `${major}.log`)
  writeFileSync(log, output)
  if (!ok) console.log(failuresIn(output))
  const numbers = Object.fromEntries(['tests', 'pass', 'fail', 'skipped'].map((what) => [what, count(output, what)]))
  return { Node: version, ok, ...numbers, seconds: Math.round((performance.now() - began) / 1000) }
}

const rows = []
for (const major of majors) {
  try {
    rows.push(testOn(major))
  } catch (error) {
    console.error(error.message)
    rows.push({ Node: major, ok: false })
  }
}
console.table(rows)
process.exitCode = rows.every((row) => row.ok) ? 0 : 1
