import { readFile } from 'node:fs/promises'
import { runDemo } from './demo.ts'
import { runDial } from './dial.ts'
import { EXIT, UsageError } from './exit.ts'
import { runHash } from './hash.ts'
import { outputOn, visible } from './output.ts'

const HELP = `Usage: gate101 <command>

  gate101 dial URL [options]     open a WebSocket; a refusal is explained
      -H, --header 'Name: value'   send this header with the handshake (may be repeated)
      -p, --protocol NAME          offer this subprotocol (may be repeated)
      --send TEXT                  send this, print the first message that comes back, close;
                                   without it, lines of standard input are sent and messages printed
      --timeout SECONDS            how long to wait for the connection, and for that message (default 10)

  gate101 demo                   run the demo on http://localhost:8080 (PORT changes it)

  gate101 hash [--password]      read an API key (or a password) from standard input and print the
                                 text that gate101/schemes takes in its place

  gate101 --help | --version

Exit codes: 0 done, 1 refused or ended by the server, 2 no answer, 64 wrong arguments.
`

type Command = (args: readonly string[]) => Promise<number>

const COMMANDS: ReadonlyMap<string, Command> = new Map([
  ['dial', runDial],
  ['demo', runDemo],
  ['hash', runHash],
])

/**
 * Runs one command line.
 *
 * @param args - without the program itself.
 * @returns the exit code.
 */
export async function main(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args
  if (name === '--version' || name === '-v') return await printVersion()
  if (name === '--help' || name === '-h' || name === 'help' || rest.includes('--help')) return print(HELP)
  try {
    if (name === undefined) throw new UsageError('Which command?')
    const command = COMMANDS.get(name)
    if (command === undefined) throw new UsageError(`There is no command "${visible(name)}".`)
    return await command(rest)
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    const output = outputOn(process.stderr)
    output.line(`${output.style('red', 'gate101:')} ${error.message}`)
    output.line(`The commands are: ${[...COMMANDS.keys()].join(', ')}. gate101 --help says more.`)
    return EXIT.usage
  }
}

function print(text: string): number {
  process.stdout.write(text)
  return EXIT.ok
}

async function printVersion(): Promise<number> {
  const manifest: unknown = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'))
  const isNamed = typeof manifest === 'object' && manifest !== null && 'version' in manifest
  return print(`${isNamed ? String(manifest.version) : 'unknown'}\n`)
}
