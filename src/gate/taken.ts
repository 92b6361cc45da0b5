import type { IncomingMessage } from 'node:http'
import type { Handshake } from '../core/handshake.ts'
import type { OwnedSocket } from '../upgrade/own.ts'
import type { WaitingSocket } from '../upgrade/waiting.ts'
import type { Attachment } from './state.ts'

/** One handshake that the gate holds, from the `upgrade` event to the answer. */
export interface Taken {
  readonly req: IncomingMessage
  readonly head: Buffer
  readonly handshake: Handshake
  readonly owned: OwnedSocket
  readonly attachment: Attachment
  readonly startedAt: number
  /** When it was asked, in the order of all that happens at this gate. */
  readonly order: number
  /** The credential was a password, which is not in the handshake any more. */
  readonly forgotten: boolean
  /** The client can read a refusal from a Close frame. */
  readonly readable: boolean
  /** There where the handshake has waited for its first message. */
  readonly opened: Opened | undefined
}

/** The 101 went out before the verdict. */
export interface Opened {
  readonly waiting: WaitingSocket
  /** The client speaks the protocol of auth messages, not a format of the app's own. */
  readonly speaks: boolean
}
