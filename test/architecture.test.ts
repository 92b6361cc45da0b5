import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { faultsOf, importsOf } from './support/walls.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const read = (path: string): string => readFileSync(join(root, path), 'utf8')

interface Manifest {
  readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>
  readonly bin: Readonly<Record<string, string>>
  readonly dependencies: Readonly<Record<string, string>>
  readonly peerDependencies: Readonly<Record<string, string>>
  readonly peerDependenciesMeta: Readonly<Record<string, { readonly optional?: boolean }>>
}

const manifest: Manifest = JSON.parse(read('package.json'))

const files = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .toSorted()
const COMMAND = 'cli.ts'
const entries = files.filter((path) => !path.includes('/') && path !== COMMAND)
const subpathOf = (entry: string): string => (entry === 'index.ts' ? '.' : `./${entry.replace(/\.ts$/, '')}`)

test('src/ is within its walls', () => {
  assert.ok(files.length > 20, 'src/ was not read')
  assert.deepEqual(
    files.flatMap((path) => faultsOf(path, read(`src/${path}`))),
    [],
  )
})

const WRONG: ReadonlyArray<readonly [path: string, text: string, fault: RegExp]> = [
  ['core/a.ts', `import { b } from '../door/b.ts'`, /imports the room door/],
  ['core/a.ts', `import { once } from 'node:events'`, /imports node:events/],
  ['door/a.ts', `import type { B } from '../upgrade/b.ts'`, /imports the room upgrade/],
  ['door/a.ts', `import {\n  b,\n  c,\n} from '../gate/b.ts'`, /imports the room gate/],
  ['door/a.ts', `import '../schemes/b.ts'`, /imports the room schemes/],
  ['door/a.ts', `const b = await import('../schemes/b.ts')`, /imports the room schemes/],
  ['door/a.ts', `import { createGate } from '../index.ts'`, /imports the entry index.ts/],
  ['gate/a.ts', `import { createGate } from '../index.ts'`, /imports the entry index.ts/],
  ['gate/a.ts', `import { dial } from '../client/dial.ts'`, /imports the room client/],
  ['cli/a.ts', `import { b } from '../gate/b.ts'`, /imports the room gate/],
  ['client/dial.ts', `import { once } from 'node:events'`, /imports node:events/],
  ['client/dial.ts', `import { b } from '../upgrade/b.ts'`, /imports the room upgrade/],
  ['door/a.ts', `import { b } from './b'`, /without its .ts ending/],
  ['door/a.ts', `import { b } from '../../test/b.ts'`, /outside src/],
  ['door/a.ts', `import WebSocket, { type Data } from 'ws'`, /imports the package ws/],
  ['upgrade/a.ts', `import express from 'express'`, /imports the package express/],
  ['koa.ts', `import Koa from 'koa'`, /imports the package koa/],
  ['koa.ts', `import type Koa from 'koa'`, /imports types of koa/],
  ['schemes/a.ts', `import { jwtVerify } from 'jose'`, /imports the package jose/],
  ['gate/a.ts', `import { trace } from '@opentelemetry/api'`, /imports the package @opentelemetry\/api/],
  ['koa.ts', `import { trace } from '@opentelemetry/api'`, /imports the package @opentelemetry\/api/],
  ['door/a.ts', `const jose = await import('jose')`, /imports the package jose/],
  ['door/a.ts', `export { b } from './b.ts'`, /re-exports/],
  ['koa.ts', `export * from './core/b.ts'`, /exports everything/],
  ['door/a.ts', 'export default 1', /default export/],
  ['door/a.ts', 'enum A { B }', /enum/],
  ['door/index.ts', '', /barrel/],
  ['cupboard/a.ts', '', /not in the table/],
  ['door/a.ts', 'a\n'.repeat(401), /401 lines/],
  ['koa.ts', 'a\n'.repeat(251), /251 lines/],
]

