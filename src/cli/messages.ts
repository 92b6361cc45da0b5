import { visible } from './output.ts'

const MAX_HEX = 64

export const BROKEN = 'The server broke the WebSocket protocol.'

/** One message as one line: text with its control characters escaped, bytes in hexadecimal. */
export function messageLine(data: unknown): string {
  if (typeof data === 'string') return visible(data)
  const bytes = data instanceof Uint8Array ? Buffer.from(data) : Buffer.alloc(0)
  const more = bytes.length > MAX_HEX ? ' ...' : ''
  return `(binary, ${bytes.length} bytes) ${bytes.subarray(0, MAX_HEX).toString('hex')}${more}`
}

/** How a connection ended, as one line. */
export function closeLine(code: number, reason: string): string {
  if (code === 1006) return 'The connection was lost.'
  const text = visible(reason)
  return `Closed by the server: ${code === 1005 ? 'no code' : code}${text === '' ? '' : ` ${text}`}`
}
