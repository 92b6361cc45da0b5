import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build, type Metafile } from 'esbuild'

const BUDGET = 7168
const root = fileURLToPath(new URL('../..', import.meta.url))

async function bundle(
  contents: string,
): Promise<{ text: string; inputs: string[]; imports: Metafile['outputs'][string]['imports'] }> {
  const { outputFiles, metafile } = await build({
    stdin: { contents, resolveDir: root, loader: 'ts' },
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    write: false,
    metafile: true,
    logLevel: 'silent',
  })
  return {
    text: outputFiles[0]?.text ?? '',
    inputs: Object.keys(metafile.inputs).filter((input) => input !== '<stdin>'),
    imports: Object.values(metafile.outputs).flatMap((output) => output.imports),
  }
}

test('the client of browsers holds no node: import and no dependency, in at most 7 KB gzipped', async () => {
  const { text, inputs, imports } = await bundle(`export * from './src/client/browser.ts'`)
  assert.ok(inputs.includes('src/client/browser.ts'))
  assert.deepEqual(
    inputs.filter((input) => !/^src\/(client|core)\//.test(input)),
    [],
  )
  assert.deepEqual(imports, [])
  assert.doesNotMatch(text, /\bnode:|\brequire\(/)
  const { length } = gzipSync(text, { level: 9 })
  assert.ok(length <= BUDGET, `${length} bytes are more than ${BUDGET}`)
})

test('a dependency would be found', async () => {
  const { inputs } = await bundle(`import { WebSocket } from 'ws'\nconsole.log(WebSocket)`)
  assert.ok(inputs.some((input) => input.includes('node_modules/ws/')))
})

test('node: would be found', async () => {
  await assert.rejects(bundle(`import 'node:http'`), /node:http/)
})
