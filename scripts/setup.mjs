// Makes a fresh clone ready: npm packages, dist/, and with `--tests` the Debian packages of the interoperability tests.
// Quick when there is nothing to do. Node built-ins only.
//
// How the demo runs. `npm start` runs examples/demo.ts itself, through tsx, so that an edit of the file is an edit of the
// demo. An installed package has neither tsx nor Express (Express is no dependency of gate101), so build.mjs also compiles
// examples/demo.ts (and copies any other examples/demo.*) to dist/demo/. `gate101 demo` imports dist/demo/demo.js; when
// Node answers ERR_MODULE_NOT_FOUND for express or express-session, it says how to add them:
//   npx -p gate101 -p express -p express-session gate101 demo
// examples/demo.ts therefore imports gate101 by its public names ('gate101', 'gate101/schemes'), and nothing but
// express, express-session and Node built-ins beside it.
import { existsSync } from 'node:fs'
import { at, capture, changed, must, run } from './lib.mjs'

const DEBIAN = [
  'golang-go',
  'golang-github-gorilla-websocket-dev',
  'python3-websockets',
  'curl',
  'openssl',
  'chromium',
  'redis-server',
  'nats-server',
  'postgresql',
]

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  if (major > 20 || (major === 20 && minor >= 19)) return
  console.error(`gate101 needs Node 20.19 or newer; this is ${process.version}.`)
  process.exit(1)
}

function installPackages() {
  const installed = changed(at('node_modules', '.package-lock.json'))
  if (installed !== 0 && installed >= changed(at('package-lock.json'))) return
  console.log('setup: npm ci')
  must('npm', ['ci', '--no-audit', '--no-fund'], { shell: process.platform === 'win32' })
}

const isInstalled = (name) => capture('dpkg-query', ['-W', '-f', '${Status}', name]).output.endsWith(' installed')

/** Never fails: without them the tests that need them say what they skip. */
function installDebianPackages() {
  if (!existsSync('/usr/bin/apt-get')) return say('this is no Debian', DEBIAN)
  const missing = DEBIAN.filter((name) => !isInstalled(name))
  if (missing.length === 0) return
  if (process.getuid?.() !== 0) return say('not root', missing)
  console.log(`setup: apt-get install ${missing.join(' ')}`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const limits = { env, timeout: 240_000, stdio: ['ignore', 'ignore', 'inherit'] }
  run('apt-get', ['update', '-qq'], limits)
  run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...missing], limits)
  const still = missing.filter((name) => !isInstalled(name))
  if (still.length > 0) say('apt-get failed', still)
}

function say(why, missing) {
  console.warn(`
  ! Debian packages not installed (${why}): ${missing.join(' ')}
  ! Tests that need a program which is not there are skipped, and say so.
`)
}

checkNode()
installPackages()
must(process.execPath, [at('scripts', 'build.mjs'), '--if-needed'])
if (process.argv.includes('--tests')) installDebianPackages()
