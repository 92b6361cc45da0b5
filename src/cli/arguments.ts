import { parseArgs } from 'node:util'
import { UsageError } from './exit.ts'

/** `gate101 dial`, as it was written. */
export interface DialArguments {
  readonly url: string
  readonly headers: Readonly<Record<string, string | string[]>>
  readonly protocols: readonly string[]
  readonly send: string | undefined
  /** In milliseconds. */
  readonly timeout: number
}

const MAX_SECONDS = 86_400

/** @throws UsageError */
export function readDialArguments(args: readonly string[]): DialArguments {
  const { values, positionals } = parse(args)
  const [url] = positionals
  if (url === undefined) throw new UsageError('gate101 dial needs a URL, such as ws://localhost:8080/ws.')
  if (positionals.length > 1) throw new UsageError("gate101 dial takes one URL. Quote header values: -H 'Name: value'.")
  const seconds = Number(values.timeout)
  if (!(seconds > 0 && seconds <= MAX_SECONDS))
    throw new UsageError(`--timeout is a number of seconds, up to ${MAX_SECONDS}.`)
  return {
    url,
    headers: readHeaders(values.header),
    protocols: values.protocol,
    send: values.send,
    timeout: Math.ceil(seconds * 1000),
  }
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        header: { type: 'string', short: 'H', multiple: true, default: [] },
        protocol: { type: 'string', short: 'p', multiple: true, default: [] },
        send: { type: 'string' },
        timeout: { type: 'string', default: '10' },
      },
    })
  } catch (error) {
    // Node repeats the argument, which may be a header value that lost its quotes.
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'ERR_PARSE_ARGS_INVALID_OPTION_VALUE') {
      throw new UsageError('An option lacks its value. A value that begins with - is written --send=-1.')
    }
    throw new UsageError('gate101 dial has no such option.')
  }
}

/** As lists where a name was given more than once, in whatever spelling. */
function readHeaders(lines: readonly string[]): Record<string, string | string[]> {
  const fields = new Map<string, { readonly name: string; readonly values: string[] }>()
  for (const line of lines) {
    const [, name = '', value = ''] = /^([^:\s]+):(.*)$/s.exec(line) ?? []
    if (name === '') throw new UsageError("A header is written 'Name: value'.")
    const field = fields.get(name.toLowerCase()) ?? { name, values: [] }
    field.values.push(value.trim())
    fields.set(name.toLowerCase(), field)
  }
  return Object.fromEntries(
    [...fields.values()].map(({ name, values }) => [name, values.length === 1 ? (values[0] ?? '') : values]),
  )
}
