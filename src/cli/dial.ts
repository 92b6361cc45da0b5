import { dial, DialError } from '../client.ts'
import { readDialArguments, type DialArguments } from './arguments.ts'
import { converse } from './converse.ts'
import { EXIT, UsageError } from './exit.ts'
import { outputOn } from './output.ts'
import { explain } from './refusal.ts'
import { sendOnce } from './send-once.ts'

/** `gate101 dial URL`. Messages go to standard output, everything else to standard error. */
export async function runDial(args: readonly string[]): Promise<number> {
  const given = readDialArguments(args)
  const interrupt = new AbortController()
  const onInterrupt = (): void => interrupt.abort()
  process.once('SIGINT', onInterrupt)
  try {
    return await open(given, interrupt.signal)
  } catch (error) {
    if (error instanceof DialError) return report(error)
    throw error
  } finally {
    process.off('SIGINT', onInterrupt)
  }
}

async function open({ url, headers, protocols, send, timeout }: DialArguments, signal: AbortSignal): Promise<number> {
  // Who types a URL and a header means them; nothing here is to come back by itself.
  const options = { dangerouslyAllowPlaintext: true, reconnect: false } as const
  const socket = await dial(url, { headers, protocols, timeout, signal, ...options })
  if (send !== undefined) return await sendOnce(socket, send, timeout, signal)
  return await converse(socket, signal)
}

function report(error: DialError): number {
  if (error.code === 'bad_request') throw new UsageError(error.message)
  const output = outputOn(process.stderr)
  if (error.code === 'aborted') return EXIT.interrupted
  if (error.code === 'refused') {
    for (const line of explain(error, output)) output.line(line)
    return EXIT.refused
  }
  output.line(`${output.style('red', 'gate101:')} ${error.message}`)
  return EXIT.unreachable
}
