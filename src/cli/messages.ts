import type { RawData } from 'ws'
import { visible } from './output.ts'

const MAX_HEX = 64

/** One message as one line: text with its control characters escaped, bytes in hexadecimal. */
export function messageLine(data: RawData, isBinary: boolean): string {
  const bytes = toBuffer(data)
  if (!isBinary) return visible(bytes.toString())
  const more = bytes.length > MAX_HEX ? ' ...' : ''
  return `(binary, ${bytes.length} bytes) ${bytes.subarray(0, MAX_HEX).toString('hex')}${more}`
}

function toBuffer(data: RawData): Buffer {
  if (Array.isArray(data)) return Buffer.concat(data)
  return Buffer.isBuffer(data) ? data : Buffer.from(data)
}

/** How a connection ended, as one line. */
export function closeLine(code: number, reason: Buffer): string {
  if (code === 1006) return 'The connection was lost.'
  const text = visible(reason.toString())
  return `Closed by the server: ${code === 1005 ? 'no code' : code}${text === '' ? '' : ` ${text}`}`
}
