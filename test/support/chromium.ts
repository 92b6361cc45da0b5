import { existsSync } from 'node:fs'
import { chromium, type Browser } from 'playwright-core'
import type { Program } from './debian.ts'

const PATH = '/usr/bin/chromium'

/** Debian's own browser: the one that playwright would download is not needed. */
export function findChromium(): Program {
  if (!existsSync(PATH)) return { missing: 'no Chromium here (Debian package: chromium)' }
  return { path: PATH, version: '', env: {} }
}

/** A browser that speaks to nobody but the servers of the test. */
export async function launchChromium(args: readonly string[] = []): Promise<Browser> {
  return await chromium.launch({
    executablePath: PATH,
    timeout: 180_000,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      ...args,
    ],
  })
}
