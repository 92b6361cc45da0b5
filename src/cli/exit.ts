/** What the command's exit codes mean; the help shows them. */
export const EXIT = {
  ok: 0,
  /** The server refused the handshake, or ended the connection; a command could not do its work. */
  refused: 1,
  /** No server, or none that speaks WebSocket, or no message came back. */
  unreachable: 2,
  /** The command line is wrong (sysexits: EX_USAGE). */
  usage: 64,
  /** Ended by Ctrl-C. */
  interrupted: 130,
} as const

/** The command line is wrong. The message never repeats an argument that may be a secret. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}
