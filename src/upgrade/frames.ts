/** One frame of a client (RFC 6455 section 5.2), still as it came. */
export interface Frame {
  readonly opcode: number
  readonly final: boolean
  readonly bytes: Buffer
}

const NOTHING = Buffer.alloc(0)

/** Close, Ping and Pong (RFC 6455 section 5.5). */
export function isControl(opcode: number): boolean {
  return opcode >= 8
}

/**
 * Cuts what a client sends into frames, so that whoever takes the socket over gets the bytes from a frame's first byte
 * on. Judges nothing: what a frame holds is for a WebSocket parser.
 */
export class FrameCutter {
  readonly #maxPayload: number
  #held: Buffer = NOTHING
  #uncut = false

  /** @param maxPayload - a frame that says it is longer is given out as it comes, for the parser to refuse. */
  constructor(maxPayload: number) {
    this.#maxPayload = maxPayload
  }

  /** The beginning of a frame whose end has not come. */
  get rest(): Buffer {
    return this.#held
  }

  /** The frames that are whole now. */
  cut(chunk: Buffer): Frame[] {
    const frames: Frame[] = []
    this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk])
    while (this.#held.length > 0) {
      const frame = this.#next()
      if (frame === undefined) break
      frames.push(frame)
    }
    return frames
  }

  #next(): Frame | undefined {
    const held = this.#held
    const size = this.#uncut ? held.length : sizeOf(held)
    if (size === undefined) return undefined
    if (size > this.#maxPayload + MAX_HEAD) this.#uncut = true
    const end = this.#uncut ? held.length : size
    if (held.length < end) return undefined
    const first = held[0] ?? 0
    this.#held = held.subarray(end)
    return { opcode: first & 0x0f, final: (first & 0x80) !== 0, bytes: held.subarray(0, end) }
  }
}

const MAX_HEAD = 14

/** Bytes of the frame that begins here, head included; undefined while its head is not whole. */
function sizeOf(bytes: Buffer): number | undefined {
  const [, second] = bytes
  if (second === undefined) return undefined
  const mask = (second & 0x80) === 0 ? 0 : 4
  const length = second & 0x7f
  if (length < 126) return 2 + mask + length
  if (length === 126) return bytes.length < 4 ? undefined : 4 + mask + bytes.readUInt16BE(2)
  return bytes.length < 10 ? undefined : 10 + mask + Number(bytes.readBigUInt64BE(2))
}
