// Just enough of RFC 6455 section 5.2 for a client that measures: masked frames out, whole frames counted in.

/** A masked frame. @param opcode - 1 text, 8 close. */
export function frame(payload, opcode = 1) {
  const bytes = Buffer.from(payload)
  const mask = Buffer.from([1, 2, 3, 4])
  return Buffer.concat([head(bytes.length, opcode), mask, bytes.map((byte, n) => byte ^ mask[n & 3])])
}

function head(length, opcode) {
  if (length < 126) return Buffer.from([0x80 | opcode, 0x80 | length])
  const wide = length > 0xffff
  const bytes = Buffer.alloc(wide ? 10 : 4)
  bytes[0] = 0x80 | opcode
  bytes[1] = 0x80 | (wide ? 127 : 126)
  if (wide) bytes.writeUInt32BE(length, 6)
  else bytes.writeUInt16BE(length, 2)
  return bytes
}

export const CLOSE = frame([0x03, 0xe8], 8)

/** Reads frames off a stream of chunks without keeping their payload. */
export class FrameCounter {
  messages = 0
  closed = false
  /** Messages behind the Close. */
  late = 0
  #rest = undefined
  #skip = 0

  push(chunk) {
    if (this.#skip >= chunk.length && this.#rest === undefined) {
      this.#skip -= chunk.length
      return
    }
    const bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk])
    let at = this.#skip
    this.#rest = undefined
    this.#skip = 0
    while (at < bytes.length) {
      const size = sizeOf(bytes, at)
      if (size === undefined) {
        this.#rest = bytes.subarray(at)
        return
      }
      const opcode = bytes[at] & 15
      if (opcode === 8) this.closed = true
      else if (opcode < 8 && this.closed) this.late++
      else if (opcode < 8) this.messages++
      at += size
    }
    this.#skip = at - bytes.length
  }

  /** Whether the last frame has come whole. */
  get whole() {
    return this.#rest === undefined && this.#skip === 0
  }
}

function sizeOf(bytes, at) {
  if (bytes.length < at + 2) return undefined
  const short = bytes[at + 1] & 127
  if (short < 126) return 2 + short
  const extra = short === 126 ? 2 : 8
  if (bytes.length < at + 2 + extra) return undefined
  return 2 + extra + (short === 126 ? bytes.readUInt16BE(at + 2) : Number(bytes.readBigUInt64BE(at + 2)))
}
