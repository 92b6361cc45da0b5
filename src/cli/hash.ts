import { parseArgs } from 'node:util'
import { Gate101Error } from '../core/errors.ts'
import { hashApiKey, hashPassword } from '../schemes.ts'
import { EXIT, UsageError } from './exit.ts'
import { outputOn } from './output.ts'
import { readSecret } from './secret.ts'

/** `gate101 hash`: the secret comes from standard input, since other users see the arguments of a process. */
export async function runHash(args: readonly string[]): Promise<number> {
  const isPassword = readArguments(args)
  const secret = await readSecret(isPassword ? 'Password' : 'API key')
  if (secret === undefined) return EXIT.interrupted
  try {
    outputOn(process.stdout).line(isPassword ? await hashPassword(secret) : hashApiKey(secret))
    return EXIT.ok
  } catch (error) {
    if (!(error instanceof Gate101Error)) throw error
    const output = outputOn(process.stderr)
    output.line(`${output.style('red', 'gate101:')} ${error.message}`)
    return EXIT.refused
  }
}

function readArguments(args: readonly string[]): boolean {
  try {
    return parseArgs({ args: [...args], options: { password: { type: 'boolean', default: false } } }).values.password
  } catch {
    throw new UsageError(
      'gate101 hash reads from standard input and takes nothing but --password: arguments are seen by others.',
    )
  }
}
