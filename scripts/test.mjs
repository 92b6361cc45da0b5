// Runs the tests with Node's own runner: all of them, or those whose path starts with an argument.
// `node scripts/test.mjs test/unit test/security`
import { filesIn, run } from './lib.mjs'

const wanted = process.argv.slice(2).map((path) => path.replace(/^\.\//, ''))
const all = filesIn('test', (name) => name.endsWith('.test.ts'))
const files = wanted.length === 0 ? all : all.filter((file) => wanted.some((path) => file.startsWith(path)))
if (files.length === 0) {
  console.error('No test file matches.')
  process.exit(1)
}

process.exitCode = run(process.execPath, [
  '--import',
  'tsx',
  '--test',
  '--test-reporter=spec',
  '--test-concurrency=2',
  // A file that hangs must fail, and name itself, long before the whole run is given up.
  '--test-timeout=480000',
  ...files,
])
