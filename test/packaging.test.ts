import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

/** A project of somebody who installed the package. */
const consumer = mkdtempSync(join(tmpdir(), 'gate101-consumer-'))
after(() => rmSync(consumer, { recursive: true, force: true }))

const installed = join(consumer, 'node_modules', 'gate101')

/** What came with it, before the consumer installed anything else. */
let came: string[] = []

const { exports, peerDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const entries = Object.keys(exports)
  .filter((name) => name !== './package.json')
  .map((name) => name.replace(/^\./, 'gate101'))

function run(command: string, args: readonly string[], cwd = consumer) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, encoding: 'utf8' })
  return { status, stdout, stderr: `${stderr}${error?.message ?? ''}` }
}

function mustRun(command: string, args: readonly string[], cwd?: string): string {
  const { status, stdout, stderr } = run(command, args, cwd)
  assert.equal(status, 0, `${command} ${args.join(' ')}\n${stdout}\n${stderr}`)
  return stdout
}

before(() => {
  const quiet = ['--loglevel=error', '--no-audit', '--no-fund', '--ignore-scripts']
  const packed = mustRun('npm', ['pack', ...quiet, '--pack-destination', consumer], root)
  const tarball = join(consumer, packed.trim().split('\n').at(-1) ?? '')
  writeFileSync(join(consumer, 'package.json'), '{ "name": "consumer", "private": true, "type": "module" }')
  mustRun('npm', ['install', ...quiet, '--prefer-offline', tarball])
  came = readdirSync(join(consumer, 'node_modules')).filter((name) => !name.startsWith('.'))
  // Optional ones: who uses the entry that is about one has installed it.
  const peers = Object.entries(peerDependencies).map(([name, range]) => `${name}@${String(range)}`)
  mustRun('npm', ['install', ...quiet, '--prefer-offline', ...peers])
})

test('the package holds what it needs, and nothing else', () => {
  const files = readdirSync(installed).filter((name) => name !== 'node_modules')
  assert.deepEqual(files.toSorted(), ['LICENSE', 'README.md', 'dist', 'package.json', 'src'])
  const dist = readdirSync(join(installed, 'dist'), { recursive: true, encoding: 'utf8' })
  const strange = dist.filter(
    (path) => /\.[a-z]+$/.test(path) && !/\.(js|d\.ts|js\.map|d\.ts\.map|html|css)$/.test(path),
  )
  assert.deepEqual(strange, [])
})

test('nobody gets a framework with it', () => {
  assert.deepEqual(came.toSorted(), ['@types', 'gate101', 'jose', 'undici-types', 'ws'])
})

for (const entry of entries) {
  test(`${entry} loads by import and by require(), with the same names`, () => {
    const program = `
      import { createRequire } from 'node:module'
      const imported = await import('${entry}')
      const required = createRequire(import.meta.url)('${entry}')
      const names = (module) => Object.keys(module).filter((name) => name !== '__esModule').sort().join()
      if (names(imported) !== names(required)) throw new Error(names(imported) + ' is not ' + names(required))
      console.log(names(imported))
    `
    const { status, stdout, stderr } = run(process.execPath, ['--input-type=module', '--eval', program])
    assert.deepEqual([status, stderr], [0, ''])
    assert.notEqual(stdout.trim(), '')
  })
}

const CONSUMER = `
import { createServer, type IncomingMessage } from 'node:http'
import { createGate, Gate101Error, type Gate, type Identity, type WebSocketHandler } from 'gate101'
import { apiKey, basic, bearer, jwt } from 'gate101/schemes'
${entries.map((entry, index) => `import * as entry${index} from '${entry}'`).join('\n')}

interface Claims {
  readonly role: 'admin' | 'user'
}
interface AppRequest extends IncomingMessage {
  user?: { id: string; role: Claims['role'] }
}

const gate: Gate<AppRequest, Claims> = createGate({
  identify: (req: AppRequest) => (req.user ? { subject: req.user.id, claims: { role: req.user.role } } : null),
  origins: ['https://app.example.com'],
})

export const handler: WebSocketHandler<AppRequest, Claims> = (socket, req, connection) => {
  const identity: Identity<Claims> = connection.identity
  const role: Claims['role'] | undefined = identity.claims?.role
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }))
  // @ts-expect-error - the socket is typed as that of ws, not as any
  socket.noSuchMethod()
  // @ts-expect-error - so is the request
  req.noSuchProperty
  return role
}

export const route: (req: AppRequest, res: import('node:http').ServerResponse) => void = gate.websocket(handler)
export const detach: () => void = gate.attach(createServer(), { paths: ['/live'] })

// @ts-expect-error - no such option
export const wrong = () => createGate({ identify: () => null, noSuchOption: true })
export const isOurs = (error: unknown): boolean => error instanceof Gate101Error
export const schemes = [apiKey, basic, bearer, jwt, ${entries.map((_, index) => `entry${index}`).join(', ')}]
`

for (const [module, moduleResolution] of [
  ['NodeNext', 'NodeNext'],
  ['ESNext', 'Bundler'],
] as const) {
  test(`the types hold for a strict consumer with moduleResolution ${moduleResolution}`, () => {
    writeFileSync(join(consumer, 'consumer.ts'), CONSUMER)
    const compilerOptions = {
      module,
      moduleResolution,
      target: 'ES2023',
      strict: true,
      exactOptionalPropertyTypes: true,
      skipLibCheck: false,
      noEmit: true,
    }
    writeFileSync(join(consumer, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['consumer.ts'] }))
    mustRun(join(root, 'node_modules', '.bin', 'tsc'), ['-p', consumer])
  })
}

test('the command runs, and says what the demo needs', () => {
  const command = join(consumer, 'node_modules', '.bin', 'gate101')
  assert.match(mustRun(process.execPath, [command, '--help']), /\bdial\b[\s\S]*\bdemo\b|\bdemo\b[\s\S]*\bdial\b/)
  const { status, stderr } = run(process.execPath, [command, 'demo'])
  assert.equal(status, 1)
  assert.match(stderr, /npx -p gate101 -p express -p express-session gate101 demo/)
})
