import type { HeaderPairs } from '../core/decision.ts'

/** Status line and header fields of the app's answer, as its `ServerResponse` wrote them. */
export interface Head {
  readonly status: number
  readonly reason: string
  readonly headers: HeaderPairs
}

/** Where the blank line behind the head ends, or -1. */
export function endOfHead(bytes: Buffer): number {
  const at = bytes.indexOf('\r\n\r\n', 0, 'latin1')
  return at < 0 ? -1 : at + 4
}

/**
 * Reads one head that Node's own `ServerResponse` has serialized (and so already validated).
 *
 * @returns undefined when the text is not an HTTP/1.1 head: an app that wrote to the socket past its response.
 */
export function parseHead(text: string): Head | undefined {
  const lines = text.split('\r\n')
  const status = /^HTTP\/1\.1 (\d{3}) ?(.*)$/.exec(lines[0] ?? '')
  if (status === null) return undefined
  const headers: Array<readonly [string, string]> = []
  for (let n = 1; n < lines.length - 2; n++) {
    const line = lines[n] ?? ''
    const colon = line.indexOf(':')
    if (colon <= 0) return undefined
    headers.push([line.slice(0, colon), line.slice(colon + 1).trim()])
  }
  return { status: Number(status[1]), reason: status[2] ?? '', headers }
}

/** An interim answer (RFC 9110 section 15.2): not the verdict. 101 is none: it ends the exchange in HTTP. */
export function isInterim(head: Head): boolean {
  return head.status >= 100 && head.status < 200 && head.status !== 101
}
