import { createHash } from 'node:crypto'
import { word } from './sql.ts'

/** Where what is of one prefix lies, as statements name it. */
export interface Store {
  /** The name of the schema. */
  readonly name: string
  /** The same, quoted, with the dot that follows. */
  readonly schema: string
  /** A hash, in quotes: any characters, in a database of any encoding. */
  readonly prefix: string
  /** Not quoted. */
  readonly channel: string
  /** The number of the lock that stands for a name. */
  readonly lock: (name: string) => string
}

export function storeOf(schema: string, prefix: string): Store {
  const hash = sha256(Buffer.from(prefix, 'utf16le')).subarray(0, 16)
  const channel = sha256(Buffer.concat([Buffer.from(`${schema}\0`), hash])).toString('hex', 0, 16)
  return {
    name: schema,
    schema: `"${schema}".`,
    prefix: word(hash.toString('base64url')),
    channel: `gate101_${channel}`,
    lock: (name) => String(sha256(Buffer.from(`${channel}:${name}`)).readBigInt64BE(0)),
  }
}

function sha256(data: Uint8Array): Buffer {
  return createHash('sha256').update(data).digest()
}
