/** The functions of a hub that are called from other processes. */
export type Call =
  | 'append'
  | 'read'
  | 'trim'
  | 'restart'
  | 'say'
  | 'report'
  | 'reports'
  | 'enter'
  | 'keep'
  | 'leave'
  | 'add'
  | 'take'
  | 'join'
  | 'part'

/** From a node to the hub. */
export interface Request {
  readonly gate101: 'request'
  readonly prefix: string
  readonly id: number
  readonly call: Call
  readonly args: readonly unknown[]
}

/** From the hub to a node. */
export interface Reply {
  readonly gate101: 'reply'
  readonly prefix: string
  readonly id: number
  readonly result?: unknown
  readonly error?: string
}

/** From the hub to a node, unasked. */
export interface Push {
  readonly gate101: 'push'
  readonly prefix: string
  /** Undefined: there is something new in the log. */
  readonly data?: unknown
}

const BYTES = 'gate101:bytes'

/** The channel between processes carries JSON: bytes go as base64. */
export function toWire(value: unknown): unknown {
  if (value instanceof Uint8Array) return { [BYTES]: Buffer.from(value).toString('base64') }
  if (Array.isArray(value)) return value.map(toWire)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, toWire(one)]))
}

export function fromWire(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(fromWire)
  if (typeof value !== 'object' || value === null) return value
  const bytes = (value as Readonly<Record<string, unknown>>)[BYTES]
  if (typeof bytes === 'string') return new Uint8Array(Buffer.from(bytes, 'base64'))
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, fromWire(one)]))
}

/** Other messages of the app travel the same way. */
export function isOurs<Kind extends string>(message: unknown, kind: Kind): message is { readonly gate101: Kind } {
  return typeof message === 'object' && message !== null && 'gate101' in message && message.gate101 === kind
}
