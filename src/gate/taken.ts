import type { IncomingMessage } from 'node:http'
import type { Handshake } from '../core/handshake.ts'
import type { OwnedSocket } from '../upgrade/own.ts'
import type { Attachment } from './state.ts'

/** One handshake that the gate holds, from the `upgrade` event to the answer. */
export interface Taken {
  readonly req: IncomingMessage
  readonly head: Buffer
  readonly handshake: Handshake
  readonly owned: OwnedSocket
  readonly attachment: Attachment
  readonly startedAt: number
}
