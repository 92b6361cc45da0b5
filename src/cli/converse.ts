import { createInterface } from 'node:readline'
import type { DialSocket } from '../client.ts'
import { EXIT } from './exit.ts'
import { BROKEN, closeLine, messageLine } from './messages.ts'
import { outputOn } from './output.ts'

/** Sends the lines of standard input and prints what comes back, until either side ends. */
export function converse(socket: DialSocket, signal: AbortSignal): Promise<number> {
  const notes = outputOn(process.stderr)
  const messages = outputOn(process.stdout)
  const protocol = socket.protocol === '' ? '' : ` with the subprotocol ${socket.protocol}`
  notes.line(
    notes.style('green', `Connected${protocol}.`) + (process.stdin.isTTY ? ' Lines are sent; Ctrl-D ends.' : ''),
  )
  const lines = createInterface({ input: process.stdin, terminal: false })
  let isOurs = false
  const leave = (): void => {
    isOurs = true
    socket.close(1000)
    setTimeout(() => socket.terminate(), 1000).unref()
  }
  lines.on('line', (line) => socket.send(line))
  lines.on('close', leave)
  signal.addEventListener('abort', leave)
  return new Promise((resolve) => {
    socket.on('message', ({ data }) => messages.line(messageLine(data)))
    socket.on('error', ({ error }) => {
      if (error.code === 'bad_response') notes.line(BROKEN)
    })
    socket.on('close', ({ code, reason }) => {
      lines.off('close', leave)
      lines.close()
      process.stdin.destroy()
      if (!isOurs) notes.line(closeLine(code, reason))
      resolve(isOurs || code === 1000 ? EXIT.ok : EXIT.refused)
    })
  })
}
