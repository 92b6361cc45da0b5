import type { ServerResponse } from 'node:http'
import type { HeaderPairs, Refuse } from '../core/decision.ts'
import { refusalMessage } from '../core/refusal-message.ts'
import { agreesToRecheck } from '../door/marks.ts'

/**
 * Ends a response once the middleware around the route has returned: what it throws or answers after `next()` still
 * counts. Two turns, because Connect and Express hand an error to their last handler a turn later.
 */
export function endSoon(res: ServerResponse, end: () => void): void {
  setImmediate(setImmediate, () => {
    if (!res.headersSent && !res.writableEnded && !res.destroyed) end()
  })
}

/** Ends the response of a marked handshake, so that everything which hooks into a response sees it end. */
export function endWith101(res: ServerResponse): void {
  endSoon(res, () => {
    // Sessions are saved, and live on, by the end of a response.
    if (agreesToRecheck(res.req)) return
    res.statusCode = 101
    res.end()
  })
}

/** Writes a refusal of gate101's own as a plain HTTP answer. */
export function writePlain(res: ServerResponse, answer: { status: number; headers: HeaderPairs; body: string }): void {
  endSoon(res, () => {
    res.statusCode = answer.status
    for (const [name] of answer.headers) res.removeHeader(name)
    for (const [name, value] of answer.headers) res.appendHeader(name, value)
    res.end(answer.body)
  })
}

export function refusePlain(res: ServerResponse, refusal: Refuse): void {
  writePlain(res, refusalMessage(refusal))
}
