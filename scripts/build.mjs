// Compiles src/ to dist/, and examples/demo.ts to dist/demo/ (why: see setup.mjs).
// `--if-needed` skips when dist/ is newer than everything it is made from.
import { copyFileSync, existsSync, mkdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { at, bin, changed, filesIn, must } from './lib.mjs'

const demo = filesIn('examples').filter((file) => /^examples\/(?:demo|nodes)\.ts$|^examples\/demo\//.test(file))
const sources = filesIn('src', (name) => name.endsWith('.ts'))
const configuration = ['package.json', 'tsconfig.json', 'tsconfig.demo.json', 'scripts/build.mjs']
const stamp = at('.cache', 'built')

function upToDate() {
  if (sources.some((file) => !existsSync(at(file.replace(/^src/, 'dist').replace(/ts$/, 'js'))))) return false
  return [...demo, ...sources, ...configuration].every((file) => changed(at(file)) < changed(stamp))
}

/** Removes what an earlier build left behind of files that are gone from src/, so that it is never published. */
function prune() {
  const made = new Set(sources.map((file) => file.replace(/^src/, 'dist').replace(/\.ts$/, '')))
  for (const file of filesIn('dist')) {
    const isDemo = file.startsWith('dist/demo/')
    if (!isDemo && !made.has(file.replace(/(\.d\.ts|\.js)(\.map)?$/, ''))) rmSync(at(file))
  }
}

function build() {
  const began = new Date()
  must(bin('tsc'), ['-p', 'tsconfig.json', '--noEmitOnError'])
  prune()
  if (demo.includes('examples/demo.ts')) must(bin('tsc'), ['-p', 'tsconfig.demo.json', '--noEmitOnError'])
  for (const file of demo.filter((name) => !name.endsWith('.ts'))) {
    const copy = at(file.replace(/^examples/, 'dist/demo'))
    mkdirSync(dirname(copy), { recursive: true })
    copyFileSync(at(file), copy)
  }
  mkdirSync(at('.cache'), { recursive: true })
  writeFileSync(stamp, '')
  // What was saved while the compiler ran is newer than this build.
  utimesSync(stamp, began, began)
}

if (!process.argv.includes('--if-needed') || !upToDate()) build()
