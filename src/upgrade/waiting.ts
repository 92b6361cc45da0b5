import type { IncomingMessage } from 'node:http'
import { Duplex } from 'node:stream'
import { WebSocket, WebSocketServer } from 'ws'
import type { Clock } from '../core/clock.ts'
import { FrameCutter, isControl, type Frame } from './frames.ts'

/** Bytes that a first message may have. */
export const MAX_FIRST_MESSAGE = 4096
const MAX_FRAGMENTS = 16
const MAX_CONTROLS = 5
/** How long the peer may take to answer a Close frame. */
const CLOSE_GRACE = 1000
const CLOSE_FRAME = 8

/** What a client did in place of sending its one message and waiting. */
export type Fault = 'gone' | 'second_message' | 'too_many_frames' | 'too_big' | 'bad_frame'

export interface FirstMessage {
  readonly data: Buffer
  readonly isBinary: boolean
}

/** A WebSocket that is open for its client and for nobody else. */
export interface WaitingSocket {
  /** The one message that the client may send, or what it did instead. Never rejects. */
  readonly first: Promise<FirstMessage | Fault>
  /** Settles when the client goes, or sends what it may not, after its message; with `gone` at the latest. */
  readonly fault: Promise<Fault>
  send(text: string): void
  /** Sends Close; the socket is gone a second later at the latest. */
  close(code: number, reason: string): void
  /**
   * Gives the raw socket back. Nothing here reads it any more; `send` still writes to it.
   *
   * @returns the bytes that have come since and belong to whoever takes it over; undefined when the client is going, or
   *   has begun a message that it may not send: `fault` settles then.
   */
  detach(): Buffer | undefined
}

/** Opens sockets that wait. */
export interface Waiter {
  /**
   * @param protocol - the subprotocol to select.
   * @returns undefined when the socket died before the 101 could be written.
   */
  open(req: IncomingMessage, socket: Duplex, head: Buffer, protocol: string | undefined): WaitingSocket | undefined
}

export function createWaiter(clock: Clock): Waiter {
  const selected = new WeakMap<IncomingMessage, string>()
  const server = new WebSocketServer({
    WebSocket: Telling,
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: MAX_FIRST_MESSAGE,
    handleProtocols: (_offered, req) => selected.get(req) ?? false,
  })
  return {
    open(req, socket, head, protocol): WaitingSocket | undefined {
      if (protocol !== undefined) selected.set(req, protocol)
      const facade = new Facade(socket)
      let made: WebSocket | undefined
      server.handleUpgrade(req, facade, NOTHING, (ws) => {
        made = ws
      })
      selected.delete(req)
      if (made === undefined) return undefined
      return new Waiting(socket, facade, made, head, clock)
    },
  }
}

const NOTHING = Buffer.alloc(0)

/** Closes that the parser sends of its own accord. */
const PARSER_REASONS: Readonly<Record<number, string>> = {
  1002: 'bad_frame',
  1007: 'bad_frame',
  1009: 'message_too_big',
}

/** Says why in every Close, in those of the parser too. */
class Telling extends WebSocket {
  override close(code?: number, reason?: string | Buffer): void {
    super.close(code, reason ?? PARSER_REASONS[code ?? 0])
  }
}

/** Stands for the raw socket before a parser that must give the socket back: it gets whole frames only. */
class Facade extends Duplex {
  readonly #socket: Duplex
  readonly #write: Duplex['write']

  constructor(socket: Duplex) {
    super({ allowHalfOpen: true })
    this.#socket = socket
    this.#write = Reflect.get(socket, 'write')
  }

  override _read(): void {
    // Bytes are pushed as they come.
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#pass(chunk)
    done()
  }

  /** Head and payload of a frame in one write. */
  override _writev(chunks: ReadonlyArray<{ chunk: Buffer }>, done: (error?: Error | null) => void): void {
    this.#pass(Buffer.concat(chunks.map(({ chunk }) => chunk)))
    done()
  }

  #pass(bytes: Buffer): void {
    // The function as it was when the socket came: a hook for the next owner's first bytes is not meant for these.
    if (!this.#socket.destroyed) Reflect.apply(this.#write, this.#socket, [bytes])
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end()
    done()
  }
}

type State = 'waiting' | 'verifying' | 'closing' | 'detached'

