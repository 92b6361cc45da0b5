import { Duplex } from 'node:stream'
import { endOfHead, isInterim, parseHead, type Head } from './head.ts'

/** What middlewares read from a socket. A `net.Socket` and a `tls.TLSSocket` are such objects, and so is a facade. */
export interface SocketFacts {
  readonly remoteAddress?: string | undefined
  readonly remotePort?: number | undefined
  readonly remoteFamily?: string | undefined
  readonly localAddress?: string | undefined
  readonly localPort?: number | undefined
  readonly localFamily?: string | undefined
  readonly encrypted?: boolean | undefined
  readonly authorized?: boolean | undefined
  readonly authorizationError?: unknown
  readonly servername?: string | false | undefined
  readonly alpnProtocol?: string | false | null | undefined
  getPeerCertificate?(detailed?: boolean): unknown
  getPeerX509Certificate?(): unknown
  getCipher?(): unknown
  getProtocol?(): unknown
}

/** What becomes of the body: each chunk is given away, and the app's next write waits until it is taken. */
export type BodyTaker = (chunk: Buffer, taken: (error?: Error | null) => void) => void

const MAX_HEAD = 256 * 1024
const NOTHING = Buffer.alloc(0)

/**
 * The stream under the app's `ServerResponse`: it mirrors the facts of the socket and can reach nothing real. The head
 * that the app writes is parsed once; the body waits for a taker, so back-pressure reaches the app.
 */
export class Sink extends Duplex {
  readonly #facts: SocketFacts
  readonly #onHead: (head: Head | undefined) => void
  #pending: Buffer = NOTHING
  #headSeen = false
  #take: BodyTaker | undefined
  #waiting: (() => void) | undefined

  /** @param onHead - called once with the final head, or with undefined where what was written is no HTTP. */
  constructor(facts: SocketFacts, onHead: (head: Head | undefined) => void) {
    super({ allowHalfOpen: true, emitClose: true })
    this.#facts = facts
    this.#onHead = onHead
  }

  /** From here on body bytes, those that wait included, go to `take`. */
  takeBody(take: BodyTaker): void {
    this.#take = take
    const waiting = this.#waiting
    this.#waiting = undefined
    waiting?.()
  }

  override _read(): void {
    // The client's bytes never come here: they belong to the WebSocket.
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#headSeen) return this.#body(chunk, done)
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk])
    this.#readHeads()
    if (!this.#headSeen) return done()
    const rest = this.#pending
    this.#pending = NOTHING
    if (rest.length === 0) return done()
    this.#body(rest, done)
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#waiting = undefined
    this.#pending = NOTHING
    done(error)
  }

  #readHeads(): void {
    while (!this.#headSeen) {
      const end = endOfHead(this.#pending)
      if (end < 0) {
        if (this.#pending.length > MAX_HEAD) this.#headDone(undefined)
        return
      }
      const head = parseHead(this.#pending.toString('latin1', 0, end))
      this.#pending = this.#pending.subarray(end)
      if (head === undefined || !isInterim(head)) this.#headDone(head)
    }
  }

  #headDone(head: Head | undefined): void {
    this.#headSeen = true
    this.#onHead(head)
  }

  #body(chunk: Buffer, done: (error?: Error | null) => void): void {
    if (this.#take !== undefined) return this.#take(chunk, done)
    this.#waiting = () => this.#take?.(chunk, done)
  }

  get remoteAddress(): string | undefined {
    return this.#facts.remoteAddress
  }
  get remotePort(): number | undefined {
    return this.#facts.remotePort
  }
  get remoteFamily(): string | undefined {
    return this.#facts.remoteFamily
  }
  get localAddress(): string | undefined {
    return this.#facts.localAddress
  }
  get localPort(): number | undefined {
    return this.#facts.localPort
  }
  get localFamily(): string | undefined {
    return this.#facts.localFamily
  }
  get encrypted(): boolean | undefined {
    return this.#facts.encrypted
  }
  get authorized(): boolean | undefined {
    return this.#facts.authorized
  }
  get authorizationError(): unknown {
    return this.#facts.authorizationError
  }
  get servername(): string | false | undefined {
    return this.#facts.servername
  }
  get alpnProtocol(): string | false | null | undefined {
    return this.#facts.alpnProtocol
  }
  getPeerCertificate(detailed?: boolean): unknown {
    return this.#facts.getPeerCertificate?.(detailed) ?? {}
  }
  getPeerX509Certificate(): unknown {
    return this.#facts.getPeerX509Certificate?.()
  }
  getCipher(): unknown {
    return this.#facts.getCipher?.()
  }
  getProtocol(): unknown {
    return this.#facts.getProtocol?.() ?? null
  }
  address(): object {
    return { address: this.localAddress, port: this.localPort, family: this.localFamily }
  }

  // Middlewares for event streams tune the socket; here there is none to tune.
  setTimeout(): this {
    return this
  }
  setNoDelay(): this {
    return this
  }
  setKeepAlive(): this {
    return this
  }
  ref(): this {
    return this
  }
  unref(): this {
    return this
  }
}
