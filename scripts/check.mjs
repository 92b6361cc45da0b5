// Everything that is checked without running the code: lint, format, types, dead code, packaging.
// Names on the command line choose: `node scripts/check.mjs lint types`.
import { mkdirSync, rmSync } from 'node:fs'
import { at, bin, capture } from './lib.mjs'

/** The package exactly as it would be published. */
function pack() {
  const folder = at('.cache', 'pack')
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const packed = capture('npm', ['pack', '--ignore-scripts', '--loglevel=error', '--pack-destination', folder])
  if (!packed.ok) throw new Error(packed.output)
  return `${folder}/${packed.output.trim().split('\n').at(-1)}`
}

const CHECKS = {
  lint: () => capture(bin('oxlint'), ['--type-aware', '--deny-warnings']),
  format: () => capture(bin('oxfmt'), ['--check']),
  types: () => capture(bin('tsc'), ['-p', 'tsconfig.json', '--noEmit']),
  'types-test': () => capture(bin('tsc'), ['-p', 'test/tsconfig.json']),
  knip: () => capture(bin('knip'), []),
  publint: () => capture(bin('publint'), ['run', pack(), '--strict']),
  attw: () => capture(bin('attw'), [pack(), '--profile', 'esm-only']),
}

const chosen = process.argv.slice(2)
for (const name of chosen) {
  if (name in CHECKS) continue
  console.error(`No check is called ${name}. There are: ${Object.keys(CHECKS).join(', ')}`)
  process.exit(1)
}

const failed = []
for (const [name, check] of Object.entries(CHECKS)) {
  if (chosen.length > 0 && !chosen.includes(name)) continue
  const began = performance.now()
  const { ok, output } = check()
  console.log(`${ok ? 'ok  ' : 'FAIL'} ${name.padEnd(10)} ${((performance.now() - began) / 1000).toFixed(1)} s`)
  if (!ok) {
    failed.push(name)
    console.log(output)
  }
}
if (failed.length > 0) {
  console.error(`Failed: ${failed.join(', ')}`)
  process.exitCode = 1
}
