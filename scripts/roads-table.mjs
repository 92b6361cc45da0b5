// Runs the tests of all roads on all frameworks and writes what they have shown into docs/roads.md.
import { bin, must, run } from './lib.mjs'

const env = { ...process.env, ROADS_TABLE: 'write' }
const status = run(process.execPath, ['--import', 'tsx', '--test', 'test/roads/matrix.test.ts'], { env })
must(bin('oxfmt'), ['docs/roads.md'])
process.exitCode = status
