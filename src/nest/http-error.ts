import type { RefusalMessage } from '../core/refusal-message.ts'

interface Refused {
  readonly status: number
  readonly message: string
}

/**
 * An error that Nest's exception filters answer with this status: made after the pattern of http-errors, which they
 * know, because Nest's own classes are the app's. Headers of a refusal are set on the response.
 */
export function httpError(res: object, refused: RefusalMessage | Refused): Error {
  const { status } = refused
  const message = 'message' in refused ? refused.message : adviceOf(refused)
  if ('headers' in refused) setHeaders(res, refused.headers)
  return Object.assign(new Error(message), { status, statusCode: status, expose: true })
}

function adviceOf(refusal: RefusalMessage): string {
  const { message, fix } = JSON.parse(refusal.body) as { message: string; fix: string }
  return `${message} ${fix}`
}

/** About the body, which the filter writes. */
const OF_THE_BODY = new Set(['content-type', 'content-length'])

function setHeaders(res: object, headers: RefusalMessage['headers']): void {
  const reply = res as { header?(name: string, value: string): void; appendHeader?(name: string, value: string): void }
  for (const [name, value] of headers) {
    if (OF_THE_BODY.has(name.toLowerCase())) continue
    if (reply.appendHeader === undefined) reply.header?.(name, value)
    else reply.appendHeader(name, value)
  }
}
