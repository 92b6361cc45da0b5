/** Close codes that gate101 sends (RFC 6455 section 7.4.2: 4000-4999 are private). */
export const CLOSE_CODES = {
  badMessage: 4400,
  unauthorized: 4401,
  forbidden: 4403,
  timeout: 4408,
  replaced: 4409,
  tooMany: 4429,
  tooBig: 1009,
  restart: 1012,
  tryAgainLater: 1013,
  internal: 1011,
} as const
