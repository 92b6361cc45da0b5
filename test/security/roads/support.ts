import assert from 'node:assert/strict'
import { inspect } from 'node:util'
import { systemClock } from '../../../src/core/clock.ts'
import type { TicketRecord } from '../../../src/core/ticket-store.ts'
import { memoryTicketStore, type Gate, type GateEvent, type TicketStore } from '../../../src/index.ts'
import {
  handshakeText,
  connectRaw,
  handshake,
  rawRequest,
  type HandshakeText,
  type RawResponse,
} from '../../support/raw.ts'
import { valuesOf, type ParsedResponse } from '../../support/response.ts'
import { listen, type Listening } from '../../support/servers.ts'
import type { Build, MadeApp, Options, Seen } from './apps.ts'

export type Headers = NonNullable<HandshakeText['headers']>

export const ORIGIN = 'http://localhost'
export const SECRET = 'b3V0c2lkZXItcGVsaWNhbi10ZWFrLWNvcmFs-Zm9nLWdyYW5pdGU'

/** Turns the lines of a handshake into those of an ordinary request. */
export const PLAIN: Headers = {
  Upgrade: null,
  Connection: 'close',
  'Sec-WebSocket-Key': null,
  'Sec-WebSocket-Version': null,
}

/** A memory store that counts what it is asked, and can be told to fail. */
export class WatchedStore implements TicketStore {
  readonly records: TicketRecord[] = []
  calls = 0
  /** Takes the place of the real operation. */
  instead: (() => Promise<never>) | undefined
  /** Awaited before the real operation. */
  before: (() => Promise<unknown>) | undefined
  readonly #store = memoryTicketStore(systemClock)

  async add(record: TicketRecord): Promise<boolean> {
    this.calls++
    this.records.push(record)
    if (this.instead !== undefined) return this.instead()
    await this.before?.()
    return this.#store.add(record)
  }

  async take(id: string): Promise<Uint8Array | undefined> {
    this.calls++
    if (this.instead !== undefined) return this.instead()
    await this.before?.()
    return this.#store.take(id)
  }
}

/** A 101 and the first message of the handler, or a refusal. */
export interface Dialled {
  readonly status: number
  readonly response: ParsedResponse
  /** `error` of a refusal of the gate's own. */
  readonly code: string | undefined
  /** What the handler saw; undefined where none was called. */
  readonly seen: (Seen & { readonly subject: string }) | undefined
  /** The subprotocol that the 101 selects. */
  readonly protocol: string | undefined
}

export interface Served extends AsyncDisposable {
  readonly made: MadeApp
  readonly listening: Listening
  readonly port: number
  readonly events: GateEvent[]
  /** One handshake; the connection is gone afterwards. */
  dial(target: string, headers?: Headers): Promise<Dialled>
  /** One plain request. */
  ask(method: string, target: string, headers?: Headers, body?: string): Promise<RawResponse>
  /** Cookies of a new session. */
  login(user: string): Promise<string>
  /** The answer to a good request for a ticket, unless the headers say otherwise. */
  mint(headers: Headers, path?: string): Promise<RawResponse>
  /** A ticket. */
  ticket(headers: Headers, path?: string): Promise<string>
  /** Codes of the refused events since the last call. */
  refused(): string[]
}

const EVENTS = ['accepted', 'refused', 'aborted', 'ended', 'warning'] as const

export function collect(gate: Pick<Gate, 'on'>): GateEvent[] {
  const events: GateEvent[] = []
  for (const type of EVENTS) gate.on(type, (event) => events.push(event))
  return events
}

export async function serve(build: Build, options?: Options): Promise<Served> {
  return serveMade(await build(options))
}

export async function serveMade(made: MadeApp): Promise<Served> {
  const events = collect(made.gate)
  const listening = await listen(made.server)
  const { port } = listening
  let refusedBefore = 0
  const ask: Served['ask'] = async (method, target, headers = {}, body = '') => {
    const length = body === '' && method === 'GET' ? {} : { 'Content-Length': String(Buffer.byteLength(body)) }
    return rawRequest({
      port,
      lines: handshake({ method, target, headers: { ...PLAIN, ...length, ...headers } }),
      bytes: body,
    })
  }
  const mint: Served['mint'] = async (headers, path = '/live/ticket') =>
    ask('POST', path, { 'Content-Type': 'application/json', ...headers }, '{}')
  return {
    made,
    listening,
    port,
    events,
    dial: async (target, headers) => dial(port, target, headers),
    ask,
    mint,
    async login(user) {
      const response = await ask('POST', `/login?user=${user}`)
      assert.equal(response.status, 200)
      return cookiesOf(response)
    },
    async ticket(headers, path) {
      const response = await mint(headers, path)
      assert.equal(response.status, 200, response.text)
      return (JSON.parse(response.text) as { ticket: string }).ticket
    },
    refused() {
      const all = events.flatMap((event) => (event.type === 'refused' ? [event.code] : []))
      const since = all.slice(refusedBefore)
      refusedBefore = all.length
      return since
    },
    async [Symbol.asyncDispose]() {
      await listening.close()
      await made.close?.()
    },
  }
}

export function cookiesOf(response: Pick<RawResponse, 'values'>): string {
  return response
    .values('set-cookie')
    .map((cookie) => cookie.split(';')[0])
    .join('; ')
}

export async function dial(port: number, target: string, headers: Headers = {}): Promise<Dialled> {
  await using connection = await connectRaw({ port })
  connection.send(Buffer.from(handshakeText({ target, headers }), 'latin1'))
  const response = await connection.response()
  const [protocol] = valuesOf(response.headers, 'sec-websocket-protocol')
  const common = { status: response.status, response, protocol }
  if (response.status !== 101) return { ...common, code: codeOf(response.body), seen: undefined }
  const [first] = await connection.frames(1)
  return {
    ...common,
    code: undefined,
    seen: first?.opcode === 1 ? (JSON.parse(first.text) as Dialled['seen']) : undefined,
  }
}

export function codeOf(body: Uint8Array): string | undefined {
  try {
    return (JSON.parse(Buffer.from(body).toString()) as { error?: string }).error
  } catch {
    return undefined
  }
}

/** Fails where one of the words is in what would be printed, sent or stored of `what`. */
export function assertNowhere(words: readonly string[], what: unknown, where: string): void {
  const text = `${inspect(what, { depth: 12, showHidden: true, maxStringLength: null, maxArrayLength: null })}${JSON.stringify(what) ?? ''}`
  for (const word of words) {
    const at = text.indexOf(word)
    assert.equal(at, -1, `${where}: …${text.slice(Math.max(0, at - 80), at + 40)}`)
  }
}
