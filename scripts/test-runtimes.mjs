// `npm run test:runtimes`: the built package on Deno and Bun, fetched from npm on demand. Compares what each can do with
// what docs/differences.md says it can.
import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { at } from './lib.mjs'

const ROADS = ['headers: 101 hi, 401', 'ticket: 101 hi, 401', 'subprotocol: 101 hi, 401']
const WORKS = ['app door: 401, 101 hi', 'scheme door: 401, 101 hi', ...ROADS, 'message: 101 hi, 401']
const ON_BUN = ['app door: GATE101_CONFIG', 'scheme door: 401, 101 hi', ...ROADS, 'first message: GATE101_CONFIG']
const EXPECTED = [
  { name: 'node', command: [process.execPath], lines: WORKS },
  { name: 'deno', command: ['deno', 'run', '-A'], lines: WORKS },
  { name: 'bun', command: ['bun'], lines: ON_BUN },
]

const folder = at('.cache', 'runtimes')
mkdirSync(folder, { recursive: true })
writeFileSync(`${folder}/package.json`, '{ "private": true, "allowScripts": { "bun": true, "deno": true } }\n')
const install = ['i', '--no-audit', '--no-fund', '--no-save', 'bun@1', 'deno@2']
if (spawnSync('npm', install, { cwd: folder, stdio: 'inherit' }).status !== 0) process.exit(1)

let failed = 0
for (const { name, command, lines } of EXPECTED) {
  const [program, ...rest] = command
  const path = program === process.execPath ? program : `${folder}/node_modules/.bin/${program}`
  const { stdout, stderr } = spawnSync(path, [...rest, at('test/runtimes/smoke.mjs')], {
    encoding: 'utf8',
    timeout: 60_000,
  })
  const got = stdout.trim().split('\n')
  const same = lines.join() === got.join()
  console.log(`${same ? 'ok  ' : 'FAIL'} ${name}: ${got.join(' | ')}`)
  if (same) continue
  failed++
  console.log(`     expected: ${lines.join(' | ')}\n${stderr}`)
}
console.log(`${EXPECTED.length - failed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
