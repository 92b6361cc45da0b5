import { once } from 'node:events'
import { UsageError } from './exit.ts'

const MAX_SECRET = 64 * 1024

/**
 * One line of standard input. At a terminal it is asked for and not shown.
 *
 * @returns undefined when the person gave up.
 * @throws UsageError when there is more than one line.
 */
export async function readSecret(what: string): Promise<string | undefined> {
  const { stdin } = process
  if (!stdin.isTTY) return await readPiped(stdin)
  process.stderr.write(`${what} (not shown): `)
  stdin.setRawMode(true)
  try {
    return await readKeys(stdin)
  } finally {
    stdin.setRawMode(false)
    stdin.pause()
    process.stderr.write('\n')
  }
}

async function readPiped(stdin: NodeJS.ReadStream): Promise<string> {
  let text = ''
  stdin.setEncoding('utf8')
  for await (const chunk of stdin) {
    text += String(chunk)
    if (text.length > MAX_SECRET) throw new UsageError('Standard input is too long for one key or password.')
  }
  const line = text.replace(/\r?\n$/, '')
  if (/[\r\n]/.test(line)) throw new UsageError('Standard input must hold one line: the key or password.')
  return line
}

async function readKeys(stdin: NodeJS.ReadStream): Promise<string | undefined> {
  stdin.setEncoding('utf8')
  let secret = ''
  for (;;) {
    const [chunk]: unknown[] = await once(stdin, 'data')
    for (const key of String(chunk)) {
      if (key === '\r' || key === '\n') return secret
      if (key === '\u0003' || key === '\u0004') return undefined
      secret = key === '\u007f' || key === '\b' ? Array.from(secret).slice(0, -1).join('') : secret + key
    }
  }
}
