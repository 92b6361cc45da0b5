import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const SRC = fileURLToPath(new URL('../../src', import.meta.url))

/** What the explorer runs: the real code, or a copy of it that lacks one safeguard. */
export interface Code {
  readonly index: typeof import('../../src/index.ts')
  readonly state: typeof import('../../src/gate/state.ts')
  readonly life: typeof import('../../src/gate/life.ts')
  readonly revoked: typeof import('../../src/gate/revoked.ts')
  readonly connection: typeof import('../../src/connections/connection.ts')
  readonly identity: typeof import('../../src/core/identity.ts')
  readonly end: typeof import('../../src/core/end.ts')
}

/** A line of a safeguard, and the one that is there without it. */
export interface Change {
  readonly file: string
  readonly line: string
  readonly instead: string
}

async function load(src: string): Promise<Code> {
  const from = async <Module>(path: string): Promise<Module> =>
    (await import(pathToFileURL(join(src, path)).href)) as Module
  return {
    index: await from('index.ts'),
    state: await from('gate/state.ts'),
    life: await from('gate/life.ts'),
    revoked: await from('gate/revoked.ts'),
    connection: await from('connections/connection.ts'),
    identity: await from('core/identity.ts'),
    end: await from('core/end.ts'),
  }
}

export async function realCode(): Promise<Code> {
  return await load(SRC)
}

/** The code without a safeguard. @returns what takes the copy away, too. */
export async function codeWithout(changes: readonly Change[]): Promise<{ code: Code; remove: () => void }> {
  const home = mkdtempSync(join(tmpdir(), 'gate101-explorer-'))
  const remove = (): void => rmSync(home, { recursive: true, force: true })
  try {
    cpSync(SRC, join(home, 'src'), { recursive: true })
    writeFileSync(join(home, 'package.json'), '{ "type": "module" }')
    symlinkSync(join(SRC, '..', 'node_modules'), join(home, 'node_modules'))
    for (const { file, line, instead } of changes) {
      const path = join(home, 'src', file)
      const parts = readFileSync(path, 'utf8').split(line)
      if (parts.length !== 2) throw new Error(`${file} does not hold once: ${line}`)
      writeFileSync(path, parts.join(instead))
    }
    return { code: await load(join(home, 'src')), remove }
  } catch (error) {
    remove()
    throw error
  }
}
