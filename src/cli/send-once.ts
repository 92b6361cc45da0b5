import type { DialSocket } from '../client.ts'
import { EXIT } from './exit.ts'
import { BROKEN, closeLine, messageLine } from './messages.ts'
import { outputOn } from './output.ts'

/** Sends one text, prints the first message that comes back and closes. */
export function sendOnce(socket: DialSocket, text: string, timeout: number, signal: AbortSignal): Promise<number> {
  return new Promise((resolve) => {
    let result: number | undefined
    const end = (code: number, complaint?: string): void => {
      if (result !== undefined) return
      result = code
      clearTimeout(timer)
      if (complaint !== undefined) outputOn(process.stderr).line(complaint)
      socket.close()
      // A server that never answers the Close frame must not keep the command.
      setTimeout(() => socket.terminate(), 1000).unref()
    }
    const timer = setTimeout(() => end(EXIT.unreachable, `No message came back within ${timeout / 1000} s.`), timeout)
    signal.addEventListener('abort', () => end(EXIT.interrupted))
    const off = socket.on('message', ({ data }) => {
      off()
      outputOn(process.stdout).line(messageLine(data))
      end(EXIT.ok)
    })
    socket.on('error', ({ error }) => {
      if (error.code === 'bad_response') end(EXIT.unreachable, BROKEN)
    })
    socket.on('close', ({ code, reason }) => {
      end(EXIT.refused, closeLine(code, reason))
      resolve(result ?? EXIT.refused)
    })
    socket.send(text)
  })
}
