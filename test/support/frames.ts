import { createHash } from 'node:crypto'

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const

export interface FrameOptions {
  /** @defaultValue text */
  readonly opcode?: number
  /** @defaultValue true */
  readonly fin?: boolean
  /** The three reserved bits, 0-7. @defaultValue 0 */
  readonly rsv?: number
  /** `false` makes the unmasked frame that a client must not send. @defaultValue true */
  readonly masked?: boolean
  /** The length that the header claims. @defaultValue that of the payload */
  readonly claimedLength?: number
}

const MASK = Buffer.from([0x11, 0x22, 0x33, 0x44])

function masking(payload: Uint8Array): Buffer {
  return Buffer.from(payload.map((byte, index) => byte ^ (MASK[index % 4] ?? 0)))
}

function lengthBytes(length: number, maskBit: number): Buffer {
  if (length < 126) return Buffer.from([maskBit | length])
  if (length < 65_536) {
    const bytes = Buffer.from([maskBit | 126, 0, 0])
    bytes.writeUInt16BE(length, 1)
    return bytes
  }
  const bytes = Buffer.alloc(9)
  bytes[0] = maskBit | 127
  bytes.writeBigUInt64BE(BigInt(length), 1)
  return bytes
}

/** One frame as a client sends it (RFC 6455 section 5.2); by the options also one that no client may send. */
export function frame(payload: string | Uint8Array = '', options: FrameOptions = {}): Buffer {
  const { opcode = OPCODE.text, fin = true, rsv = 0, masked = true } = options
  const data = Buffer.from(payload)
  const first = Buffer.from([(fin ? 0x80 : 0) | (rsv << 4) | opcode])
  const length = lengthBytes(options.claimedLength ?? data.length, masked ? 0x80 : 0)
  return Buffer.concat(masked ? [first, length, MASK, masking(data)] : [first, length, data])
}

/** A Close frame; without a code, an empty one. */
export function closeFrame(code?: number, reason = ''): Buffer {
  if (code === undefined) return frame('', { opcode: OPCODE.close })
  const payload = Buffer.concat([Buffer.alloc(2), Buffer.from(reason)])
  payload.writeUInt16BE(code)
  return frame(payload, { opcode: OPCODE.close })
}

export interface Frame {
  readonly fin: boolean
  readonly rsv: number
  readonly opcode: number
  readonly masked: boolean
  readonly payload: Buffer
  /** The payload as UTF-8; of a Close frame, its reason. */
  readonly text: string
  /** Of a Close frame; `undefined` where it is empty. */
  readonly closeCode: number | undefined
}

function readLength(bytes: Buffer): { length: number; offset: number } | undefined {
  const short = (bytes[1] ?? 0) & 0x7f
  if (short < 126) return { length: short, offset: 2 }
  const offset = short === 126 ? 4 : 10
  if (bytes.length < offset) return undefined
  return { length: short === 126 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2)), offset }
}

function readFrame(bytes: Buffer): { frame: Frame; size: number } | undefined {
  const head = bytes.length < 2 ? undefined : readLength(bytes)
  if (head === undefined) return undefined
  const [first = 0, second = 0] = bytes
  const masked = (second & 0x80) !== 0
  const start = head.offset + (masked ? 4 : 0)
  const size = start + head.length
  if (bytes.length < size) return undefined
  const mask = bytes.subarray(head.offset, start)
  const payload = Buffer.from(bytes.subarray(start, size))
  if (masked) for (let index = 0; index < payload.length; index += 1) payload[index]! ^= mask[index % 4]!
  const opcode = first & 0x0f
  const isClose = opcode === OPCODE.close
  const closeCode = isClose && payload.length >= 2 ? payload.readUInt16BE() : undefined
  const text = (isClose ? payload.subarray(2) : payload).toString()
  return { size, frame: { fin: first >= 0x80, rsv: (first >> 4) & 7, opcode, masked, payload, text, closeCode } }
}

/** All complete frames in what a peer sent, and the bytes of an incomplete last one. */
export function readFrames(bytes: Buffer): { frames: Frame[]; rest: Buffer } {
  const frames: Frame[] = []
  let rest = bytes
  for (;;) {
    const read = readFrame(rest)
    if (read === undefined) return { frames, rest }
    frames.push(read.frame)
    rest = rest.subarray(read.size)
  }
}

/** The Sec-WebSocket-Accept that belongs to a Sec-WebSocket-Key (RFC 6455 section 4.2.2). */
export function acceptOf(key: string): string {
  return createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
}
