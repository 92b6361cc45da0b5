import { parseArgs } from 'node:util'
import { EXIT, UsageError } from './exit.ts'
import { outputOn } from './output.ts'

/** Where the build puts the demo, seen from dist/cli/. */
const DEMO = new URL('../demo/demo.js', import.meta.url)

/** `gate101 demo`: returns once the demo listens; its servers keep the process. */
export async function runDemo(args: readonly string[]): Promise<number> {
  try {
    parseArgs({ args: [...args], options: {} })
  } catch {
    throw new UsageError('gate101 demo takes no arguments. The environment variable PORT changes its port.')
  }
  try {
    await import(DEMO.href)
    return EXIT.ok
  } catch (error) {
    const advice = adviceFor(error)
    if (advice === undefined) throw error
    const output = outputOn(process.stderr)
    for (const line of advice) output.line(line)
    return EXIT.refused
  }
}

function adviceFor(error: unknown): readonly string[] | undefined {
  if (!(error instanceof Error) || !('code' in error) || error.code !== 'ERR_MODULE_NOT_FOUND') return undefined
  if (/'express(-session)?'/.test(error.message)) {
    return [
      'The demo needs Express, which gate101 itself does not:',
      '  npx -p gate101 -p express -p express-session gate101 demo',
    ]
  }
  return 'url' in error && error.url === DEMO.href
    ? ['The demo is not built here. In a clone, run: npm start']
    : undefined
}
