/** An HTTP/1.1 response as its bytes came, parsed by nothing but this file. */
export interface ParsedResponse {
  readonly status: number
  readonly reason: string
  /** In the order and spelling in which they came. */
  readonly headers: ReadonlyArray<readonly [name: string, value: string]>
  /** With chunked coding taken off. Empty on a 101. */
  readonly body: Buffer
  /** What came after the response: on a 101, the first frames. */
  readonly rest: Buffer
  /** Statuses of 1xx responses before this one. */
  readonly interim: readonly number[]
}

interface Head {
  readonly status: number
  readonly reason: string
  readonly headers: Array<readonly [string, string]>
  readonly after: Buffer
}

function parseHead(bytes: Buffer): Head | undefined {
  const end = bytes.indexOf('\r\n\r\n')
  if (end === -1) return undefined
  const [first = '', ...lines] = bytes.subarray(0, end).toString('latin1').split('\r\n')
  const match = /^HTTP\/1\.[01] (\d{3}) ?(.*)$/.exec(first)
  if (match === null) throw new Error(`Not an HTTP response: ${JSON.stringify(first.slice(0, 80))}`)
  const headers = lines.map((line): readonly [string, string] => {
    const colon = line.indexOf(':')
    if (colon < 1) throw new Error(`Not a header line: ${JSON.stringify(line)}`)
    return [line.slice(0, colon), line.slice(colon + 1).trim()]
  })
  return { status: Number(match[1]), reason: match[2] ?? '', headers, after: bytes.subarray(end + 4) }
}

export function valuesOf(headers: ParsedResponse['headers'], name: string): string[] {
  const wanted = name.toLowerCase()
  return headers.filter(([field]) => field.toLowerCase() === wanted).map(([, value]) => value)
}

function unchunk(bytes: Buffer): { body: Buffer; rest: Buffer } | undefined {
  const chunks: Buffer[] = []
  let left = bytes
  for (;;) {
    const end = left.indexOf('\r\n')
    if (end === -1) return undefined
    const size = Number.parseInt(left.subarray(0, end).toString('latin1'), 16)
    if (Number.isNaN(size)) throw new Error('Not a chunk size.')
    const after = end + 2 + size + 2
    if (left.length < after) return undefined
    chunks.push(left.subarray(end + 2, end + 2 + size))
    left = left.subarray(after)
    if (size === 0) return { body: Buffer.concat(chunks), rest: left }
  }
}

const NO_BODY = new Set([101, 204, 304])

function bodyOf(head: Head, ended: boolean): { body: Buffer; rest: Buffer } | undefined {
  const { after } = head
  if (NO_BODY.has(head.status)) return { body: Buffer.alloc(0), rest: after }
  if (valuesOf(head.headers, 'transfer-encoding').includes('chunked')) return unchunk(after)
  const [length] = valuesOf(head.headers, 'content-length')
  if (length === undefined) return ended ? { body: after, rest: Buffer.alloc(0) } : undefined
  const size = Number(length)
  return after.length < size ? undefined : { body: after.subarray(0, size), rest: after.subarray(size) }
}

/**
 * The response in these bytes, or `undefined` while it is incomplete.
 *
 * @param ended - whether the server has ended its side, which also ends a body without a length.
 */
export function parseResponse(bytes: Buffer, ended: boolean): ParsedResponse | undefined {
  const interim: number[] = []
  let head = parseHead(bytes)
  while (head !== undefined && head.status < 200 && head.status !== 101) {
    interim.push(head.status)
    head = parseHead(head.after)
  }
  const content = head === undefined ? undefined : bodyOf(head, ended)
  if (head === undefined || content === undefined) return undefined
  return { status: head.status, reason: head.reason, headers: head.headers, ...content, interim }
}
