import { STATUS_CODES } from 'node:http'
import type { DialError } from '../client.ts'
import { visible, type Output } from './output.ts'

const MAX_LINES = 20
const MAX_LINE = 500
const SHOWN_HEADERS = ['www-authenticate', 'location', 'retry-after', 'allow']

/** A refusal for a person: the status, then the advice, or what the server wrote in its place. */
export function explain(error: DialError, output: Output): string[] {
  const status = error.status ?? 0
  const first = output.style(['red', 'bold'], `HTTP ${status} ${STATUS_CODES[status] ?? ''}`.trimEnd())
  return [
    first,
    ...headerLines(error, output),
    ...(error.advice === undefined ? bodyLines(error.body ?? '') : adviceLines(error, output)),
  ]
}

function adviceLines({ advice }: DialError, output: Output): string[] {
  if (advice === undefined) return []
  const row = (name: string, text: string): string => `  ${output.style('dim', name.padEnd(8))} ${short(text)}`
  return [row('error', advice.error), row('message', advice.message), row('fix', advice.fix)]
}

function headerLines({ headers }: DialError, output: Output): string[] {
  return SHOWN_HEADERS.flatMap((name) => {
    const value = headers?.[name]
    return typeof value === 'string' ? [`  ${output.style('dim', `${name}:`)} ${short(value)}`] : []
  })
}

function bodyLines(body: string): string[] {
  const lines = body.split(/\r?\n/).filter((line) => line.trim() !== '')
  const shown = lines.slice(0, MAX_LINES).map((line) => `  ${short(line)}`)
  return lines.length > MAX_LINES ? [...shown, `  ... ${lines.length - MAX_LINES} more lines`] : shown
}

function short(text: string): string {
  const line = visible(text.length > MAX_LINE ? text.slice(0, MAX_LINE) : text)
  return text.length > MAX_LINE ? `${line} ...` : line
}
