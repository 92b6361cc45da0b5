/** Close codes that gate101 sends (RFC 6455 section 7.4.2: 4000-4999 are private). */
export const CLOSE_CODES = {
  forbidden: 4403,
  restart: 1012,
  internal: 1011,
} as const
