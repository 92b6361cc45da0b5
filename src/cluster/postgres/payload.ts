/** Without quotes and backslashes: they stand in a statement as they are. */
const DIGITS = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#'
const VALUES = new Map(Array.from(DIGITS, (digit, value) => [digit, value]))

/** A notification that says: look at the log. */
export const WAKE = 'w'

/**
 * A message as the text of one notification, of which there may be 7999 bytes: five digits for each four bytes, so that
 * 6 KiB are 7681, after how many bytes the last four lack.
 */
export function toPayload(data: Uint8Array): string {
  const lack = (4 - (data.length % 4)) % 4
  const padded = Buffer.alloc(data.length + lack)
  padded.set(data)
  let text = String(lack)
  for (let at = 0; at < padded.length; at += 4) text += digitsOf(padded.readUInt32BE(at))
  return text
}

function digitsOf(value: number): string {
  let digits = ''
  for (let rest = value, n = 0; n < 5; n++, rest = Math.floor(rest / 85)) digits = DIGITS.charAt(rest % 85) + digits
  return digits
}

/** @returns undefined for what is no message: whoever may use the database may notify. */
export function fromPayload(text: string): Uint8Array | undefined {
  const lack = '0123'.indexOf(text.charAt(0))
  if (lack < 0 || text.length % 5 !== 1) return undefined
  const data = Buffer.alloc(((text.length - 1) / 5) * 4)
  for (let at = 1, to = 0; at < text.length; at += 5, to += 4) {
    const value = valueOf(text.slice(at, at + 5))
    if (value === undefined) return undefined
    data.writeUInt32BE(value, to)
  }
  return lack > data.length ? undefined : data.subarray(0, data.length - lack)
}

function valueOf(digits: string): number | undefined {
  let value = 0
  for (const digit of digits) value = value * 85 + (VALUES.get(digit) ?? Number.NaN)
  return value <= 0xffff_ffff ? value : undefined
}
