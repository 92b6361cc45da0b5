// Runs the tests of all kinds of login and writes what they have shown into docs/life.md.
import { bin, must, run } from './lib.mjs'

const env = { ...process.env, LIFE_TABLE: 'write' }
const status = run(process.execPath, ['--import', 'tsx', '--test', 'test/life/logins.test.ts'], { env })
must(bin('oxfmt'), ['docs/life.md'])
process.exitCode = status
