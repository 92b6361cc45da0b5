import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { findGo, findPython, type Program } from '../support/debian.ts'

/** What a program has written, and how it ended. */
export interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs a program to its end without blocking this process, which is the server. */
export function run(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Ran> {
  const child = spawn(command, args, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 400_000,
  })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk))
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, stdout, stderr }))
  })
}

/** Dials a URL with one client: with the key, or without one. */
export interface Dialler {
  readonly found: Program
  dial(url: string, key?: string, text?: string): Promise<Ran>
  close(): Promise<void>
}

const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

/** The Go program beside this file, built on first use. */
export function goDialler(): Dialler {
  const found = findGo()
  let built: Promise<{ folder: string; path: string }> | undefined
  const build = async (): Promise<{ folder: string; path: string }> => {
    if ('missing' in found) throw new Error(found.missing)
    const folder = await mkdtemp(join(tmpdir(), 'gate101-go-'))
    const path = join(folder, 'dial')
    const made = await run(found.path, ['build', '-o', path, source('go/main.go')], { ...found.env, CGO_ENABLED: '0' })
    if (made.code !== 0) throw new Error(`go build failed\n${made.stderr}`)
    return { folder, path }
  }
  return {
    found,
    async dial(url, key = '', text = 'hello') {
      built ??= build()
      return await run((await built).path, ['-key', key, '-text', text, url])
    },
    async close() {
      const done = await built?.catch(() => undefined)
      if (done !== undefined) await rm(done.folder, { recursive: true, force: true })
    },
  }
}

export function pythonDialler(): Dialler {
  const found = findPython()
  return {
    found,
    async dial(url, key = '', text = 'hello') {
      if ('missing' in found) throw new Error(found.missing)
      return await run(found.path, [source('python/dial.py'), url, key, text], found.env)
    },
    close: () => Promise.resolve(),
  }
}
