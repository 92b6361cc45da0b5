import { once } from 'node:events'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls, type ConnectionOptions } from 'node:tls'
import { readFrames, type Frame } from './frames.ts'
import { parseResponse, valuesOf, type ParsedResponse } from './response.ts'

export interface RawTarget {
  readonly port: number
  /** @defaultValue 127.0.0.1 */
  readonly host?: string | undefined
  /** TLS; by default with no check of the server's certificate. */
  readonly tls?: boolean | ConnectionOptions | undefined
}

/** How the server's side of a connection ended: with FIN, with RST, or not (yet). */
export type Ending = 'end' | 'reset' | 'open'

/** How long a raw connection waits for what never comes, in ms. It only ever ends a test that fails. */
const PATIENCE = 30_000

/** A socket on which a test writes any bytes it likes and reads what came back. */
export interface RawConnection extends AsyncDisposable {
  readonly socket: Socket
  send(bytes: string | Uint8Array): void
  /** Everything that came so far. */
  received(): Buffer
  /** How the server's side ended so far. */
  ending(): Ending
  /** Waits until `found` returns something for what came so far. Rejects when the server ends first, or never sends it. */
  until<Found>(found: (bytes: Buffer, ended: boolean) => Found | undefined, what?: string): Promise<Found>
  /** Waits for the first whole response. */
  response(): Promise<ParsedResponse>
  /** Waits for this many frames after a 101. */
  frames(count: number): Promise<Frame[]>
  /** Waits until the server has ended its side. */
  ended(): Promise<Exclude<Ending, 'open'>>
  destroy(): void
}

function open(target: RawTarget): Socket {
  const { port, host = '127.0.0.1', tls } = target
  if (tls === undefined || tls === false) return connectTcp({ port, host, allowHalfOpen: true })
  const options = tls === true ? {} : tls
  return connectTls({ rejectUnauthorized: false, ...options, port, host })
}

/** Opens a raw connection. Never throws for what the server does to it later: see `ending()`. */
export async function connectRaw(target: RawTarget): Promise<RawConnection> {
  const socket = open(target)
  const chunks: Buffer[] = []
  const watchers = new Set<() => void>()
  let ending: Ending = 'open'
  const changed = (): void => {
    for (const watcher of watchers) watcher()
  }
  const end = (how: Ending): void => {
    if (ending === 'open') ending = how
    changed()
  }
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    changed()
  })
  socket.on('end', () => end('end'))
  socket.on('error', () => end('reset'))
  socket.on('close', () => end('reset'))
  await once(socket, target.tls === undefined || target.tls === false ? 'connect' : 'secureConnect')

  const received = (): Buffer => Buffer.concat(chunks)

  const wait = async <Found>(look: () => Found | undefined, isLast: () => boolean, what: string): Promise<Found> =>
    await new Promise<Found>((resolve, reject) => {
      const settle = (act: () => void): void => {
        watchers.delete(watcher)
        clearTimeout(timer)
        act()
      }
      const fail = (why: string): void => {
        const message = `${why} before ${what}. Received: ${JSON.stringify(received().toString('latin1').slice(0, 500))}`
        settle(() => reject(new Error(message)))
      }
      const watcher = (): void => {
        try {
          const found = look()
          if (found !== undefined) settle(() => resolve(found))
          else if (isLast()) fail(`The server ended the connection (${ending})`)
        } catch (error) {
          settle(() => reject(error))
        }
      }
      const timer = setTimeout(() => fail(`${PATIENCE} ms passed`), PATIENCE)
      watchers.add(watcher)
      watcher()
    })

  const until: RawConnection['until'] = async (found, what = 'what was waited for') =>
    await wait(
      () => found(received(), ending !== 'open'),
      () => ending !== 'open',
      what,
    )

  return {
    socket,
    send(bytes) {
      socket.write(bytes)
    },
    received,
    ending: () => ending,
    until,
    response: async () => await until(parseResponse, 'a whole response'),
    frames: async (count) =>
      await until((bytes, isEnded) => {
        const response = parseResponse(bytes, isEnded)
        const frames = response === undefined ? [] : readFrames(response.rest).frames
        return frames.length >= count ? frames : undefined
      }, `${count} frames`),
    ended: async () =>
      await wait(
        () => (ending === 'open' ? undefined : ending),
        () => false,
        'the server ended',
      ),
    destroy() {
      socket.destroy()
    },
    async [Symbol.asyncDispose]() {
      socket.destroy()
    },
  }
}

export interface RawRequest extends RawTarget {
  /** Sent with CRLF after each, and an empty line after the last. */
  readonly lines?: readonly string[]
  /** Sent as they are, after `lines` where both are given. */
  readonly bytes?: string | Uint8Array
  /**
   * When to return: at the whole `response`, or when the server has ended its side (`close`).
   * @defaultValue `close` where the response says `Connection: close`, else `response`
   */
  readonly until?: 'response' | 'close'
}

