// Shared by the scripts in this folder. Node built-ins only: it runs before anything is installed.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('..', import.meta.url))

/** Path inside the repository. */
export const at = (...parts) => join(root, ...parts)

/** Runs a command with our own output; returns its exit status. */
export function run(command, args, options = {}) {
  const done = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options })
  if (done.error) console.error(`${command}: ${done.error.message}`)
  return done.status ?? 1
}

/** Runs a command and returns `{ ok, output }`. */
export function capture(command, args, options = {}) {
  const done = spawnSync(command, args, { cwd: root, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024, ...options })
  const output = `${done.stdout ?? ''}${done.stderr ?? ''}${done.error ? `${command}: ${done.error.message}\n` : ''}`
  return { ok: done.status === 0, output }
}

/** Runs a command; ends this process with its status when it fails. */
export function must(command, args, options) {
  const status = run(command, args, options)
  if (status !== 0) process.exit(status)
}

/** Path of a command that npm installed. */
export const bin = (name) => at('node_modules', '.bin', name)

/** All files below a folder, as paths relative to the repository. */
export function filesIn(folder, matches = () => true) {
  if (!existsSync(at(folder))) return []
  return readdirSync(at(folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && matches(entry.name))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(root.length))
    .toSorted()
}

/** When a file last changed, in ms; 0 where there is none. */
export const changed = (path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0
