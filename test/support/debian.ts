import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'

/** A program that a test needs and that npm cannot install. */
export type Program =
  | {
      readonly path: string
      readonly version: string
      /** What the program needs in its environment, beside what we have. */
      readonly env: Readonly<Record<string, string>>
    }
  | { readonly missing: string }

/** Debian's place for the sources of Go packages. */
const GOPATH = '/usr/share/gocode'

function run(command: string, args: readonly string[]): string | undefined {
  const done = spawnSync(command, args, { encoding: 'utf8', timeout: 120_000 })
  return done.status === 0 ? `${done.stdout}${done.stderr}`.trim() : undefined
}

function program(name: string, args: readonly string[], debian: string): Program {
  const version = run(name, args)
  if (version === undefined) return { missing: `no ${name} here (Debian package: ${debian})` }
  return { path: name, version: version.split('\n')[0] ?? '', env: {} }
}

export const findCurl = (): Program => program('curl', ['--version'], 'curl')

export const findOpenssl = (): Program => program('openssl', ['version'], 'openssl')

/** Go with gorilla/websocket as Debian installs it, without modules and without network. */
export function findGo(): Program {
  const go = program('go', ['version'], 'golang-go')
  if ('missing' in go) return go
  if (!existsSync(`${GOPATH}/src/github.com/gorilla/websocket`)) {
    return { missing: 'no gorilla/websocket here (Debian package: golang-github-gorilla-websocket-dev)' }
  }
  return { ...go, env: { GO111MODULE: 'off', GOPATH, GOFLAGS: '' } }
}

/** A Python 3 that can import `websockets`. The first one in PATH may be another than Debian's own. */
export function findPython(): Program {
  for (const path of ['python3', '/usr/bin/python3']) {
    const version = run(path, ['-c', 'import websockets, sys; print("Python", sys.version.split()[0])'])
    if (version !== undefined) return { path, version, env: {} }
  }
  return { missing: 'no Python with the module websockets here (Debian package: python3-websockets)' }
}

/**
 * For the option `skip` of a test: says loudly that it is skipped, and why.
 *
 * @example
 * ```ts
 * const go = findGo()
 * test('a Go client is let in', { skip: skipWithout(go) }, () => {})
 * ```
 */
export function skipWithout(found: Program): string | false {
  if (!('missing' in found)) return false
  console.warn(`SKIPPED: ${found.missing}`)
  return found.missing
}