class Waiting implements WaitingSocket {
  readonly first: Promise<FirstMessage | Fault>
  readonly fault: Promise<Fault>
  readonly #socket: Duplex
  readonly #facade: Facade
  readonly #ws: WebSocket
  readonly #clock: Clock
  readonly #cutter = new FrameCutter(MAX_FIRST_MESSAGE)
  #state: State = 'waiting'
  #controls = 0
  #fragments = 0
  #gone = false
  /** The client has sent Close. */
  #leaving = false
  #settleFirst: (first: FirstMessage | Fault) => void = ignore
  #settleFault: (fault: Fault) => void = ignore

  constructor(socket: Duplex, facade: Facade, ws: WebSocket, head: Buffer, clock: Clock) {
    this.#socket = socket
    this.#facade = facade
    this.#ws = ws
    this.#clock = clock
    this.first = new Promise((resolve) => {
      this.#settleFirst = resolve
    })
    this.fault = new Promise((resolve) => {
      this.#settleFault = resolve
    })
    ws.on('message', this.#onMessage)
    ws.on('error', this.#onParserError)
    ws.once('close', this.#onGone)
    socket.on('end', this.#onGone)
    socket.on('close', this.#onGone)
    if (head.length > 0) this.#take(head)
    // Not 'data': that would leave the stream flowing, or paused for good, when it is given back.
    socket.on('readable', this.#onReadable)
  }

  send(text: string): void {
    this.#ws.send(text)
  }

  close(code: number, reason: string): void {
    if (this.#state === 'closing') return
    // Nobody reads it any more: the peer's end would not be seen.
    if (this.#state === 'detached') this.#socket.once('end', () => this.#socket.destroy()).resume()
    this.#state = 'closing'
    // Of a socket that is gone there is no more 'close': nothing would end what stands for it.
    if (this.#socket.destroyed) return void this.#facade.destroy()
    const cancel = this.#clock.after(CLOSE_GRACE, () => this.#socket.destroy())
    this.#socket.once('close', () => {
      cancel()
      this.#facade.destroy()
    })
    this.#ws.once('close', () => this.#socket.end(() => this.#socket.destroy()))
    this.#ws.close(code, reason)
  }

  detach(): Buffer | undefined {
    if (this.#gone || this.#leaving || this.#state !== 'verifying') return undefined
    const { rest } = this.#cutter
    if (rest.length > 0 && !isControl((rest[0] ?? 0) & 0x0f)) {
      this.#fail('second_message')
      return undefined
    }
    this.#state = 'detached'
    this.#socket.off('readable', this.#onReadable)
    this.#socket.off('end', this.#onGone)
    this.#socket.off('close', this.#onGone)
    return rest
  }

  readonly #onReadable = (): void => {
    for (let chunk = this.#read(); chunk !== null; chunk = this.#read()) this.#take(chunk)
  }

  #read(): Buffer | null {
    if (this.#state === 'detached') return null
    return this.#socket.read() as Buffer | null
  }

  #take(chunk: Buffer): void {
    if (this.#gone) return
    for (const frame of this.#cutter.cut(chunk)) {
      if (this.#leaving) return
      if (isControl(frame.opcode)) {
        this.#takeControl(frame)
        continue
      }
      // Behind a Close of ours data may still come; the parser would hand it on.
      if (this.#state === 'closing') continue
      if (this.#state === 'verifying') return this.#fail('second_message')
      if (++this.#fragments > MAX_FRAGMENTS) return this.#fail('too_big')
      if (frame.final) this.#state = 'verifying'
      this.#facade.push(frame.bytes)
    }
  }

  #takeControl({ opcode, bytes }: Frame): void {
    if (opcode !== CLOSE_FRAME && ++this.#controls > MAX_CONTROLS) return this.#fail('too_many_frames')
    this.#facade.push(bytes)
    if (opcode !== CLOSE_FRAME) return
    this.#leaving = true
    // By then the parser has answered it, or has found fault with it.
    if (this.#state !== 'closing') setImmediate(() => this.#fail('gone'))
  }

  readonly #onMessage = (data: unknown, isBinary: boolean): void => {
    this.#settleFirst({ data: data as Buffer, isBinary })
  }

  readonly #onParserError = (error: Error & { code?: string }): void => {
    this.#fail(error.code?.startsWith('WS_ERR_UNSUPPORTED_') ? 'too_big' : 'bad_frame')
  }

  readonly #onGone = (): void => {
    this.#gone = true
    this.#fail('gone')
    this.#facade.push(null)
  }

  #fail(fault: Fault): void {
    this.#settleFirst(fault)
    this.#settleFault(fault)
  }
}

function ignore(): void {
  // Replaced before anything can settle.
}
