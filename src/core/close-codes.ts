/** Close codes that gate101 sends (RFC 6455 section 7.4.2: 4000-4999 are private). */
export const CLOSE_CODES = {
  badMessage: 4400,
  unauthorized: 4401,
  forbidden: 4403,
  timeout: 4408,
  tooMany: 4429,
  restart: 1012,
  tryAgainLater: 1013,
  internal: 1011,
} as const

/** The Close that says what an HTTP refusal with this status says. A redirection asks for a login. */
export function closeCodeOf(status: number): number {
  if (status >= 300 && status < 400) return CLOSE_CODES.unauthorized
  if (status === 500) return CLOSE_CODES.internal
  if (status > 500) return CLOSE_CODES.tryAgainLater
  return BY_STATUS.get(status) ?? CLOSE_CODES.forbidden
}

const BY_STATUS: ReadonlyMap<number, number> = new Map([
  [400, CLOSE_CODES.badMessage],
  [401, CLOSE_CODES.unauthorized],
  [408, CLOSE_CODES.timeout],
  [413, 1009],
  [429, CLOSE_CODES.tooMany],
])
