import type { RawData, WebSocket } from 'ws'
import { EXIT } from './exit.ts'
import { closeLine, messageLine } from './messages.ts'
import { outputOn } from './output.ts'

/** Sends one text, prints the first message that comes back and closes. */
export function sendOnce(socket: WebSocket, text: string, timeout: number, signal: AbortSignal): Promise<number> {
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
    socket.once('message', (data: RawData, isBinary: boolean) => {
      outputOn(process.stdout).line(messageLine(data, isBinary))
      end(EXIT.ok)
    })
    socket.on('error', () => end(EXIT.unreachable, 'The server broke the WebSocket protocol.'))
    socket.on('close', (code, reason) => {
      end(EXIT.refused, closeLine(code, reason))
      resolve(result ?? EXIT.refused)
    })
    socket.send(text)
  })
}
