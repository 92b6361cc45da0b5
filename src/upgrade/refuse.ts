import { STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Clock } from '../core/clock.ts'
import type { HeaderPairs, Refuse } from '../core/decision.ts'
import { refusalMessage } from '../core/refusal-message.ts'
import { headersForRefusal } from './headers.ts'

/** How long the peer may take to read a refusal that has been written whole. */
const LINGER = 1000

function headText(status: number, reason: string | undefined, headers: HeaderPairs): string {
  let text = `HTTP/1.1 ${status} ${reason ?? STATUS_CODES[status] ?? 'Refused'}\r\n`
  for (const [name, value] of headers) text += `${name}: ${value}\r\n`
  return `${text}\r\n`
}

/**
 * Writes a refusal of gate101's own and ends the connection, whatever the peer does.
 *
 * @param method - of the request: what answers HEAD has no body (RFC 9110 section 9.3.2).
 */
export function writeRefusal(socket: Duplex, refuse: Refuse, clock: Clock, method: string | undefined): void {
  const { status, headers, body } = refusalMessage(refuse)
  endWith(
    socket,
    headText(
      status,
      undefined,
      headersForRefusal([['Date', new Date(clock.now()).toUTCString()], ...headers], status),
    ) + (method === 'HEAD' ? '' : body),
    clock,
  )
}

function endWith(socket: Duplex, text: string, clock: Clock): void {
  if (socket.destroyed) return
  const cancel = clock.after(LINGER, () => socket.destroy())
  socket.once('close', cancel)
  socket.end(text, 'latin1', () => socket.destroy())
}

/** The app's own refusal, as it goes out. */
export interface AnswerWriter {
  /** Takes a chunk of the body; calls back when the socket has taken it. */
  readonly write: (chunk: Buffer, taken: (error?: Error | null) => void) => void
  readonly end: () => void
}

/**
 * Sends the head of the app's own refusal and hands out a writer for its body, with back-pressure.
 *
 * @param maxBytes - of the body; more destroys the socket, so that the client sees a cut answer and no false end.
 */
export function writeAnswer(
  socket: Duplex,
  head: { readonly status: number; readonly reason: string; readonly headers: HeaderPairs },
  maxBytes: number,
  clock: Clock,
): AnswerWriter {
  let left = maxBytes
  socket.write(headText(head.status, head.reason, headersForRefusal(head.headers, head.status)), 'latin1')
  return {
    write(chunk, taken): void {
      left -= chunk.length
      if (left >= 0 && !socket.destroyed) {
        socket.write(chunk, taken)
        return
      }
      // The chunk is never taken: an app that is told to go on would do so without end.
      socket.destroy()
    },
    end(): void {
      endWith(socket, '', clock)
    },
  }
}