/** What came back. `status` is 0 where the server ended the connection without a response. */
export interface RawResponse extends ParsedResponse {
  /** The value of a header that occurs at most once; throws where it occurs twice. */
  header(name: string): string | undefined
  /** All values of a header. */
  values(name: string): string[]
  /** The body as UTF-8. */
  readonly text: string
  readonly ending: Ending
  /** True where the server ended its side, by FIN or RST. */
  readonly closed: boolean
  /** Milliseconds from the last byte sent until this was returned. */
  readonly ms: number
}

const NOTHING: ParsedResponse = {
  status: 0,
  reason: '',
  headers: [],
  body: Buffer.alloc(0),
  rest: Buffer.alloc(0),
  interim: [],
}

function saysClose(response: ParsedResponse): boolean {
  return valuesOf(response.headers, 'connection').some((value) => /\bclose\b/i.test(value))
}

/**
 * Sends raw bytes on a new connection and returns what came back. The connection is destroyed afterwards; a test that
 * goes on with it uses {@link connectRaw}.
 */
export async function rawRequest(request: RawRequest): Promise<RawResponse> {
  await using connection = await connectRaw(request)
  if (request.lines !== undefined) connection.send(`${request.lines.join('\r\n')}\r\n\r\n`)
  if (request.bytes !== undefined) connection.send(request.bytes)
  const began = performance.now()
  const parsed = await connection.until((bytes, ended) => {
    if (ended && bytes.length === 0) return NOTHING
    return parseResponse(bytes, ended)
  }, 'a whole response')
  const until = request.until ?? (saysClose(parsed) ? 'close' : 'response')
  if (until === 'close') await connection.ended()
  // What came between the response and the end belongs to `rest`.
  const whole =
    parsed === NOTHING ? NOTHING : (parseResponse(connection.received(), connection.ending() !== 'open') ?? parsed)
  return describe(whole, connection.ending(), performance.now() - began)
}

function describe(response: ParsedResponse, ending: Ending, ms: number): RawResponse {
  return {
    ...response,
    values: (name) => valuesOf(response.headers, name),
    header(name) {
      const values = valuesOf(response.headers, name)
      if (values.length > 1) throw new Error(`${name} came ${values.length} times: ${values.join(' | ')}`)
      return values[0]
    },
    text: response.body.toString(),
    ending,
    closed: ending !== 'open',
    ms,
  }
}

export interface HandshakeText {
  /** @defaultValue GET */
  readonly method?: string
  /** @defaultValue /ws */
  readonly target?: string
  /** @defaultValue HTTP/1.1 */
  readonly version?: string
  /**
   * Replace the header of the same name (in any case), or are added. `null` leaves a header out, a list sends it once
   * for each value.
   */
  readonly headers?: Readonly<Record<string, string | readonly string[] | null>>
}

/** The key of RFC 6455 section 1.3. */
export const SAMPLE_KEY = 'dGhlIHNhbXBsZSBub25jZQ=='

/**
 * The lines of a valid handshake, for {@link rawRequest}.
 *
 * @example
 * ```ts
 * await rawRequest({ port, lines: handshake({ headers: { Origin: 'null', 'Sec-WebSocket-Key': null } }) })
 * ```
 */
export function handshake(text: HandshakeText = {}): string[] {
  const { method = 'GET', target = '/ws', version = 'HTTP/1.1', headers = {} } = text
  const base: Record<string, string> = {
    Host: 'localhost',
    Upgrade: 'websocket',
    Connection: 'Upgrade',
    'Sec-WebSocket-Key': SAMPLE_KEY,
    'Sec-WebSocket-Version': '13',
  }
  const replaced = new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), { name, value }]))
  const all: Array<[string, string | readonly string[] | null]> = []
  for (const [name, value] of Object.entries(base)) {
    const other = replaced.get(name.toLowerCase())
    all.push(other === undefined ? [name, value] : [other.name, other.value])
    replaced.delete(name.toLowerCase())
  }
  for (const { name, value } of replaced.values()) all.push([name, value])
  const lines = all.flatMap(([name, value]) => {
    if (value === null) return []
    return [value].flat().map((one) => `${name}: ${one}`)
  })
  return [`${method} ${target} ${version}`, ...lines]
}

/** The same as one text, ready to be written. */
export function handshakeText(text: HandshakeText = {}): string {
  return `${handshake(text).join('\r\n')}\r\n\r\n`
}

/** Ends a connection with RST. */
export function reset(socket: Socket): void {
  socket.resetAndDestroy()
}

/** Ends our side with FIN and keeps reading. */
export function halfClose(socket: Socket): void {
  socket.end()
}
