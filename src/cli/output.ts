import { styleText } from 'node:util'

type Style = Parameters<typeof styleText>[0]

/** Where text goes, with colour where a person looks at it. */
export interface Output {
  line(text?: string): void
  style(style: Style, text: string): string
}

/** Colours need a terminal, and no `NO_COLOR` (https://no-color.org); `FORCE_COLOR` stands in for the terminal. */
function hasColour(stream: NodeJS.WriteStream, env: NodeJS.ProcessEnv): boolean {
  const { NO_COLOR: no = '', FORCE_COLOR: force = '', TERM: term } = env
  if (no !== '' || term === 'dumb') return false
  return stream.isTTY || (force !== '' && force !== '0')
}

export function outputOn(stream: NodeJS.WriteStream, env: NodeJS.ProcessEnv = process.env): Output {
  const colour = hasColour(stream, env)
  return {
    line: (text = '') => void stream.write(`${text}\n`),
    style: (style, text) => (colour ? styleText(style, text, { validateStream: false }) : text),
  }
}

// Control characters move the cursor and rewrite lines, formats turn the direction of text, separators break lines. The
// two joiners only shape letters and emoji.
const UNSAFE = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu
const NAMED: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }

/** Text from a server as one line that a terminal only shows: control characters become `\x1b`, `\u{202e}`, `\n`. */
export function visible(text: string): string {
  return text.replace(UNSAFE, (character) => {
    const code = character.codePointAt(0) ?? 0
    const hex = code.toString(16)
    return NAMED[character] ?? (code < 256 ? `\\x${hex.padStart(2, '0')}` : `\\u{${hex}}`)
  })
}
