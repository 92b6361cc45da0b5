import type { Call } from './wire.ts'

type Check = (value: unknown) => boolean

const text: Check = (value) => typeof value === 'string' && value.length <= 256
const count: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0
/** No limit travels as null where the channel carries JSON. */
const limit: Check = (value) => value === null || value === Infinity || count(value)
const milliseconds: Check = (value) => typeof value === 'number' && value >= 0 && value < Infinity
const bytes =
  (most: number): Check =>
  (value) =>
    value instanceof Uint8Array && value.length <= most
const list =
  (each: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(each)
const object =
  (fields: Readonly<Record<string, Check>>): Check =>
  (value) => {
    if (typeof value !== 'object' || value === null) return false
    return Object.entries(fields).every(([name, check]) => check(Reflect.get(value, name)))
  }

const place = object({ key: text, id: text })
const ticket = object({ id: text, owner: text, data: bytes(1024 * 1024), lifetime: milliseconds, limit })

/** What each function takes, as the contract of engines says: one process must not bring the others down. */
const ARGS: Readonly<Record<Call, readonly Check[]>> = {
  append: [text, bytes(32 * 1024)],
  read: [count, count],
  trim: [text, count],
  restart: [text],
  say: [bytes(6 * 1024)],
  report: [text, bytes(1024), milliseconds],
  reports: [],
  enter: [place, milliseconds, limit],
  keep: [list(place), milliseconds],
  leave: [list(place)],
  add: [ticket],
  take: [text],
  join: [],
  part: [],
}

/** @throws Error for what no version of this library sends. */
export function checkCall(call: Call, args: readonly unknown[]): void {
  if (!Object.hasOwn(ARGS, call))
    throw new Error('The hub does not know this call: are all processes of the same version?')
  if (!ARGS[call].every((check, n) => check(args[n]))) throw new Error(`The hub cannot read what came with ${call}.`)
}