for (const [path, text, fault] of WRONG) {
  test(`the walls hold: ${path} ${text.split('\n')[0]}`, () => {
    const faults = faultsOf(path, text)
    assert.equal(faults.length, 1, faults.join('\n'))
    assert.match(faults[0] ?? '', fault)
  })
}

/** What a browser gets has nothing of Node in it. */
const CLIENT = {
  types: './dist/client.d.ts',
  browser: './dist/client/browser.js',
  node: './dist/client.js',
  default: './dist/client/browser.js',
}

test('the walls have doors', () => {
  const right: ReadonlyArray<readonly [path: string, text: string]> = [
    ['index.ts', `import { a } from './gate/a.ts'\nexport { b, type C } from './core/b.ts'`],
    ['gate/a.ts', `import { a } from '../door/a.ts'\nimport { b } from '../upgrade/b.ts'`],
    ['door/a.ts', `import { a } from './b.ts'\nimport { c } from '../core/c.ts'\nimport { once } from 'node:events'`],
    ['door/a.ts', `/** import { createGate } from 'express' */\n// import 'koa'\nconst url = 'http://any'`],
    ['connections/a.ts', `import { type WebSocket } from 'ws'`],
    ['upgrade/a.ts', `import { WebSocketServer, type WebSocket } from 'ws'`],
    ['schemes/a.ts', `type Jose = typeof import('jose')\nconst jose = await import('jose')`],
    ['client/node.ts', `import { once } from 'node:events'\nimport { WebSocket } from 'ws'`],
    ['cli/a.ts', `import { dial } from '../client.ts'`],
    ['opentelemetry.ts', `import { trace, type Tracer } from '@opentelemetry/api'`],
  ]
  assert.deepEqual(
    right.flatMap(([path, text]) => faultsOf(path, text)),
    [],
  )
})

test('the linter holds the length of functions and the absence of any and of cycles', () => {
  const { rules } = JSON.parse(read('.oxlintrc.json'))
  assert.deepEqual(rules['max-lines-per-function'], ['error', { max: 60 }])
  assert.equal(rules['typescript/no-explicit-any'], 'error')
  assert.equal(rules['import/no-cycle'], 'error')
})

test('every entry is exported by package.json, and nothing else is', () => {
  const { './package.json': self, ...exported } = manifest.exports
  assert.equal(self, './package.json')
  assert.deepEqual(Object.keys(exported).toSorted(), entries.map(subpathOf).toSorted())
  for (const entry of entries) {
    const built = `./dist/${entry.replace(/\.ts$/, '')}`
    const plain = { types: `${built}.d.ts`, default: `${built}.js` }
    assert.deepEqual(exported[subpathOf(entry)], entry === 'client.ts' ? CLIENT : plain)
  }
  assert.equal(existsSync(join(root, 'src', COMMAND)), true)
  assert.deepEqual(manifest.bin, { gate101: 'dist/cli.js' })
})

test(
  'the README names every entry, and no other',
  { skip: existsSync(join(root, 'README.md')) ? false : 'no README' },
  () => {
    const named = new Set(read('README.md').match(/\bgate101\/[a-z]+\b/g))
    const exported = entries
      .filter((entry) => entry !== 'index.ts')
      .map((entry) => `gate101/${entry.replace(/\.ts$/, '')}`)
    assert.deepEqual([...named].toSorted(), exported.toSorted())
  },
)

test('every dependency is imported, and everything imported is a dependency', () => {
  const imported = files
    .flatMap((path) => importsOf(read(`src/${path}`)))
    .map(({ from }) => from)
    .filter((from) => !from.startsWith('.') && !from.startsWith('node:'))
  // The types of ws are part of our own: the handler of a route gets a ws WebSocket.
  const expected = Object.keys(manifest.dependencies).filter((name) => name !== '@types/ws')
  const peers = Object.keys(manifest.peerDependencies)
  assert.deepEqual([...new Set(imported)].toSorted(), [...expected, ...peers].toSorted())
  for (const peer of peers) assert.equal(manifest.peerDependenciesMeta[peer]?.optional, true)
})
